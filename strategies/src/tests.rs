//! Tests of the TOML form: what a file means, and what an error shows.

use rust_decimal::Decimal;
use sim::params::Params;

use crate::Definition;

const GOOD: &str = r#"name = "mine"
strategy_type = "trend"
[parameters]
n = { default = 10, range = [5, 20], step = 5 }
sl = { default = 2.5 }
[rules]
require = "n < 15"
long_entry = "close > sma(close, n)"
long_exit = "close < sma(close, n)"
[risk_parameters]
size = { quote = 1000 }
stop_loss = "sl%"
take_profit = "3 * atr(14)"
time_stop = "36h"
"#;

/// The error of `GOOD` with one text put for another, and its hint.
fn error(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "`{from}` is in the good file");
    let error = Definition::parse(&GOOD.replace(from, to), "mine.toml").err().expect("an error");
    match error.hint() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn a_good_file_is_read_whole() {
    let definition = Definition::parse(GOOD, "mine.toml").unwrap();
    assert_eq!(definition.name, "mine");
    let params = definition.params(&[]).unwrap();
    assert_eq!(params.to_string(), "n=10 sl=2.5");
    assert!(definition.build(&params).is_ok());
    assert_eq!(definition.json()["risk_parameters"]["stop_loss"], "sl%");
    let identity = definition.identity();
    assert!(identity.contains("stop_loss: sl%") && identity.contains("size: quote 1000"));
    assert!(identity.contains("time_stop: 129600000000"));
}

#[test]
fn identity_covers_rules_and_not_the_words_about_them() {
    let of = |text: &str| Definition::parse(text, "mine.toml").unwrap().identity();
    let same = [
        GOOD.replace("close > sma(close, n)", "(close  >  sma( close , n ))"),
        GOOD.replace("default = 10", "default = 12"),
        format!("# a comment\n{GOOD}"),
    ];
    for text in same {
        assert_eq!(of(&text), of(GOOD));
    }
    assert_ne!(of(&GOOD.replace("36h", "37h")), of(GOOD));
    assert_ne!(of(&GOOD.replace("close > sma", "close >= sma")), of(GOOD));
}

#[test]
fn a_key_not_known_is_an_error_with_its_line() {
    let text = error("time_stop", "time_stopp");
    assert!(text.starts_with("mine.toml:14: unknown field `time_stopp`"), "{text}");
    let text = error("[rules]", "[rulez]");
    assert!(text.starts_with("mine.toml:6: unknown field `rulez`"), "{text}");
}

#[test]
fn a_bad_expression_shows_the_place_and_the_nearest_name() {
    assert_eq!(
        error("close > sma(close, n)", "close > smaa(close, n)"),
        "mine.toml:8: `long_entry`: no function is named `smaa`\n  close > smaa(close, n)\n          ^^^^\nhint: did you mean `sma`?"
    );
}

#[test]
fn texts_numbers_sizes_levels_and_times_are_checked() {
    let long = format!("\"{}\"", "x".repeat(51));
    let cases = [
        ("default = 10,", "default = \"x\",", "mine.toml:4: `\"x\"` is not a number"),
        ("[5, 20]", "[20, 5]", "mine.toml:4: the range ends before it begins"),
        ("step = 5", "step = 0", "mine.toml:4: a step must be above 0"),
        ("quote = 1000", "quote = -1", "mine.toml:11: a size must be above 0"),
        ("quote = 1000", "equity = 1.5", "mine.toml:11: a fraction of equity is at most 1"),
        ("sl%", "ls%", "mine.toml:12: `stop_loss`: `ls` is neither a number nor a parameter"),
        ("sl%", "-2%", "mine.toml:12: `stop_loss` must be above 0 %"),
        ("quote = 1000", "risk = \"ls\"", "mine.toml:11: `size`: `ls` is neither a number nor a"),
        ("36h", "36x", "mine.toml:14: `36x` is not a time"),
        ("36h", "0h", "mine.toml:14: a time stop must be above 0"),
        ("36h", "hold h", "mine.toml:14: `time_stop`: `hold` is neither a number nor a parameter"),
        ("n < 15", "close < 15", "mine.toml:7: `require` may name parameters only"),
        ("name = \"mine\"", "name = \"1 mine\"", "mine.toml:1: a name is 1 to 100"),
        ("sl = {", "close = {", "mine.toml:5: `close` cannot name a parameter"),
        ("\"trend\"", &long, "mine.toml:2: `strategy_type` is longer than 50 characters"),
        ("\"trend\"", "\"a\"\ndescription = \"b\\u0000\"", "mine.toml:3: a text may not hold"),
        ("\"trend\"", "\"a\"\nsymbols = [\n\"b\\u0000\"]", "mine.toml:4: a text may not hold"),
    ];
    for (from, to, expected) in cases {
        let text = error(from, to);
        assert!(text.starts_with(expected), "{to}: {text}");
    }
}

#[test]
fn parameters_stand_in_sizes_and_times() {
    let text = GOOD.replace("quote = 1000", "equity = \"sl\"").replace("36h", "n h");
    let definition = Definition::parse(&text, "mine.toml").unwrap();
    let identity = definition.identity();
    assert!(identity.contains("size: equity sl") && identity.contains("time_stop: n * 3600000000"));
    let build = |n: &str, sl: &str| {
        let set = [("n", n), ("sl", sl)];
        let params: Params =
            set.map(|(k, v)| (k.to_owned(), v.parse::<Decimal>().unwrap())).into_iter().collect();
        definition.build(&params).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert_eq!(build("10", "0.5"), "");
    let text = build("10", "2.5");
    assert!(text.contains("at most 1") && text.contains("`sl` is 2.5"), "{text}");
    let text = build("10", "0");
    assert!(text.contains("a size must be above 0, and `sl` is 0"), "{text}");
}

#[test]
fn values_that_break_require_or_name_nothing_are_refused() {
    let definition = Definition::parse(GOOD, "mine.toml").unwrap();
    let given = |name: &str, value: i64| {
        let error = definition.params(&[(name.to_owned(), Decimal::from(value))]).err().unwrap();
        format!("{error}; {}", error.hint().unwrap_or_default())
    };
    assert_eq!(
        given("n", 20),
        "`mine` requires `n < 15`, which n=20 sl=2.5 breaks; choose other values with --set"
    );
    assert_eq!(given("slow", 1), "`mine` has no parameter `slow`; did you mean `sl`?");
}
