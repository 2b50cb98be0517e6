//! `backtest lookahead`, and `--verify-lookahead` of `run` and `sweep`: whether a strategy knows what has not happened.
//! The check itself is `sim::lookahead`'s.

use std::sync::Arc;

use serde_json::{Value, json};
use sim::bars::Bars;
use sim::lookahead::{self, Change, Difference, Report};
use store::Store;

use crate::args::{Global, Lookahead, SEED};
use crate::command::run::{self, Prepared};
use crate::fail::{Code, Fail};
use crate::table::{count, counted};
use crate::talk::{self, Bar, Unit};
use crate::when;

pub(crate) async fn lookahead(global: &Global, store: &Store, args: Lookahead) -> Result<(), Fail> {
    let prepared = Prepared::new(&args.strategy, &args.choice)?;
    let ask = run::ask(store, &args.choice, &prepared.definition).await?;
    let loaded = store.load(&ask, &Bar::new(Unit::Rows, global.json)).await?;
    let report = check(&prepared, &loaded.bars, args.cuts, args.seed).await?;
    let name = &prepared.definition.name;
    if global.json {
        let mut all = document(&report);
        all["strategy"] = json!(name);
        all["symbol"] = json!(ask.symbol);
        all["timeframe"] = json!(ask.timeframe.to_string());
        talk::json(&all);
    } else if report.first.is_none() {
        talk::data(&told(name, &report, !prepared.definition.is_native()));
    }
    verdict(name, &report)
}

/// Checks a strategy before a run or a sweep, and says on stderr that it passed.
pub(crate) async fn verify(prepared: &Prepared, bars: &Arc<Bars>, what: &str) -> Result<(), Fail> {
    let report = check(prepared, bars, lookahead::LEAST_CUTS, SEED).await?;
    let name = &prepared.definition.name;
    verdict(name, &report)?;
    talk::say(format!("{what}: {}", told(name, &report, !prepared.definition.is_native())));
    Ok(())
}

/// The report, made away from the async threads.
async fn check(
    prepared: &Prepared,
    bars: &Arc<Bars>,
    cuts: usize,
    seed: u64,
) -> Result<Report, Fail> {
    let (it, bars) = (prepared.clone(), Arc::clone(bars));
    let task = tokio::task::spawn_blocking(move || {
        let rules = it.rules.clone();
        let make = it.maker()?;
        let failed = |failure: sim::Failure| Fail::data(format!("the run failed: {failure}"));
        lookahead::check(&bars, &rules, &make, cuts, seed).map_err(failed)
    });
    let report = task.await.map_err(|e| Fail::new(Code::Bug, e))??;
    if report.cuts == 0 {
        return Err(Fail::data("one traded bar has no future to change")
            .hint("give a longer range, or a smaller --warmup"));
    }
    Ok(report)
}

/// What a check that found nothing says.
fn told(name: &str, report: &Report, by_expressions: bool) -> String {
    let mut text = format!(
        "`{name}` does not look ahead: the future was cut off and scrambled at {}, and none of {} of mind and {} \
         before them changed",
        counted(report.cuts as u64, "place"),
        counted(report.changes_of_mind as u64, "change"),
        counted(report.trades as u64, "trade")
    );
    if by_expressions {
        text.push_str("\nits rules are expressions, which cannot by construction");
    }
    if report.cuts < lookahead::LEAST_CUTS {
        text.push_str("\nthe range is short: a longer one gives more places to look at");
    }
    if report.changes_of_mind == 0 {
        text.push_str(
            "\nit decided nothing on these bars, so the check shows little: give more of them",
        );
    }
    if report.ignores_prices {
        text.push_str(
            "\nit decides the same on quite different prices: it counts bars or days, or it carries data of its own, \
             and what that knows of the future no check can see",
        );
    }
    text
}

/// Fails with code 5 when something was found.
fn verdict(name: &str, report: &Report) -> Result<(), Fail> {
    let Some(first) = &report.first else { return Ok(()) };
    Err(Fail::new(Code::Gate, anyhow::anyhow!(accusation(name, first))).hint(
        "a value used at a bar may depend on bars up to it only: look for a centered window, a maximum or mean over \
         all bars, a shift by -1, a fill from behind, or state that outlives a run",
    ))
}

fn accusation(name: &str, first: &Difference) -> String {
    let Difference { bar_idx, what, before, after, .. } = first;
    let (at, from) = (when::show(first.time_us), when::show(first.changed_from_us));
    let (head, changed) = match first.change {
        Change::Cut => ("looks ahead", format!("without those from {from} on")),
        Change::Scrambled => ("looks ahead", format!("with those from {from} on scrambled")),
        Change::Nothing => {
            ("decides otherwise the second time", "on the same once more".to_owned())
        }
    };
    format!(
        "`{name}` {head}: {what} at {at} (bar {})\n  on the bars as they are: {before}\n  {changed}: {after}",
        count(*bar_idx as u64)
    )
}

fn document(report: &Report) -> Value {
    let change = |change: Change| match change {
        Change::Cut => "cut",
        Change::Scrambled => "scrambled",
        Change::Nothing => "again",
    };
    let first = report.first.as_ref().map(|first| {
        json!({
            "bar": first.bar_idx,
            "time": when::iso(first.time_us),
            "what": first.what,
            "change": change(first.change),
            "changed_from": when::iso(first.changed_from_us),
            "before": first.before,
            "after": first.after,
        })
    });
    json!({
        "looks_ahead": first.is_some(),
        "first": first,
        "cuts": report.cuts,
        "runs": report.runs,
        "changes_of_mind": report.changes_of_mind,
        "trades": report.trades,
        "ignores_prices": report.ignores_prices,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accusation_names_the_bar_the_rule_and_both_decisions() {
        let first = Difference {
            bar_idx: 1_250,
            time_us: 1_706_659_200_000_000,
            what: "long_entry",
            change: Change::Scrambled,
            changed_from_us: 1_706_662_800_000_000,
            before: "no order".to_owned(),
            after: "an order of equity 1".to_owned(),
        };
        let report = Report {
            cuts: 50,
            runs: 103,
            changes_of_mind: 7,
            trades: 3,
            first: Some(first),
            ignores_prices: false,
        };
        let fail = verdict("cheat", &report).unwrap_err();
        assert_eq!(fail.code, Code::Gate);
        assert!(fail.to_string().starts_with(
            "error: `cheat` looks ahead: long_entry at 2024-01-31 (bar 1,250)\n  on the bars as they are: no order\n  \
             with those from 2024-01-31 01:00 on scrambled: an order of equity 1\nhint: "
        ));
        assert_eq!(document(&report)["first"]["change"], "scrambled");
        assert!(verdict("honest", &Report { first: None, ..report }).is_ok());
    }
}
