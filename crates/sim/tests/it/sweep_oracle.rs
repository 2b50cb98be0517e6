//! L5: the sweep's kernel equals the reference loop, digit for digit, on random bars, rules and markets.
//! Prices lie on a coarse grid, so that ties (a = b, low = level, open = level) are common.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rust_decimal::Decimal;
use sim::bars::{Bars, Columns};
use sim::exact;
use sim::expr::{Expr, Type};
use sim::order::{ExitReason, RejectReason, Size, Trade};
use sim::params::Params;
use sim::rules::{Fill, Intrabar, Rules};
use sim::signals::{Amount, Level, SignalRules, TimeStop};
use sim::sweep::{self, Fault, Options, Outcome, Variant};
use sim::timeframe::Timeframe;

/// How many cases of several variants; set the environment variable for millions.
const CASES: u64 = 6_000;
const CASES_VARIABLE: &str = "SWEEP_ORACLE_CASES";
/// How often every reason must have occurred for the cases to mean something.
const ENOUGH: usize = 100;
const NAMES: [&str; 4] = ["p", "q", "level", "sl"];

/// SplitMix64: a case is made again from its number alone.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: i64) -> i64 {
        i64::try_from(self.roll() % n.unsigned_abs()).unwrap()
    }

    fn within(&mut self, from: i64, to: i64) -> i64 {
        from + self.below(to - from + 1)
    }

    fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let len = i64::try_from(from.len()).unwrap();
        from[usize::try_from(self.below(len)).unwrap()].clone()
    }
}

fn bars(dice: &mut Dice) -> Bars {
    let unit = exact::ONE_E8 / 2;
    let timeframe: Timeframe = dice.pick(&["1m", "1h", "4h", "1d", "1w"]).parse().unwrap();
    let most = dice.pick(&[40, 200, 700]);
    let n = dice.within(2, most);
    // 2020-01-06, a Monday.
    let (mut time_us, mut last) = (1_578_268_800_000_000, dice.within(20, 80));
    let (drift, gappy) = (dice.within(-1, 1), dice.one_in(2));
    let mut c = Columns::default();
    for _ in 0..n {
        let step = if dice.one_in(4) { dice.within(-3, 3) + drift } else { 0 };
        let open = (last + step).max(4);
        let (high, low) = (open + dice.below(4), (open - dice.below(4)).max(1));
        let close = dice.within(low, high);
        c.time_us.push(time_us);
        for (column, price) in
            [(&mut c.open, open), (&mut c.high, high), (&mut c.low, low), (&mut c.close, close)]
        {
            column.push(price * unit);
        }
        let gap = if gappy && dice.one_in(6) { dice.within(1, 5) } else { 1 };
        time_us += gap * timeframe.us();
        last = close;
    }
    let warmup = usize::try_from(dice.below(n.min(12))).unwrap();
    Bars::new("T", timeframe, warmup, c).unwrap()
}

/// What the kernel makes of prices where it is read, alone and as parts of others.
const WINDOWS: [&str; 8] = [
    "shift(highest(high, 3), 1)",
    "highest(high, q)",
    "shift(lowest(low, q), p)",
    "bb_lower(close, q, 1.5)",
    "bb_upper(close, 90, 1)",
    "stddev(close, q) * 2 + low",
    "shift((high + low) / 2, p)",
    "max(lowest(close, 100), sma(low, p))",
];
const DIRECTIONS: [&str; 6] = [
    "supertrend_dir(q, 0.5) > 0",
    "supertrend_dir(q, 0.5) == 1",
    "cross_above(supertrend_dir(p, 1.5), 0)",
    "cross_below(supertrend_dir(q, 1), 1)",
    "supertrend_dir(p, 1.5) != supertrend_dir(q, 0.5)",
    "0 >= supertrend_dir(p, 0.5)",
];
const DISTANCES: [&str; 5] = [
    "(high - low) / 3",
    "highest(high, q) - low",
    "stddev(close, 5)",
    "ema(close, 3) / 20",
    "1 + shift(atr(3), p)",
];

fn number(dice: &mut Dice) -> String {
    match dice.below(15) {
        0..4 => "close".to_owned(),
        11 => "ema(close, q)".to_owned(),
        12 => "supertrend(p, 1.5)".to_owned(),
        13 => "macd_signal(close, p, q, 3)".to_owned(),
        4 => "high".to_owned(),
        5 => "low".to_owned(),
        6 => "sma(close, p)".to_owned(),
        7 => "sma(close, q)".to_owned(),
        8 => "shift(close, p)".to_owned(),
        9 => dice.pick(&WINDOWS).to_owned(),
        10 => "level".to_owned(),
        _ => format!("{}.5", dice.within(8, 30)),
    }
}

