//! Runs are saved whole or not at all, twice is once, and come back as they were.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::json;
use sim::metrics::Metrics;
use sim::order::{Exit, ExitReason, Side, Trade};
use sim::{DayMark, Run};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::sweeps::Lists;
use store::{Begun, Error, ListFilter, NewRun, Store, StrategyRow};

use crate::places::{Place, on_every_backend, on_every_server};

const START: i64 = 1_704_067_200_000_000;
const DAY: i64 = 86_400_000_000;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn new_run(identity: &str) -> NewRun<'static> {
    NewRun {
        user: "local",
        strategy: StrategyRow {
            name: "sma_cross".to_owned(),
            description: None,
            strategy_type: "trend".to_owned(),
            parameters: json!({"rules": {"long_entry": "cross_above(sma(close, 2), close)"}}),
            risk_parameters: json!({"size": {"equity": "1.0"}}),
            symbols: vec!["BTCUSDT".to_owned()],
            timeframes: vec!["1h".to_owned()],
        },
        name: None,
        notes: None,
        tags: vec!["a, \"b\"".to_owned()],
        start_us: START,
        end_us: START + 3 * DAY,
        initial_capital: d("10000"),
        symbols: vec!["BTCUSDT".to_owned()],
        timeframes: vec!["1h".to_owned()],
        parameters: json!({"fast": 10, "slow": 50.5}),
        rules: json!({"fee_bps": "10"}),
        identity: identity.to_owned(),
        fingerprint: "f".repeat(64),
        engine_version: "0.1.0".to_owned(),
    }
}

fn trade(pnl: Option<&str>) -> Trade {
    let exit = pnl.map(|pnl| Exit {
        price: d("101.5"),
        bar_idx: 5,
        time_us: START + DAY,
        reason: ExitReason::StopLoss,
        pnl: d(pnl),
    });
    Trade {
        side: Side::Short,
        quantity: d("0.00000003"),
        entry_price: d("100.00000001"),
        entry_bar_idx: 1,
        entry_time_us: START,
        entry_tag: Arc::from("short_entry"),
        commission: d("0.00000002"),
        exit,
    }
}

pub(crate) fn run() -> Run {
    let metrics = Metrics {
        total_return: Some(12.345_65),
        sharpe_ratio: Some(-0.000_05),
        profit_factor: Some(50_000.0),
        win_rate: Some(100.0),
        max_drawdown_duration: 86_400,
        total_trades: 2,
        avg_trade_duration_us: Some(86_400_000_001),
        final_capital: d("11234.5678"),
        ..Metrics::default()
    };
    Run {
        // Three trades of one entry bar: the document's key would lose two of them.
        trades: vec![trade(Some("-0.00000001")), trade(Some("5")), trade(None)],
        equity: Vec::new(),
        daily: vec![
            DayMark { time_us: START, equity: d("10000"), drawdown: 0.0 },
            DayMark { time_us: START + DAY, equity: d("9999.99999999"), drawdown: 1.0 / 3.0 },
        ],
        rejections: Vec::new(),
        ambiguous_bars: 0,
        bars_held: 0,
        fees: Decimal::ZERO,
        open_pnl: Decimal::ZERO,
        buy_and_hold: 0.0,
        metrics,
    }
}

async fn begin_new(store: &Store, identity: &str) -> i64 {
    match store.begin(&new_run(identity)).await.unwrap() {
        Begun::New(id) => id,
        Begun::Existing(id) => panic!("run {id} exists"),
    }
}

#[test]
fn a_run_comes_back_as_it_was_saved() {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    on_every_backend(async |store, _| {
        let id = begin_new(&store, "one").await;
        assert_eq!(store.list(&ListFilter::default()).await.unwrap()[0].status, "RUNNING");
        store.heartbeat(id).await.unwrap();
        store.finish(id, &run(), &json!({"profit_factor": 50000.0, "exposure": 1})).await.unwrap();
        let mut shown = store.show(id).await.unwrap().unwrap();
        assert_eq!((shown.row.status.as_str(), shown.progress), ("COMPLETED", 100));
        assert_eq!(shown.row.name, "sma_cross BTCUSDT 1h");
        assert_eq!(shown.row.tags, ["a, \"b\""]);
        assert_eq!(shown.row.parameters, Some(json!({"fast": 10, "slow": 50.5})));
        let results = shown.row.results.clone().unwrap();
        assert_eq!(results.total_return, Some(d("12.3456")), "half goes to even");
        assert_eq!(results.sharpe_ratio, Some(d("0")), "-0.00005 goes to even too");
        assert_eq!(results.profit_factor, None, "does not fit");
        assert_eq!(results.win_rate, Some(d("100")));
        assert_eq!(results.volatility, None, "undefined");
        assert_eq!(results.avg_trade_duration_us, Some(86_400_000_001));
        assert_eq!(results.metrics.unwrap()["profit_factor"], json!(50000.0));
        // What differs between backends is only when it was.
        (shown.row.created_us, shown.started_us) = (None, None);
        (shown.completed_us, shown.heartbeat_us) = (None, None);
        let rest = (shown, store.trades(id).await.unwrap(), store.equity(id).await.unwrap());
        seen.lock().unwrap().insert(format!("{rest:#?}"));
        assert_eq!(seen.lock().unwrap().len(), 1, "{:#?}", seen.lock().unwrap());
    });
}

