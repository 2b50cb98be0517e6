//! Tests of the language: what parses, what it is called, and what an error shows.
//! No bars may enter.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::parse::{MAX_DEPTH, MAX_SOURCE};
use super::*;

fn parse(source: &str, want: Type) -> Result<Expr, ExprError> {
    Expr::parse(source, want, &["fast", "slow", "k"])
}

/// The rendered error and its hint.
fn refused(source: &str, want: Type) -> (String, String) {
    let error = parse(source, want).unwrap_err();
    (error.render(), error.hint().unwrap_or("").to_owned())
}

fn params(pairs: &[(&str, &str)]) -> Params {
    let value = |text: &str| text.parse::<Decimal>().unwrap();
    pairs.iter().map(|&(name, text)| (name.to_owned(), value(text))).collect()
}

#[track_caller]
fn check_error(source: &str, want: Type, rendered: &[&str], hint: &str) {
    assert_eq!(refused(source, want), (rendered.join("\n"), hint.to_owned()));
}

#[test]
fn unknown_names_point_at_the_place_and_suggest_the_nearest() {
    check_error(
        "close > smaa(close, 10)",
        Type::Rule,
        &["no function is named `smaa`", "  close > smaa(close, 10)", "          ^^^^"],
        "did you mean `sma`?",
    );
    check_error(
        "cross_abve(close, open)",
        Type::Rule,
        &["no function is named `cross_abve`", "  cross_abve(close, open)", "  ^^^^^^^^^^"],
        "did you mean `cross_above`?",
    );
    check_error(
        "sma(clsoe, fsat)",
        Type::Number,
        &["no column or parameter is named `clsoe`", "  sma(clsoe, fsat)", "      ^^^^^"],
        "did you mean `close`?",
    );
    check_error(
        "sma(close, fsat)",
        Type::Number,
        &["no column or parameter is named `fsat`", "  sma(close, fsat)", "             ^^^^"],
        "did you mean `fast`?",
    );
    check_error(
        "zzz > 1",
        Type::Rule,
        &["no column or parameter is named `zzz`", "  zzz > 1", "  ^^^"],
        "",
    );
    check_error(
        "crossover(close, open)",
        Type::Rule,
        &["no function is named `crossover`", "  crossover(close, open)", "  ^^^^^^^^^"],
        "did you mean `cross_above(a, b)`?",
    );
    check_error(
        "sma > 1",
        Type::Rule,
        &["`sma` is a function and needs arguments", "  sma > 1", "  ^^^"],
        "write `sma(x, n)`",
    );
    check_error(
        "close(1) > 1",
        Type::Rule,
        &["`close` is not a function", "  close(1) > 1", "  ^^^^^"],
        "for an earlier bar write `shift(close, 1)`",
    );
}

#[test]
fn arguments_are_counted_and_typed() {
    check_error(
        "sma(close) > 1",
        Type::Rule,
        &["`sma` takes 2 arguments, 1 given", "  sma(close) > 1", "  ^^^^^^^^^^"],
        "write `sma(x, n)`",
    );
    check_error(
        "abs(1, 2)",
        Type::Number,
        &["`abs` takes 1 argument, 2 given", "  abs(1, 2)", "  ^^^^^^^^^"],
        "write `abs(x)`",
    );
    check_error(
        "sma(close, volume)",
        Type::Number,
        &["`n` of `sma` must be constant", "  sma(close, volume)", "             ^^^^^^"],
        "use numbers and parameters only",
    );
    check_error(
        "shift(close, -1)",
        Type::Number,
        &[
            "`n` of `shift` is -1, not a whole number from 1 to 100000",
            "  shift(close, -1)",
            "               ^^",
        ],
        "",
    );
    check_error(
        "bb_upper(close, 20, 2 - 2)",
        Type::Number,
        &[
            "`k` of `bb_upper` is 0, not above 0",
            "  bb_upper(close, 20, 2 - 2)",
            "                      ^^^^^",
        ],
        "",
    );
    let number = "a number is needed here, this is a rule (true or false)";
    check_error(
        "(close > open) + 1 > 2",
        Type::Rule,
        &[number, "  (close > open) + 1 > 2", "  ^^^^^^^^^^^^^^"],
        "",
    );
    check_error("not 1", Type::Number, &[number, "  not 1", "  ^^^^^"], "");
    let rule = "a rule (true or false) is needed here, this is a number";
    let hint = "compare it with something, such as `> 0`";
    check_error("close", Type::Rule, &[rule, "  close", "  ^^^^^"], hint);
    check_error(
        "close > 1 and rsi(close, 2)",
        Type::Rule,
        &[rule, "  close > 1 and rsi(close, 2)", "                ^^^^^^^^^^^^^"],
        hint,
    );
}

