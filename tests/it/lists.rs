//! Finding a result again: `backtest list` with its filters and orders, `tag` and `notes`, on every backend and as a user
//! who sees their own rows only; and of a sweep `top`, with what is best and what is said where there is nothing. What the rows
//! themselves hold is `backends`' to test.

use serde_json::{Value, json};

use crate::market::{self, MINUTE_US};
use crate::servers::{Backend, backends, psql};
use crate::shell::Shell;

/// Three that trade, and a fourth that never closes a trade, so that some of its metrics are undefined.
const RUNS: [&str; 4] = [
    "run sma_cross --symbol WALK --timeframe 15m --set fast=3 --set slow=8 --tag a",
    "run sma_cross --symbol WALK --timeframe 1h --set fast=2 --set slow=9 --tag a --tag b",
    "run supertrend --symbol OTHER --timeframe 15m",
    "run buy_and_hold --symbol WALK --timeframe 4h --name still",
];

fn shell_of(backend: &Backend) -> Shell {
    let shell = Shell::on(&backend.url);
    let bars = market::csv(&market::bars(4, MINUTE_US, 3 * 1_440, false), false);
    shell.write("WALK-1m.csv", &bars);
    shell.ok("migrate");
    shell.ok("import WALK-1m.csv");
    shell.ok("import WALK-1m.csv --symbol OTHER");
    for run in RUNS {
        shell.ok(run);
    }
    shell
}

fn list(shell: &Shell, words: &[&str]) -> Vec<i64> {
    let said = shell.run_args([&["list", "--json"], words].concat());
    assert_eq!(said.code, Some(0), "{words:?}: {}", said.stderr);
    let rows: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let id = |row: &Value| row["id"].as_i64().expect("an id");
    rows.as_array().expect("a list").iter().map(id).collect()
}

/// Ids in the order of a metric, worked out here from what `list --json` says of each.
fn by(shell: &Shell, metric: &str, ascending: bool) -> Vec<i64> {
    let rows = shell.json("list --json");
    let value = |row: &Value| row["results"][metric].as_str().and_then(|v| v.parse::<f64>().ok());
    let mut rows: Vec<(Option<f64>, i64)> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (value(row), row["id"].as_i64().expect("an id")))
        .collect();
    rows.sort_by(|a, b| match (a.0, b.0) {
        (Some(a), Some(b)) if ascending => a.total_cmp(&b),
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => a.is_none().cmp(&b.is_none()),
    });
    rows.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn a_list_is_narrowed_down_and_put_in_order() {
    for backend in backends() {
        let shell = shell_of(&backend);
        let ids = |words: &[&str]| list(&shell, words);
        assert_eq!(ids(&[]), [4, 3, 2, 1], "{}", backend.name);
        assert_eq!(ids(&["--strategy", "sma_cross"]), [2, 1]);
        assert_eq!(ids(&["--symbol", "OTHER"]), [3]);
        assert_eq!(ids(&["--timeframe", "15m"]), [3, 1]);
        assert_eq!(ids(&["--status", "Completed", "-n", "2"]), [4, 3]);
        assert_eq!(ids(&["--status", "failed"]), [0_i64; 0]);
        assert_eq!(ids(&["--tag", "a"]), [2, 1]);
        assert_eq!(ids(&["--tag", "a", "--tag", "b"]), [2]);
        assert_eq!(ids(&["--user", "nobody"]), [0_i64; 0]);
        assert_eq!(ids(&["--since", "2024-01-01", "--until", "2024-01-02"]), [0_i64; 0]);
        let made = shell.json("show 3 --json")["created_at"].as_str().expect("a time").to_owned();
        let second = made.split('.').next().expect("it begins with one");
        assert!(ids(&["--since", second]).contains(&3), "{made}");
        assert!(!ids(&["--until", second]).contains(&3), "{made}");
        // Rules over metrics, and what is undefined: the run without trades has no win rate.
        assert_eq!(shell.json("show 4 --json")["results"]["win_rate"], Value::Null);
        assert_eq!(ids(&["--where", "total_trades == 0"]), [4]);
        assert_eq!(ids(&["--where", "win_rate >= 0", "--where", "total_trades > 0"]), [3, 2, 1]);
        assert_eq!(ids(&["--where", "win_rate < 0 or total_trades == 0"]), [0_i64; 0], "undefined");
        for metric in ["total_return", "win_rate", "max_drawdown"] {
            assert_eq!(ids(&["--sort", metric]), by(&shell, metric, false), "{metric}");
            let ascending = by(&shell, metric, true);
            assert_eq!(ids(&["--sort", metric, "--ascending"]), ascending, "{metric}");
            let first = ids(&["--sort", metric, "--ascending", "-n", "1"]);
            assert_eq!(first, ascending[..1], "the limit comes after the order");
        }
        assert_eq!(ids(&["--sort", "win_rate"])[3], 4, "what is undefined stands last");
        assert_eq!(ids(&["--sort", "win_rate", "--ascending"])[3], 4, "either way");
        assert_eq!(ids(&["--sort", "-total_return"]), by(&shell, "total_return", true));
    }
}