#[test]
fn trades_and_equity_are_exact() {
    on_every_backend(async |store, _| {
        let id = begin_new(&store, "one").await;
        store.finish(id, &run(), &json!({})).await.unwrap();
        let trades = store.trades(id).await.unwrap();
        assert_eq!(trades.len(), 3);
        let (loss, win, open) = (&trades[0], &trades[1], &trades[2]);
        assert_eq!(loss.side, "SHORT");
        assert_eq!(loss.quantity, d("0.00000003"));
        assert_eq!(loss.entry_price, d("100.00000001"));
        assert_eq!((loss.exit_price, loss.exit_time_us), (Some(d("101.5")), Some(START + DAY)));
        assert_eq!(loss.pnl, Some(d("-0.00000001")));
        // 100 * -1e-8 / (3e-8 * 100.00000001) = -0.33333333330
        assert_eq!(loss.pnl_percentage, Some(d("-0.3333")));
        assert_eq!(loss.strategy_signal.as_deref(), Some("short_entry>stop_loss"));
        assert_eq!(win.pnl_percentage, None, "166666666.65 per cent does not fit");
        assert_eq!((open.exit_price, open.exit_time_us, open.pnl), (None, None, None));
        assert_eq!(open.strategy_signal.as_deref(), Some("short_entry"));
        let equity = store.equity(id).await.unwrap();
        assert_eq!(equity.len(), 2);
        assert_eq!((equity[1].time_us, equity[1].equity), (START + DAY, d("9999.99999999")));
        assert_eq!(equity[1].drawdown, Some(d("0.3333")));
    });
}

#[test]
fn twice_is_once() {
    on_every_backend(async |store, _| {
        let id = begin_new(&store, "one").await;
        store.finish(id, &run(), &json!({})).await.unwrap();
        store.finish(id, &run(), &json!({})).await.unwrap();
        store.fail(id, "too late").await.unwrap();
        assert_eq!(store.trades(id).await.unwrap().len(), 3);
        let named = NewRun {
            name: Some("mine".to_owned()),
            notes: Some("note".to_owned()),
            tags: Vec::new(),
            ..new_run("one")
        };
        assert_eq!(store.begin(&named).await.unwrap(), Begun::Existing(id));
        let shown = store.show(id).await.unwrap().unwrap();
        assert_eq!((shown.row.name.as_str(), shown.notes.as_deref()), ("mine", Some("note")));
        assert_eq!(shown.row.tags, ["a, \"b\""], "none given, none changed");
        assert_eq!(shown.row.status, "COMPLETED");
        let tagged = NewRun { tags: vec!["b".to_owned()], ..new_run("one") };
        assert_eq!(store.begin(&tagged).await.unwrap(), Begun::Existing(id));
        let shown = store.show(id).await.unwrap().unwrap().row;
        assert_eq!(
            (shown.name.as_str(), &shown.tags[..]),
            ("mine", &["a, \"b\"".to_owned(), "b".to_owned()][..])
        );
        let other = NewRun { user: "ann", ..new_run("one") };
        assert!(matches!(store.begin(&other).await.unwrap(), Begun::New(other) if other != id));
    });
}

#[test]
fn a_run_that_did_not_finish_is_taken_over() {
    on_every_backend(async |store, _| {
        let id = begin_new(&store, "one").await;
        assert_eq!(begin_new(&store, "one").await, id, "RUNNING");
        store.fail(id, "money beyond DECIMAL(20,8) at bar 7").await.unwrap();
        let failed = store.show(id).await.unwrap().unwrap();
        assert_eq!(failed.row.status, "FAILED");
        assert_eq!(failed.error.as_deref(), Some("money beyond DECIMAL(20,8) at bar 7"));
        assert_eq!(begin_new(&store, "one").await, id, "FAILED");
        let again = store.show(id).await.unwrap().unwrap();
        assert_eq!((again.row.status.as_str(), again.error), ("RUNNING", None));
        assert_eq!(store.list(&ListFilter::default()).await.unwrap().len(), 1);
    });
}