fn rule(dice: &mut Dice, depth: u32) -> String {
    let (a, b) = (number(dice), number(dice));
    match dice.below(if depth == 0 { 6 } else { 10 }) {
        0 => format!("cross_above({a}, {b})"),
        1 => format!("cross_below({a}, {b})"),
        2 if dice.one_in(2) => "rsi(close, 3) < 30".to_owned(),
        2 if dice.one_in(2) => "cross_above(macd(close, 2, q, p), 0)".to_owned(),
        2 => dice.pick(&DIRECTIONS).to_owned(),
        3 => format!("close {} shift(close, 1)", dice.pick(&["<", ">", "<=", "=="])),
        4 | 5 => format!("{a} {} {b}", dice.pick(&["<", "<=", ">", ">=", "==", "!="])),
        6 => format!("not ({})", rule(dice, depth - 1)),
        7 | 8 => format!("({}) and ({})", rule(dice, depth - 1), rule(dice, depth - 1)),
        _ => format!("({}) or ({})", rule(dice, depth - 1), rule(dice, depth - 1)),
    }
}

fn parse(text: &str, want: Type) -> Expr {
    Expr::parse(text, want, &NAMES).unwrap_or_else(|e| panic!("{}", e.render()))
}

fn level(dice: &mut Dice, one_in: i64) -> Option<Level> {
    if !dice.one_in(one_in) {
        return None;
    }
    Some(match dice.below(6) {
        // So far away that a position lasts for hundreds of bars.
        0 if dice.one_in(3) => Level::Percent(Decimal::new(dice.within(120, 800), 1).into()),
        0 => Level::Percent(Decimal::new(dice.within(1, 120), 1).into()),
        1 => Level::Percent(Decimal::new(dice.within(1, 999_999_999), 8).into()),
        2 => Level::Percent(Amount::Param("sl".to_owned())),
        3 => Level::Quote(parse("1.5 * atr(3)", Type::Number)),
        4 => Level::Quote(parse(dice.pick(&DISTANCES), Type::Number)),
        _ => Level::Quote(parse(dice.pick(&["0.5", "1", "2.5", "sl"]), Type::Number)),
    })
}

fn strategy(dice: &mut Dice) -> SignalRules {
    let mut expr = |one_in: i64| (!dice.one_in(one_in)).then(|| parse(&rule(dice, 2), Type::Rule));
    let rules = [expr(5), expr(3), expr(3), expr(3)];
    let [long_entry, long_exit, short_entry, short_exit] = rules;
    let (stop_loss, take_profit, trailing_stop) = (level(dice, 3), level(dice, 3), level(dice, 4));
    let by_risk = stop_loss.is_some() || trailing_stop.is_some();
    let size = match dice.below(if by_risk { 6 } else { 5 }) {
        0 => Size::Equity(Amount::Param("share".to_owned())),
        1 => Size::Equity(Decimal::new(dice.within(1, 10), 1).into()),
        2 => Size::Equity(Decimal::ONE.into()),
        3 => Size::Quote(Decimal::new(dice.within(1, 12_000), 0).into()),
        4 if dice.one_in(20) => Size::Quantity(Decimal::new(99_999_999_999, 0).into()),
        4 => Size::Quantity(Decimal::new(dice.within(1, 40_000), 2).into()),
        _ => Size::Risk(Decimal::new(dice.within(1, 10), 2).into()),
    };
    let fixed = Amount::Fixed(Decimal::new(dice.within(1, 300_000), 0));
    let count = if dice.one_in(3) { Amount::Param("hold".to_owned()) } else { fixed };
    let time_stop = dice.one_in(4).then_some(TimeStop { count, unit_us: 60_000_000 });
    SignalRules {
        long_entry,
        long_exit,
        short_entry,
        short_exit,
        size,
        stop_loss,
        take_profit,
        trailing_stop,
        time_stop,
    }
}