#[test]
fn grammar_errors_say_what_was_expected() {
    check_error(
        "1 < close < 2",
        Type::Rule,
        &["comparisons cannot be chained", "  1 < close < 2", "  ^^^^^^^^^^^^^"],
        "write `a < b and b < c`",
    );
    check_error(
        "close = 2",
        Type::Rule,
        &["`=` means nothing here", "  close = 2", "        ^"],
        "to compare, write `==`",
    );
    check_error(
        "close >",
        Type::Rule,
        &["expected a value, found the end", "  close >", "         ^"],
        "",
    );
    check_error("", Type::Rule, &["expected a value, found the end", "  ", "  ^"], "");
    check_error(
        "(close > 1",
        Type::Rule,
        &["expected an operator or `)`, found the end", "  (close > 1", "            ^"],
        "",
    );
    check_error(
        "close > 1 open",
        Type::Rule,
        &["expected an operator or the end, found `open`", "  close > 1 open", "            ^^^^"],
        "",
    );
    check_error(
        "sma(close, )",
        Type::Number,
        &["expected a value, found `)`", "  sma(close, )", "             ^"],
        "",
    );
    check_error(
        "close[1]",
        Type::Number,
        &["`[` means nothing here", "  close[1]", "       ^"],
        "for an earlier bar write `shift(close, 1)`",
    );
    check_error("1e999", Type::Number, &["this number is too large", "  1e999", "  ^^^^^"], "");
    // Only the line with the place is shown; what is not ASCII counts as one column.
    check_error(
        "close > 1\n  and é > 2\n  and high > 3",
        Type::Rule,
        &["`é` means nothing here", "    and é > 2", "        ^"],
        "",
    );
}

#[test]
fn binding_points_at_the_argument_that_its_values_break() {
    let expr = parse("close > sma(close, 2 * fast)", Type::Rule).unwrap();
    assert_eq!(expr.params(), BTreeSet::from(["fast".to_owned()]));
    let error = expr.bind(&params(&[("fast", "2.25")])).unwrap_err();
    let lines = [
        "`n` of `sma` is 4.5, not a whole number from 1 to 100000",
        "  close > sma(close, 2 * fast)",
        "                     ^^^^^^^^",
    ];
    assert_eq!(error.render(), lines.join("\n"));
    assert_eq!(error.span(), 19..27);
    let error = expr.bind(&params(&[("fast", "60000")])).unwrap_err();
    assert!(error.to_string().contains("is 120000, not a whole number"), "{error}");
    let error = expr.bind(&Params::default()).unwrap_err();
    assert_eq!(error.to_string(), "parameter `fast` has no value");
    assert_eq!(expr.bind(&params(&[("fast", "5")])).unwrap().key(), "sma(close, 10) < close");
    let divided = parse("sma(close, fast / slow)", Type::Number).unwrap();
    let error = divided.bind(&params(&[("fast", "1"), ("slow", "0")])).unwrap_err();
    assert!(error.to_string().starts_with("`n` of `sma` is undefined"), "{error}");
}

#[test]
fn what_needs_no_bar_is_folded() {
    let rule = |source: &str, fast: &str, slow: &str| {
        let expr = parse(source, Type::Rule).unwrap();
        expr.bind(&params(&[("fast", fast), ("slow", slow)])).unwrap().constant_rule()
    };
    assert_eq!(rule("fast < slow", "10", "50"), Some(Some(true)));
    assert_eq!(rule("fast * 2 < slow and not fast == 3", "10", "20"), Some(Some(false)));
    assert_eq!(rule("fast / slow > 1", "10", "0"), Some(None));
    assert_eq!(rule("min(fast, slow) == abs(-10)", "10", "20"), Some(Some(true)));
    assert_eq!(rule("close > fast", "10", "20"), None);
    assert_eq!(rule("close > fast and fast > slow", "10", "20"), Some(Some(false)));
    assert_eq!(rule("true", "1", "1"), Some(Some(true)));
    // The nearest double of the decimal, as a literal has it.
    assert_eq!(rule("fast == 0.1 and slow == 0.3", "0.10", "0.3"), Some(Some(true)));
    let number = parse("fast * 3", Type::Number).unwrap();
    assert_eq!(number.bind(&params(&[("fast", "2")])).unwrap().constant_number(), Some(6.0));
}