#[test]
fn deletion_takes_everything_and_nothing_else() {
    on_every_backend(async |store, _| {
        let (one, two) = (begin_new(&store, "one").await, begin_new(&store, "two").await);
        for id in [one, two] {
            store.finish(id, &run(), &json!({})).await.unwrap();
        }
        assert_eq!(store.delete(&[one, 999]).await.unwrap(), 1);
        assert_eq!(store.show(one).await.unwrap(), None);
        assert!(store.trades(one).await.unwrap().is_empty());
        assert!(store.equity(one).await.unwrap().is_empty());
        assert_eq!(store.trades(two).await.unwrap().len(), 3);
        let error = store.finish(one, &run(), &json!({})).await.unwrap_err();
        assert!(matches!(error, Error::NoRun { id, .. } if id == one));
    });
}

#[test]
fn lists_are_filtered_and_newest_first() {
    on_every_backend(async |store, _| {
        let one = begin_new(&store, "one").await;
        let two = begin_new(&store, "two").await;
        store.finish(two, &run(), &json!({})).await.unwrap();
        let ids = async |filter: &ListFilter| {
            store.list(filter).await.unwrap().iter().map(|r| r.id).collect::<Vec<_>>()
        };
        let all = ListFilter::default();
        assert_eq!(ids(&all).await, [two, one]);
        assert_eq!(ids(&ListFilter { limit: Some(1), ..all.clone() }).await, [two]);
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(ids(&ListFilter { status: text("completed"), ..all.clone() }).await, [two]);
        assert_eq!(ids(&ListFilter { strategy: text("none"), ..all.clone() }).await, [0_i64; 0]);
        assert_eq!(ids(&ListFilter { user: text("local"), ..all.clone() }).await, [two, one]);
        assert_eq!(ids(&ListFilter { symbol: text("ETH"), ..all.clone() }).await, [0_i64; 0]);
        assert_eq!(ids(&ListFilter { timeframe: text("1h"), ..all.clone() }).await, [two, one]);
        assert_eq!(ids(&ListFilter { timeframe: text("4h"), ..all.clone() }).await, [0_i64; 0]);
        let created = store.show(two).await.unwrap().unwrap().row.created_us.unwrap();
        let from = ListFilter { created_from_us: Some(created), ..all.clone() };
        assert_eq!(ids(&from).await, [two], "from is included");
        let to = ListFilter { created_to_us: Some(created), ..all.clone() };
        assert_eq!(ids(&to).await, [one], "to is not");
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let tagged = store.retag(&[two], &list(&["b", "c"]), &[]).await.unwrap();
        assert_eq!(tagged, [list(&["a, \"b\"", "b", "c"])]);
        assert_eq!(ids(&ListFilter { tags: list(&["c", "b"]), ..all.clone() }).await, [two]);
        assert_eq!(ids(&ListFilter { tags: list(&["c", "d"]), ..all }).await, [0_i64; 0]);
    });
}

#[test]
fn tags_and_notes_are_changed_on_all_or_on_none() {
    on_every_backend(async |store, _| {
        let one = begin_new(&store, "one").await;
        let two = begin_new(&store, "two").await;
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let (old, new) = (list(&["a, \"b\""]), list(&["x"]));
        let error = store.retag(&[one, 999], &new, &old).await.unwrap_err();
        assert!(matches!(error, Error::NoRun { id: 999, .. }), "{error}");
        let tags = async |id| store.show(id).await.unwrap().unwrap().row.tags;
        assert_eq!(tags(one).await, old, "not changed by halves");
        assert_eq!(store.retag(&[one, two], &new, &old).await.unwrap(), [new.clone(), new.clone()]);
        assert_eq!(store.retag(&[one], &new, &[]).await.unwrap()[0], new, "once");
        assert_eq!((tags(one).await, tags(two).await), (new.clone(), new));
        let error = store.retag(&[one], &["y".repeat(101)], &[]).await.unwrap_err();
        assert_eq!(error.to_string(), "tag is longer than the limit of 100: 101");
        store.note(one, Some("it's 5 % \"better\"")).await.unwrap();
        let notes = async |id| store.show(id).await.unwrap().unwrap().notes;
        assert_eq!(notes(one).await.as_deref(), Some("it's 5 % \"better\""));
        store.note(one, None).await.unwrap();
        assert_eq!(notes(one).await, None);
        assert!(matches!(store.note(999, None).await, Err(Error::NoRun { id: 999, .. })));
    });
}