fn market(dice: &mut Dice) -> Rules {
    let fee = dice.pick(&[0, 75, 100, 3_333]);
    Rules {
        capital: Decimal::new(
            dice.pick(&[10_000, 10_000, 30, 10_000, 10_000, 30, 20_000_000_000, 950_000_000_000]),
            0,
        ),
        fee_bps: Decimal::new(fee, 1),
        maker_fee_bps: Decimal::new(dice.pick(&[0, 25]), 1),
        slippage_bps: Decimal::new(dice.pick(&[0, 0, 13, 500]), 1),
        fill: dice.pick(&[Fill::NextOpen, Fill::Close]),
        intrabar: dice.pick(&[Intrabar::Worst, Intrabar::Best, Intrabar::Path]),
        lot_step: dice.pick(&["0.00000001", "0.001", "10"]).parse().unwrap(),
        tick_size: dice.pick(&["0.00000001", "0.01", "0.5"]).parse().unwrap(),
        min_notional: Decimal::new(dice.pick(&[0, 0, 20, 3_000]), 0),
        year_days: dice.pick(&[365, 252]),
        risk_free: Decimal::new(dice.pick(&[0, 3]), 0),
    }
}

fn variants(dice: &mut Dice) -> Vec<Variant> {
    let n = dice.within(1, 6);
    let one = |dice: &mut Dice| {
        let mut params = Params::default();
        params.set("p", Decimal::new(dice.within(1, 4), 0));
        params.set("q", Decimal::new(dice.within(2, 9), 0));
        params.set("level", Decimal::new(dice.within(20, 60) * 5, 1));
        params.set("sl", Decimal::new(dice.within(1, 40), 1));
        params.set("share", Decimal::new(dice.within(1, 10), 1));
        params.set("hold", Decimal::new(dice.within(1, 300_000), 0));
        Variant { params, rules: market(dice) }
    };
    (0..n).map(|_| one(dice)).collect()
}

/// How often everything happened that a case can hold.
#[derive(Default)]
struct Seen {
    exits: BTreeMap<ExitReason, usize>,
    rejections: BTreeMap<RejectReason, usize>,
    ambiguous: usize,
    failures: usize,
    open: usize,
    bars: usize,
    ties: usize,
}

fn swept(
    bars: &Bars,
    strategy: &SignalRules,
    variants: &[Variant],
    options: &Options<'_>,
) -> Vec<Option<Result<Outcome, String>>> {
    let results = Mutex::new(vec![None; variants.len()]);
    sweep::sweep(bars, strategy, variants, options, &|index, result| {
        let result = result.map_err(|fault: Fault| fault.to_string());
        assert!(results.lock().unwrap()[index].replace(result).is_none(), "twice: {index}");
    })
    .unwrap();
    results.into_inner().unwrap()
}

fn listed(
    bars: &Bars,
    strategy: &SignalRules,
    variants: &[Variant],
    options: &Options<'_>,
) -> Vec<Option<Result<Vec<Trade>, String>>> {
    let results = Mutex::new(vec![None; variants.len()]);
    sweep::trades(bars, strategy, variants, options, &|index, result| {
        let result = result.map_err(|fault: Fault| fault.to_string());
        assert!(results.lock().unwrap()[index].replace(result).is_none(), "twice: {index}");
    })
    .unwrap();
    results.into_inner().unwrap()
}

fn check(case: u64, seen: &mut Seen) {
    let mut dice = Dice(case.wrapping_mul(0xD134_2543_DE82_EF95));
    let (bars, strategy, variants) = (bars(&mut dice), strategy(&mut dice), variants(&mut dice));
    // A position is open at the ends of tiles that are not short, too.
    let tile = [64, 2_048, 320][usize::try_from(case % 3).unwrap()];
    let batch = dice.pick(&[1, 2, 512]);
    let threads = if case.is_multiple_of(16) { 2 } else { 1 };
    let options = Options { threads, tile, batch, ..Options::default() };
    let results = swept(&bars, &strategy, &variants, &options);
    let lists = listed(&bars, &strategy, &variants, &options);
    seen.bars += bars.len();
    seen.ties += bars.close().windows(2).filter(|pair| pair[0] == pair[1]).count();
    for ((variant, result), trades) in variants.iter().zip(results).zip(lists) {
        variant.rules.check().unwrap();
        let mut signals = strategy.bind(&variant.params).unwrap();
        let run = sim::run(&bars, &mut signals, &variant.rules);
        let expected = run.as_ref().map(Outcome::from).map_err(ToString::to_string);
        let told = || format!("case {case}: {variant:?}\n{}", strategy.canonical());
        let list = run.as_ref().map(|run| run.trades.clone()).map_err(ToString::to_string);
        assert_eq!(trades, Some(list), "{}", told());
        assert_eq!(result, Some(expected), "{}", told());
        let Ok(run) = run else {
            seen.failures += 1;
            continue;
        };
        seen.ambiguous += run.ambiguous_bars;
        for trade in &run.trades {
            match &trade.exit {
                Some(exit) => *seen.exits.entry(exit.reason).or_default() += 1,
                None => seen.open += 1,
            }
        }
        for rejection in &run.rejections {
            *seen.rejections.entry(rejection.reason).or_default() += 1;
        }
    }
}