#[test]
fn tags_and_notes_are_put_on_and_taken_off_also_of_variants() {
    for backend in backends() {
        let shell = shell_of(&backend);
        shell.ok("sweep sma_cross --symbol WALK --timeframe 15m --param fast=3,5 --param slow=9");
        let top = shell.json("sweep top 1 --objective total_return --json");
        let variant = top["variants"][0]["id"].as_i64().expect("an id");
        assert_eq!(
            shell.ok(&format!("tag 1 {variant} --add good --add best --remove a")),
            format!("1: good best\n{variant}: good best\n")
        );
        assert_eq!(list(&shell, &["--tag", "best"]), [1], "a list holds single runs");
        assert_eq!(shell.ok("tag 2"), "2: a b\n");
        assert_eq!(shell.ok("tag 2 --remove b --remove a"), "2: no tags\n");
        let said = shell.run("tag 1 99999 --add x");
        assert!(said.code == Some(3) && said.stderr.contains("no result 99999"), "{said:?}");
        assert_eq!(shell.ok("tag 1"), "1: good best\n", "not changed by halves");
        assert_eq!(shell.run("tag 1 --add x --remove x").code, Some(2));
        assert_eq!(shell.run_args(["tag", "1", "--add", " "]).code, Some(2));
        assert_eq!(shell.run_args(["run", "sma_cross", "--tag", ""]).code, Some(2));
        for id in [1, variant] {
            let id = id.to_string();
            let said = shell.run_args(["notes", &id, "- look at it's stop; 100 % \"sure\""]);
            assert_eq!(said.stdout, "- look at it's stop; 100 % \"sure\"\n", "{said:?}");
            assert_eq!(shell.ok(&format!("notes {id}")), said.stdout);
            let shown = shell.json(&format!("show {id} --json"));
            assert_eq!(shown["notes"].as_str(), Some(said.stdout.trim_end()));
            assert_eq!(shell.run_args(["notes", &id, "", "--json"]).code, Some(0));
            assert_eq!(shell.json(&format!("notes {id} --json"))["notes"], Value::Null);
        }
        let said = shell.run("notes 99999 why");
        assert!(said.code == Some(3) && said.stderr.contains("no result 99999"), "{said:?}");
    }
}

