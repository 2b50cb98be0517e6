//! `backtest compare` and `reproduce`: what differs between results is said, what is the same is found the same, and a
//! kept result comes out again from its rows alone, on every backend.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::backends::sql_at;
use crate::market::{self, MINUTE_US};
use crate::servers::{Backend, backends};
use crate::shell::Shell;

const RUN: &str = "run sma_cross --symbol WALK --timeframe 15m --slippage-bps 1 --set slow=8";
const SWEEP: &str = "sweep sma_cross --symbol WALK --timeframe 15m --slippage-bps 1 --param fast=3,5 \
                     --param slow=8 --param fee_bps=2,10 --objective -total_trades --trades top=2";

/// Three days of bars, two runs (1 and 2), and a sweep of which the variants that trade least, `fast` 3, have trades.
fn shell_of(backend: &Backend) -> Shell {
    let shell = Shell::on(&backend.url);
    let bars = market::csv(&market::bars(4, MINUTE_US, 3 * 1_440, true), false);
    shell.write("WALK-1m.csv", &bars);
    shell.ok("migrate");
    shell.ok("import WALK-1m.csv");
    shell.ok(&format!("{RUN} --set fast=3"));
    shell.ok(&format!("{RUN} --set fast=5"));
    shell.ok(SWEEP);
    shell
}

/// Ids of the variants with this value of `fast` and fee.
fn variant(shell: &Shell, fast: i64, fee: i64) -> i64 {
    let rule = format!("fast == {fast} and fee_bps == {fee}");
    let said = shell.run_args(["sweep", "top", "1", "--where", &rule, "--json"]);
    let top: Value = serde_json::from_str(&said.stdout).expect("JSON");
    top["variants"][0]["id"].as_i64().expect("an id")
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().expect("a text").parse().expect("a decimal")
}

#[test]
fn two_results_are_put_side_by_side() {
    for backend in backends() {
        let shell = shell_of(&backend);
        let all = shell.json("compare 1 2 --json");
        let (one, two) = (shell.json("show 1 --json"), shell.json("show 2 --json"));
        for metric in ["total_return", "sharpe_ratio", "final_capital"] {
            let (a, b) = (&one["results"][metric], &two["results"][metric]);
            let of = |pair: usize| decimal(&all["metrics"][metric][pair]);
            assert_eq!((of(0), of(1)), (decimal(a), decimal(b)), "{metric}");
            assert_eq!(decimal(&all["difference"][metric]), decimal(b) - decimal(a), "{metric}");
        }
        assert_eq!(all["differing"], json!({ "parameter: fast": ["3", "5"] }));
        let beside = &all["against_first"][0];
        let first = &beside["trades"]["first_difference"];
        let at = usize::try_from(first["number"].as_u64().expect("a number") - 1).expect("small");
        let (ours, theirs) = (shell.json("trades 1 --json"), shell.json("trades 2 --json"));
        assert_eq!(ours.as_array().map(|t| &t[..at]), theirs.as_array().map(|t| &t[..at]));
        assert_ne!(ours[at], theirs[at]);
        let price = |trades: &Value| trades[at]["entry_price"].to_string().parse::<Decimal>();
        assert_eq!(price(&ours), Ok(decimal(&first["first"]["entry_price"])));
        assert_eq!(price(&theirs), Ok(decimal(&first["this"]["entry_price"])));
        let end =
            decimal(&two["results"]["final_capital"]) - decimal(&one["results"]["final_capital"]);
        assert_eq!(decimal(&beside["equity"]["final_difference"]), end);
        assert!(decimal(&beside["equity"]["largest_difference"]).abs() >= end.abs());
        assert_eq!(beside["equity"]["days"], 3);
    }
}

#[test]
fn a_variant_is_the_run_of_its_parameters_and_says_what_is_not_kept() {
    for backend in backends() {
        let shell = shell_of(&backend);
        let (kept, bare) = (variant(&shell, 3, 10), variant(&shell, 5, 2));
        let line = format!("compare 1 {kept}");
        let said = shell.ok(&line);
        assert!(
            said.contains("are the same") && said.contains("every trade is the same"),
            "{said}"
        );
        let all = shell.json(&format!("{line} --json"));
        assert_eq!(all["differing"], json!({}));
        assert_eq!(all["against_first"][0]["equity"]["largest_difference"], "0");
        assert_eq!(all["against_first"][0]["trades"]["first_difference"], Value::Null);
        let all = shell.json(&format!("compare 1 {bare} {kept} --json"));
        assert_eq!(all["difference"], Value::Null, "of three there is no difference");
        let fees = json!(["10", "2", "10"]);
        assert_eq!(all["differing"]["rule: fee_bps"], fees);
        assert_eq!(all["differing"]["rule: maker_fee_bps"], fees, "the maker's fee follows");
        assert_eq!(all["against_first"][0]["trades"], Value::Null, "not kept");
        let said = shell.ok(&format!("compare 1 {bare}"));
        let gone = format!("the trades and equity of {bare} are not kept");
        assert!(said.contains(&gone), "{said}");
        for line in ["compare 1", "compare 1 1"] {
            assert_eq!(shell.run(line).code, Some(2), "{line}");
        }
        assert_eq!(shell.run("compare 1 99999").code, Some(3));
    }
}