#[test]
fn what_is_too_long_is_refused_alike() {
    on_every_backend(async |store, _| {
        let run = NewRun { name: Some("ü".repeat(101)), ..new_run("one") };
        let error = store.begin(&run).await.unwrap_err();
        assert_eq!(error.to_string(), "run name is longer than the limit of 100: 101");
    });
}

#[test]
fn many_begin_the_same_run_and_one_row_is_made() {
    on_every_backend(async |store, _| {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let (Begun::New(id) | Begun::Existing(id)) =
                        store.begin(&new_run("one")).await.unwrap();
                    store.finish(id, &run(), &json!({})).await.unwrap();
                    id
                })
            })
            .collect();
        let mut ids = BTreeSet::new();
        for task in tasks {
            ids.insert(task.await.unwrap());
        }
        assert_eq!(ids.len(), 1);
        assert_eq!(store.trades(*ids.first().unwrap()).await.unwrap().len(), 3);
    });
}

/// Somebody else at work on a server, in one transaction.
struct Other(PgConnection);

impl Other {
    async fn begins(place: &Place, sql: &str) -> Self {
        let mut other = Self(PgConnection::connect(&place.url).await.unwrap());
        other.does(&format!("BEGIN; {sql}")).await;
        other
    }

    async fn does(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await.unwrap();
    }

    async fn count(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.0).await.unwrap()
    }

    /// Until one waits for the end of this transaction.
    async fn is_waited_for(&mut self) {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted \
                       AND transactionid = pg_current_xact_id()::xid";
        while self.count(waiting).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[test]
fn what_is_saved_while_it_is_deleted_goes_too() {
    on_every_server(&async |store, place| {
        for way in ["run", "prune", "sweep"] {
            let id = begin_new(&store, way).await;
            let mut other = Other::begins(place, "SELECT").await;
            let sweep = other
                .count(
                    "INSERT INTO sweeps (user_id, name, definition, identity, copy, engine_version, n_variants, \
                     status, created_at) SELECT id, 'x', '{}', 'x', (SELECT count(*) FROM sweeps), '0', 1, \
                     'COMPLETED', now() FROM users RETURNING id::int8",
                )
                .await;
            other
                .does(&format!("UPDATE backtests SET sweep_id = {sweep}, variant_idx = 0; COMMIT"))
                .await;
            other
                .does(&format!(
                    "BEGIN; UPDATE backtests SET status = 'COMPLETED' WHERE id = {id}; INSERT INTO backtest_trades \
                     (backtest_id, symbol, side, quantity, entry_price, entry_time) \
                     VALUES ({id}, 'X', 'LONG', 1, 1, now())"
                ))
                .await;
            let task = store.clone();
            let deleted = tokio::spawn(async move {
                match way {
                    "run" => task.delete(&[id]).await,
                    "prune" => task.prune_sweep(sweep, &[]).await,
                    _ => task.delete_sweep(sweep).await,
                }
            });
            other.is_waited_for().await;
            other.does("COMMIT").await;
            assert_eq!(deleted.await.unwrap().unwrap(), 1, "{way}");
            let left =
                "SELECT (SELECT count(*) FROM backtests) + (SELECT count(*) FROM backtest_trades)";
            assert_eq!(other.count(left).await, 0, "{way}");
        }
    });
}

/// Two that write to the same rows do not block each other: each begins with the lowest.
#[test]
fn rows_are_locked_in_the_order_of_their_ids() {
    on_every_server(&async |store, place| {
        for way in ["keep", "delete"] {
            let low = begin_new(&store, &format!("{way} low")).await;
            let high = begin_new(&store, &format!("{way} high")).await;
            let mut other = Other::begins(
                place,
                &format!("UPDATE backtests SET progress = 1 WHERE id = {low}"),
            )
            .await;
            let task = store.clone();
            let written = tokio::spawn(async move {
                let list = |id| Lists { id, symbol: "X", trades: &[], daily: &[] };
                match way {
                    "keep" => task.keep_trades(&[list(high), list(low)]).await,
                    _ => task.delete(&[high, low, high]).await.map(|n| assert_eq!(n, 2)),
                }
            });
            other.is_waited_for().await;
            other
                .does(&format!("SELECT FROM backtests WHERE id = {high} FOR UPDATE NOWAIT; COMMIT"))
                .await;
            written.await.unwrap().unwrap();
        }
    });
}