#[test]
fn columns_read_implicitly_are_named() {
    let columns = |source: &str| -> String {
        let all = parse(source, Type::Number).unwrap().columns();
        all.into_iter().map(Column::name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(columns("mfi(14)"), "high low close volume");
    assert_eq!(columns("vwap()"), "high low close volume");
    assert_eq!(columns("obv()"), "close volume");
    assert_eq!(columns("supertrend(3, 2) + open"), "open high low close");
    assert_eq!(columns("ema(quote_volume, fast)"), "quote_volume");
    assert_eq!(columns("fast"), "");
}

#[test]
fn canonical_text_forgets_how_it_was_typed() {
    let text = |source: &str, want: Type| parse(source, want).unwrap().canonical();
    for (source, canonical) in [
        ("( close+1.50 )*2", "(close + 1.5) * 2"),
        ("((close))", "close"),
        ("close-(open-1)", "close - (open - 1)"),
        ("(close-open)-1", "close - open - 1"),
        ("-(close*2)", "-(close * 2)"),
        ("(-close)*2", "-close * 2"),
        ("--close", "--close"),
        ("1e3 + .5 + 2.", "1000 + 0.5 + 2"),
        ("sma(close,2*fast)", "sma(close, 2 * fast)"),
    ] {
        assert_eq!(text(source, Type::Number), canonical);
    }
    for (source, canonical) in [
        ("not(close>1)and(open>1 or true)", "not close > 1 and (open > 1 or true)"),
        ("(close>1 and open>1)or false", "close > 1 and open > 1 or false"),
        ("not (close>1 and open>1)", "not (close > 1 and open > 1)"),
        ("not\n not close\t!= 1", "not not close != 1"),
    ] {
        assert_eq!(text(source, Type::Rule), canonical);
    }
}

#[test]
fn a_parameter_may_not_hide_a_column() {
    let error = Expr::parse("close > 1", Type::Rule, &["close"]).unwrap_err();
    assert_eq!(error.to_string(), "`close` is a column and a parameter too");
}

#[test]
fn hostile_depth_and_length_are_refused() {
    let deep = [
        format!("{}close{}", "(".repeat(2000), ")".repeat(2000)),
        format!("{}close", "-".repeat(4000)),
        format!("{}close > 1", "not ".repeat(1000)),
        format!("close{}", " + 1".repeat(1000)),
        format!("{}close{}", "abs(".repeat(500), ")".repeat(500)),
        format!("{}close{}", "-(".repeat(1000), ")".repeat(1000)),
    ];
    for source in deep {
        let error = parse(&source, Type::Number).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("nested deeper than the limit of {MAX_DEPTH} levels")
        );
    }
    let long = format!("close > {}", "1".repeat(MAX_SOURCE));
    let error = parse(&long, Type::Rule).unwrap_err();
    let message = "an expression of 4104 bytes is longer than the limit of 4096";
    assert_eq!(error.render(), message);
    // At the limit everything behind the parser works too.
    let deepest = MAX_DEPTH - 1;
    let source = format!("{}close{}", "abs(".repeat(deepest), ")".repeat(deepest));
    let expr = parse(&source, Type::Number).unwrap();
    assert_eq!(expr.canonical(), source);
    assert!(expr.bind(&Params::default()).is_ok());
    let source = format!("close > 1{}", " or close > 1".repeat(MAX_DEPTH - 2));
    assert!(parse(&source, Type::Rule).is_ok());
}

/// Sources that are well-formed, of either type.
fn well_formed() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["close", "volume", "1.50", "fast", "k", "obv()", "2e-9"]);
    let number = leaf.prop_map(str::to_owned).prop_recursive(4, 24, 2, |inner| {
        let op = prop::sample::select(vec!["+", "-", "*", "/"]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a}{op} {b}")),
            inner.clone().prop_map(|x| format!("-{x}")),
            inner.clone().prop_map(|x| format!("({x})")),
            inner.clone().prop_map(|x| format!("sma({x},fast *2)")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("max({a}, {b})")),
        ]
    });
    let op = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let compared = (number.clone(), op, number).prop_map(|(a, op, b)| format!("{a} {op} {b}"));
    compared.prop_recursive(3, 12, 2, |inner| {
        let op = prop::sample::select(vec!["and", "or"]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a}  {op} {b}")),
            inner.clone().prop_map(|x| format!("not {x}")),
            inner.prop_map(|x| format!("({x})")),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(source in "\\PC*", piece in 0_usize..3) {
        let want = if piece == 0 { Type::Number } else { Type::Rule };
        if let Err(error) = parse(&source, want) {
            prop_assert!(error.span().end <= source.len());
            prop_assert!(!error.render().is_empty());
        }
    }

    #[test]
    fn no_words_panic(words in prop::collection::vec(prop::sample::select(vec![
        "close", "sma", "(", ")", ",", "-", "not", "and", "or", "<", "==", "1", "fast", "k", "\n",
        "true", "é", "cross_above", "+", ".5", "1e", "/",
    ]), 0..40)) {
        for want in [Type::Number, Type::Rule] {
            if let Err(error) = parse(&words.join(" "), want) {
                prop_assert!(!error.render().is_empty());
            }
        }
    }

    #[test]
    fn canonical_is_a_fixed_point_and_keeps_the_meaning(source in well_formed()) {
        let expr = parse(&source, Type::Rule).unwrap();
        let again = parse(&expr.canonical(), Type::Rule).unwrap();
        prop_assert_eq!(expr.canonical(), again.canonical());
        let values = params(&[("fast", "3"), ("k", "0.7")]);
        let key = |expr: &Expr| expr.bind(&values).unwrap().key().to_owned();
        prop_assert_eq!(key(&expr), key(&again));
    }
}