#[test]
fn every_kept_result_comes_out_again() {
    for backend in backends() {
        let shell = shell_of(&backend);
        // The file is another one under the same name now; the one that was run is kept with its result.
        let text = shell.ok("strategy show sma_cross").replace("cross_below", "cross_above");
        shell.write("changed.toml", &text);
        shell.ok("run changed.toml --symbol WALK --timeframe 15m");
        shell.ok(
            "run cooldown_breakout --symbol WALK --timeframe 15m --from 2024-03-02 --warmup 20",
        );
        let count = || sql_at(&backend.url, "SELECT count(*) FROM backtests");
        let before = count();
        let singles = shell.json("list --json");
        let singles = singles.as_array().expect("a list").iter().map(|row| row["id"].as_i64());
        let variants = [3, 5].map(|fast| [2, 10].map(|fee| Some(variant(&shell, fast, fee))));
        for id in singles.chain(variants.into_iter().flatten()).flatten() {
            let all = shell.json(&format!("reproduce {id} --json"));
            assert_eq!(all["outcome"], "same", "{}: {all}", backend.name);
            assert_eq!(all["changed"], json!([]));
            assert!(all["metrics_compared"].as_u64() >= Some(25), "{all}");
        }
        assert_eq!(count(), before, "nothing is kept of it");
        let said = shell.ok(&format!("reproduce {}", variant(&shell, 5, 2)));
        assert!(said.contains("its trades and equity are not kept"), "{said}");
    }
}

#[test]
fn what_does_not_come_out_again_is_shown_with_what_changed() {
    for backend in backends() {
        let shell = shell_of(&backend);
        if sql_at(&backend.url, "SELECT 1").is_none() {
            continue;
        }
        let run = |query: &str| drop(sql_at(&backend.url, query));
        run("UPDATE backtests SET engine_version = '0.0.1' WHERE id = 2");
        let said = shell.ok("reproduce 2");
        assert!(said.contains("changed: engine version (was 0.0.1, is "), "{said}");
        // Somebody wrote into the rows.
        let third = "(SELECT min(id) + 2 FROM backtest_trades WHERE backtest_id = 1)";
        run(&format!("UPDATE backtest_trades SET commission = '1.00000000' WHERE id = {third}"));
        run("UPDATE backtest_results SET sharpe_ratio = '9.0000' WHERE backtest_id = 1");
        let said = shell.run("reproduce 1");
        assert_eq!(said.code, Some(5), "{said:?}");
        assert!(said.stdout.contains("the numbers alone changed"), "{said:?}");
        assert!(said.stdout.contains("sharpe_ratio (its column)"), "{said:?}");
        assert!(said.stdout.contains("first trade that differs, number 3"), "{said:?}");
        // Other bars under the same times.
        let other = market::csv(&market::bars(5, MINUTE_US, 3 * 1_440, true), false);
        shell.write("OTHER-1m.csv", &other);
        shell.ok("import OTHER-1m.csv --symbol WALK");
        let kept = variant(&shell, 3, 10);
        for id in [2, kept] {
            let said = shell.run(&format!("reproduce {id} --json"));
            assert_eq!(said.code, Some(5), "{said:?}");
            let all: Value = serde_json::from_str(&said.stdout).expect("JSON");
            assert_eq!(all["outcome"], "different");
            assert!(all["changed"].to_string().contains("data (was "), "{all}");
            assert!(all["trades"]["first_difference"]["number"].is_u64(), "{all}");
            assert!(all["equity"]["first_difference"].is_string(), "{all}");
        }
        run("DELETE FROM market_data");
        assert_eq!(shell.run("reproduce 2").code, Some(3), "no bars, no answer");
        assert_eq!(shell.run("reproduce 99999").code, Some(3));
    }
}