/// Sells at a price at which equity leaves what the kernel counts in, with a loss before in the same stretch of bars.
#[test]
fn what_leaves_the_kernel_leaves_nothing_behind_for_the_next_variant() {
    let mut c = Columns::default();
    let mut add = |open: i64, close: i64| {
        c.time_us
            .push(1_578_268_800_000_000 + i64::try_from(c.time_us.len()).unwrap() * 60_000_000);
        for (column, price) in [
            (&mut c.open, open),
            (&mut c.high, open.max(close)),
            (&mut c.low, open.min(close)),
            (&mut c.close, close),
        ] {
            column.push(price * exact::ONE_E8);
        }
    };
    (0..7).for_each(|_| add(100, 100));
    // Bought at 50 and sold at 41, bought at 40 and sold at 4,000.
    add(100, 60);
    (0..12).for_each(|i| add(50 - i, 49 - i));
    add(38, 41);
    (0..3).for_each(|_| add(41, 41));
    add(41, 40);
    add(40, 39);
    add(39, 41);
    add(4_000, 41);
    let bars = Bars::new("T", "1m".parse().unwrap(), 0, c).unwrap();
    let strategy = SignalRules {
        long_entry: Some(parse("close < shift(close, 1)", Type::Rule)),
        long_exit: Some(parse("close > shift(close, 1)", Type::Rule)),
        short_entry: None,
        short_exit: None,
        size: Size::Equity(Decimal::ONE.into()),
        stop_loss: None,
        take_profit: None,
        trailing_stop: None,
        time_stop: None,
    };
    let rules = |capital: i64, min_notional: i64| Rules {
        capital: Decimal::new(capital, 0),
        min_notional: Decimal::new(min_notional, 0),
        ..Rules::default()
    };
    // The second buys nothing and never loses.
    let variants = [rules(1_000_000_000, 0), rules(22_000_000_000, 22_900_000_000)]
        .map(|rules| Variant { params: Params::default(), rules });
    let options = Options { threads: 1, ..Options::default() };
    for (variant, result) in variants.iter().zip(swept(&bars, &strategy, &variants, &options)) {
        let run = sim::run(&bars, &mut strategy.bind(&variant.params).unwrap(), &variant.rules);
        assert_eq!(result, Some(Ok(Outcome::from(&run.unwrap()))));
    }
}

#[test]
fn l5_fast_equals_slow() {
    let cases = std::env::var(CASES_VARIABLE).map_or(CASES, |text| text.parse().unwrap());
    let mut seen = Seen::default();
    (0..cases).for_each(|case| check(case, &mut seen));
    let counts = format!(
        "{:?} {:?} ambiguous {} failures {} open {}, {} ties on {} bars",
        seen.exits, seen.rejections, seen.ambiguous, seen.failures, seen.open, seen.ties, seen.bars
    );
    println!("{counts}");
    let exits = [
        ExitReason::Signal,
        ExitReason::Reverse,
        ExitReason::StopLoss,
        ExitReason::TakeProfit,
        ExitReason::TrailingStop,
        ExitReason::TimeStop,
        ExitReason::Liquidation,
    ];
    for reason in exits {
        assert!(seen.exits.get(&reason).copied().unwrap_or(0) >= ENOUGH, "{reason:?}: {counts}");
    }
    for reason in RejectReason::ALL {
        let n = seen.rejections.get(&reason).copied().unwrap_or(0);
        assert!(n >= ENOUGH, "{reason:?}: {counts}");
    }
    assert!(seen.ambiguous >= ENOUGH && seen.failures >= ENOUGH && seen.open >= ENOUGH, "{counts}");
    assert!(seen.ties * 20 >= seen.bars, "{counts}");
}