/// A role that row security binds to one user changes that user's words, and finds nobody else's rows.
#[test]
fn a_user_of_a_server_tags_their_own_rows_only() {
    for backend in backends().into_iter().filter(|backend| backend.name != "sqlite") {
        let shell = shell_of(&backend);
        let role = format!("lists_{}_{}", backend.name.replace('-', "_"), std::process::id());
        let sql = format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'pw' IN ROLE authenticated_users; \
             INSERT INTO users (username, email, password_hash, db_role) \
             VALUES ('ann', 'ann@x', '!', '{role}')"
        );
        psql(&backend.url, &sql);
        let (_, address) = backend.url.split_once('@').expect("the tests' URLs have a user");
        let ann = |line: &str| {
            let url = format!("postgres://{role}:pw@{address}");
            shell.run_args([&["--db", &url], &line.split(' ').collect::<Vec<_>>()[..]].concat())
        };
        let run = ann("run sma_cross --symbol WALK --timeframe 1h --user ann --json");
        assert_eq!(run.code, Some(0), "{run:?}");
        let run: Value = serde_json::from_str(&run.stdout).expect("JSON");
        let id = run["id"].as_i64().expect("an id");
        assert_eq!(ann(&format!("tag {id} --add mine")).stdout, format!("{id}: mine\n"));
        assert_eq!(ann(&format!("notes {id} hers")).stdout, "hers\n");
        let rows = ann("list --json").stdout;
        let rows: Value = serde_json::from_str(&rows).expect("JSON");
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
        for line in ["tag 1 --add mine", "notes 1 mine", "tag 1"] {
            let said = ann(line);
            assert!(said.code == Some(3) && said.stderr.contains("no result 1"), "{said:?}");
        }
        assert_eq!(shell.json("show 1 --json")["tags"], json!(["a"]));
        psql(&backend.url, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

/// How stable a variant is does not hang on who else may be best, nor on who was deleted since.
#[test]
fn neighbours_are_those_of_the_grid_whoever_may_be_best() {
    let shell = Shell::embedded();
    shell.write("WALK-1m.csv", &market::csv(&market::bars(4, MINUTE_US, 4 * 1_440, false), false));
    shell.ok("import WALK-1m.csv");
    let grid = "--param fast=5,10,15,20 --param slow=30,40,50,60 --objective total_return";
    shell.ok(&format!("sweep sma_cross --timeframe 1m {grid} --trades top=18446744073709551615"));
    let best =
        |more: &str| shell.json(&format!("sweep top 1 -n 1 --json {more}"))["variants"][0].clone();
    let all = best("");
    let near = &all["neighbours"];
    assert_eq!((all["has_trades"].as_bool(), near["missing"].as_u64()), (Some(true), Some(0)));
    assert!(near["n"].as_u64() >= Some(2) && near["mean"].as_f64() < all["objective"].as_f64());
    let value = all["objective"].as_f64().expect("a number");
    let kept = shell.run_args([
        "sweep",
        "top",
        "1",
        "--json",
        "--keep",
        &format!("total_return > {}", value - 1e-4),
    ]);
    let kept: Value = serde_json::from_str(&kept.stdout).expect("JSON");
    assert_eq!(kept["variants"][1], Value::Null, "only the best may be best");
    assert_eq!(&kept["variants"][0]["neighbours"], near);
    let most = "sweep prune 1 --best 18446744073709551615";
    assert_eq!(shell.ok(most), "kept the best 16, deleted 0\n");
    shell.ok("sweep prune 1 --best 1");
    let alone = best("");
    assert_eq!(alone["neighbours"]["missing"], near["n"], "{alone}");
    assert_eq!(
        (alone["id"].clone(), alone["neighbours"]["mean"].clone()),
        (all["id"].clone(), Value::Null)
    );
    let said = shell.run("sweep top 1").stderr;
    assert!(said.contains("pruned"), "{said}");
    // The same command finds it done, and says what is left of it.
    let again = shell.run(&format!("sweep sma_cross --timeframe 1m {grid}")).stderr;
    assert!(again.contains("was done before, as 1") && !again.contains("going on"), "{again}");
    assert!(again.contains("16 variants, 15 deleted by `sweep prune`"), "{again}");
    assert_eq!(shell.json("sweep status 1 --json")["left"], 1);
    shell.ok("sweep prune 1 --best 0");
    assert_eq!(shell.run("sweep top 1").stderr, "every variant was deleted by `sweep prune`\n");
}

/// Variants that nothing is said of are not deleted for want of a value, and what makes no sense fails by its reason.
#[test]
fn fewer_variants_with_a_value_than_asked_for_are_not_pruned_to() {
    let shell = Shell::embedded();
    shell.write("WALK-1m.csv", &market::csv(&market::bars(4, MINUTE_US, 4 * 1_440, false), false));
    shell.ok("import WALK-1m.csv");
    let grid = "--param fast=5,10 --param slow=30 --param stop_loss=0,-1,2";
    let drawn = "--search random --trials 90 --seed 7";
    let said = shell.run(&format!("sweep sma_cross --timeframe 1m {grid} {drawn}")).stderr;
    assert!(said.contains("of 90 trials, the grid has 6 variants: all are run"), "{said}");
    assert!(shell.ok("sweep show 1").contains("random search, 90 trials, seed 7"));
    let all = shell.ok("sweep export 1");
    assert_eq!(all.matches("a stop or target must be above 0 %").count(), 4, "{all}");
    for (line, why) in [
        ("sweep prune 1", "--best"),
        ("sweep prune 1 --best 3", "only 2 of 6 variants have a defined `sharpe_ratio`; nothing"),
        ("sweep heatmap 1 --x fast --y fast", "--x and --y are one"),
    ] {
        let refused = shell.run(line);
        assert!(refused.code == Some(2) && refused.stderr.contains(why), "{refused:?}");
    }
    assert_eq!(shell.json("sweep status 1 --json")["left"], 6);
    assert_eq!(shell.ok("sweep prune 1 --best 2"), "kept the best 2, deleted 4\n");
}

/// What is said when there is nothing to print is true, and what JSON was asked for is JSON.
#[test]
fn nothing_to_print_is_told_by_its_reason() {
    let shell = Shell::embedded();
    shell.write("WALK-1m.csv", &market::csv(&market::bars(4, MINUTE_US, 1_440, false), false));
    shell.ok("import WALK-1m.csv");
    let sweep = "sweep sma_cross --timeframe 1m --param slow=30,40 --objective total_return";
    let part = shell.json(&format!("{sweep} --param fast=5,10 --block 1 --shard 1/2 --json"));
    assert_eq!((&part["blocks_done"], &part["blocks"]), (&2.into(), &4.into()), "{part}");
    let said = shell.run(&format!("{sweep} --param fast=5,10 --top 0"));
    assert_eq!((said.code, &*said.stdout), (Some(0), ""));
    assert!(!said.stderr.contains("defined"), "{}", said.stderr);
    let said = |line: &str| {
        let said = shell.run(line);
        (said.code, said.stdout + &said.stderr)
    };
    assert_eq!(said("sweep top 1 -n 0"), (Some(0), String::new()));
    assert_eq!(said("sweep list -n 0"), (Some(0), String::new()));
    assert_eq!(said("list -n 0"), (Some(0), String::new()));
    let none = "none of 4 variants meets --where\n".to_owned();
    assert_eq!(said("sweep top 1 --where fast>50"), (Some(0), none));
    let none = "no variant has a defined `total_return` and meets `total_trades>9999`\n".to_owned();
    assert_eq!(said("sweep top 1 --keep total_trades>9999"), (Some(0), none));
    let (code, text) = said("sweep top 1 --symbol NOPE");
    assert!(code == Some(2) && text.contains("no symbol `NOPE`\nhint: there are WALK"), "{text}");
    assert_eq!(said("sweep top 1 -n 9223372036854775807").0, Some(2));
    assert_eq!(shell.json("sweep export 1 --json").as_array().map(Vec::len), Some(4));
    let written = shell.json("sweep export 1 --json -o all.csv");
    assert_eq!(written, serde_json::json!({ "file": "all.csv", "variants": 4 }));
    // A sweep of which nothing came has not ended well, and says why.
    let (code, text) = said(&format!("{sweep} --param size=0"));
    assert!(code == Some(3) && text.contains("every variant of sweep 2 failed, 12 by: "), "{text}");
    let (_, text) = said("sweep status 2");
    assert!(text.contains("12 failed by: "), "{text}");
}

/// The columns have no room for a gain of a thousandfold a month, and four places for one of a millionth.
#[test]
fn the_best_is_found_where_columns_say_nothing() {
    for backend in backends() {
        let shell = Shell::on(&backend.url);
        let mut bars = market::bars(4, 60 * MINUTE_US, 40, false);
        for (bar, price) in bars.iter_mut().zip(1..) {
            let price = (1_000 + 25 * price) * 100_000_000;
            (bar.open, bar.high, bar.low, bar.close) = (price, price, price, price);
        }
        shell.write("UP-1h.csv", &market::csv(&bars, false));
        shell.ok("migrate");
        shell.ok("import UP-1h.csv");
        shell.ok("sweep buy_and_hold --symbol UP --timeframe 1h --param fee_bps=0,0.0001,0.0002 --trades none");
        let order = |objective: &str| {
            let top = shell.json(&format!("sweep top 1 --objective {objective} --json"));
            let fee = |variant: &Value| variant["parameters"]["fee_bps"].to_string();
            let all = top["variants"].as_array().expect("a list");
            assert_eq!(all[0]["results"]["annual_return"], Value::Null, "beyond its column");
            all.iter().map(fee).collect::<Vec<_>>()
        };
        assert_eq!(order("annual_return"), ["0", "0.0001", "0.0002"], "{}", backend.name);
        assert_eq!(order("-final_capital"), ["0.0002", "0.0001", "0"]);
        assert_eq!(
            order("-total_return"),
            ["0.0002", "0.0001", "0"],
            "they differ behind the fourth place"
        );
        shell.ok("sweep prune 1 --best 1 --objective annual_return");
        assert_eq!(order("annual_return"), ["0"], "{}", backend.name);
        for fee in ["0", "0.0001"] {
            shell.ok(&format!("run buy_and_hold --symbol UP --timeframe 1h --fee-bps {fee}"));
        }
        let ids = |sort: &str| shell.json(&format!("list --sort {sort} --json"))[0]["id"].clone();
        assert_ne!(ids("annual_return"), ids("-annual_return"));
    }
}
