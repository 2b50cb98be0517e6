//! Verdicts: each kind of fault is put into good bars by hand and found where it was put, and good bars are clean.
//! How a verdict is shown is the voice's.

use sim::timeframe::Timeframe;
use sim::units::Units;
use sim::verdict::{Finding, Kind, MAX_WORST, Place, Series, Verdict, Volumes, judge};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2024-03-01 UTC, a Friday.
const START: i64 = 1_709_251_200_000_000;
const CENT: i64 = 1_000_000;

/// Columns that a test spoils.
#[derive(Clone)]
struct Bars {
    timeframe: Timeframe,
    time: Vec<i64>,
    open: Vec<i64>,
    high: Vec<i64>,
    low: Vec<i64>,
    close: Vec<i64>,
    volume: Option<Vec<Option<i128>>>,
}

impl Bars {
    /// A walk around 100.00 in cents, calm and wild by turns, with volumes.
    fn walk(timeframe: &str, n: usize) -> Self {
        let timeframe: Timeframe = timeframe.parse().expect("known");
        let mut state = 7_u64;
        let mut random = move |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((state >> 33) % n).expect("small")
        };
        let mut bars = Self {
            timeframe,
            time: Vec::new(),
            open: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            close: Vec::new(),
            volume: Some(Vec::new()),
        };
        let mut price = 10_000;
        for i in 0..n {
            let spread = if i / 300 % 3 == 2 { 60 } else { 12 };
            let open = price;
            let pull = (10_000 - open) / 50;
            price = open + pull + random(2 * spread + 1) - i64::try_from(spread).expect("small");
            bars.time.push(START + i64::try_from(i).expect("small") * timeframe.us());
            bars.open.push(open * CENT);
            bars.high.push((open.max(price) + random(spread)) * CENT);
            bars.low.push((open.min(price) - random(spread)) * CENT);
            bars.close.push(price * CENT);
            bars.volume.as_mut().expect("read").push(Some(i128::from(1 + random(9_999))));
        }
        bars
    }

    fn verdict(&self) -> Verdict {
        let volume: Option<Units> = self.volume.as_ref().map(|v| v.iter().copied().collect());
        judge(&Series {
            timeframe: self.timeframe,
            time_us: &self.time,
            open: &self.open,
            high: &self.high,
            low: &self.low,
            close: &self.close,
            volume: volume.as_ref().map(Volumes::Any),
        })
    }

    /// The one finding there is.
    fn only(&self, kind: Kind) -> Finding {
        let verdict = self.verdict();
        assert_eq!(verdict.findings.len(), 1, "{:#?}", verdict.findings);
        assert_eq!(verdict.findings[0].kind, kind);
        verdict.findings[0].clone()
    }

    /// Leaves bars `range` out.
    fn without(mut self, range: std::ops::Range<usize>) -> Self {
        self.time.drain(range.clone());
        for prices in [&mut self.open, &mut self.high, &mut self.low, &mut self.close] {
            prices.drain(range.clone());
        }
        self.volume.as_mut().expect("read").drain(range);
        self
    }

    /// Copies bar `from` over bar `to`, its time aside.
    fn copy(&mut self, from: usize, to: usize) {
        for prices in [&mut self.open, &mut self.high, &mut self.low, &mut self.close] {
            prices[to] = prices[from];
        }
        if let Some(volume) = &mut self.volume {
            volume[to] = volume[from];
        }
    }

    /// Multiplies the prices of bars `range`.
    fn scale(&mut self, range: std::ops::Range<usize>, by: f64) {
        for prices in [&mut self.open, &mut self.high, &mut self.low, &mut self.close] {
            for price in &mut prices[range.clone()] {
                #[expect(clippy::cast_possible_truncation, reason = "small prices")]
                let scaled = (*price as f64 * by) as i64;
                *price = scaled;
            }
        }
    }
}

fn price(place: &Place, name: &str) -> i64 {
    place.prices.iter().find(|(n, _)| *n == name).expect("it is shown").1 / CENT
}

#[test]
fn good_bars_are_clean() {
    for timeframe in ["1s", "1m", "1h", "4h", "1d"] {
        let verdict = Bars::walk(timeframe, 20_000).verdict();
        assert!(verdict.is_clean(), "{timeframe}: {:#?}", verdict.findings);
        assert!(verdict.volume_read && verdict.bars == 20_000);
        let usual = verdict.usual_move.expect("there are moves enough");
        assert!((0.0005..0.003).contains(&usual), "{usual}");
    }
    let few = Bars::walk("1m", 3).verdict();
    assert!(few.is_clean() && few.usual_move.is_none());
    assert_eq!(Bars::walk("1m", 0).verdict().range_us, (0, 0));
}

#[test]
fn gaps_are_counted_and_the_longest_come_first() {
    let bars = Bars::walk("1m", 2_000).without(1_500..1_507).without(700..720).without(100..101);
    let gaps = bars.only(Kind::Gaps);
    assert_eq!((gaps.places, gaps.bars), (3, 28));
    let sizes: Vec<usize> = gaps.worst.iter().map(|place| place.bars).collect();
    assert_eq!(sizes, [20, 7, 1]);
    assert_eq!(gaps.worst[0].from_us, START + 700 * MINUTE);
    assert_eq!(gaps.worst[0].to_us, START + 720 * MINUTE);
    // Only so many are shown, whatever their number.
    let mut many = Bars::walk("1m", 2_000);
    for at in (10..900).step_by(10).rev() {
        many = many.without(at..at + 1);
    }
    let gaps = many.only(Kind::Gaps);
    assert_eq!((gaps.places, gaps.bars, gaps.worst.len()), (89, 89, MAX_WORST));
    assert_eq!(gaps.worst[0].from_us, START + 10 * MINUTE, "of equals the earlier first");
}

#[test]
fn bars_that_repeat_are_duplicates_and_bars_that_stand_still_are_flat() {
    let mut bars = Bars::walk("1m", 500);
    bars.copy(99, 100);
    let found = bars.only(Kind::Duplicates);
    assert_eq!((found.places, found.bars, found.worst[0].from_us), (1, 2, START + 99 * MINUTE));
    // Equal prices alone may be chance: so it is with other volumes, and not to be told without any.
    bars.volume.as_mut().expect("read")[100] = Some(1);
    assert!(bars.verdict().is_clean());
    bars.volume = None;
    bars.copy(99, 101);
    bars.copy(99, 102);
    assert!(bars.verdict().is_clean());

    let mut flat = Bars::walk("1m", 500);
    for i in 200..206 {
        let still = flat.close[199];
        for prices in [&mut flat.open, &mut flat.high, &mut flat.low, &mut flat.close] {
            prices[i] = still;
        }
    }
    let found = flat.only(Kind::Flat);
    assert_eq!((found.places, found.bars, found.worst[0].from_us), (1, 6, START + 200 * MINUTE));
}

#[test]
fn bars_without_volume_are_counted_when_volumes_are_read() {
    let mut bars = Bars::walk("1m", 500);
    let volume = bars.volume.as_mut().expect("read");
    volume[10] = Some(0);
    volume[20] = None;
    volume[21] = Some(0);
    let found = bars.only(Kind::ZeroVolume);
    assert_eq!((found.places, found.bars, found.worst[0].bars), (2, 3, 2));
    bars.volume = None;
    assert!(bars.verdict().is_clean() && !bars.verdict().volume_read);
}

#[test]
fn a_price_that_jumps_away_and_comes_back_is_an_outlier() {
    // A close that is wrong, the next bar opening there; a bad print in a high; one in a low; three wrong bars.
    let mut close = Bars::walk("1m", 900);
    close.close[300] *= 2;
    close.high[300] = close.close[300];
    let (mut high, mut low, mut block) =
        (Bars::walk("1m", 900), Bars::walk("1m", 900), Bars::walk("1m", 900));
    high.high[300] *= 3;
    low.low[300] /= 100;
    block.scale(300..303, 0.5);
    for (bars, column, n) in
        [(close, "close", 1), (high, "high", 1), (low, "low", 1), (block, "close", 3)]
    {
        let found = bars.only(Kind::Outliers);
        let place = &found.worst[0];
        assert_eq!((found.places, place.bars, place.how), (1, n, column));
        assert_eq!(place.from_us, START + 300 * MINUTE);
        assert_eq!(price(place, "before"), bars.close[299] / CENT);
        assert!(place.size > 100.0, "{}", place.size);
    }
    // 3 % in a minute is much on a calm day and little on a wild one.
    for (at, faults) in [(450, 1), (750, 0)] {
        let mut bars = Bars::walk("1m", 900);
        for i in 600..900 {
            bars.high[i] += 200 * CENT;
            bars.close[i] += if i.is_multiple_of(2) { 200 * CENT } else { 0 };
            bars.high[i] = bars.high[i].max(bars.close[i]);
        }
        bars.high[at] = bars.high[at].max(bars.close[at] + 500 * CENT);
        assert_eq!(bars.verdict().findings.iter().map(|f| f.places).sum::<usize>(), faults, "{at}");
    }
}

#[test]
fn the_first_and_last_bars_are_outliers_when_they_lie_far_from_the_rest() {
    const N: usize = 900;
    for (k, by) in (1..=4).flat_map(|k| [10.0, 0.5, 0.00004].map(|by| (k, by))) {
        for (range, how, next) in [(0..k, "first", k), (N - k..N, "last", N - k - 1)] {
            let mut bars = Bars::walk("1m", N);
            bars.scale(range.clone(), by);
            let found = bars.only(Kind::Outliers);
            let place = &found.worst[0];
            assert_eq!((found.places, place.bars, place.how), (1, k, how), "{k} bars x {by}");
            assert_eq!(place.from_us, bars.time[range.start]);
            assert_eq!(price(place, "next"), bars.close[next] / CENT);
            assert!(place.size > 100.0, "{}", place.size);
            // Further in they are what they always were.
            let mut inside = Bars::walk("1m", N);
            inside.scale(if range.start == 0 { 1..k + 1 } else { N - k - 1..N - 1 }, by);
            let verdict = inside.verdict();
            let found = verdict.of(&[Kind::Outliers]).next().expect("found");
            assert_eq!((found.places, found.worst[0].bars, found.worst[0].how), (1, k, "close"));
        }
    }
    // Of five bars it can be told that they stay.
    for range in [0..5, N - 5..N] {
        let mut bars = Bars::walk("1m", N);
        bars.scale(range, 10.0);
        assert_eq!(bars.only(Kind::Splits).worst[0].how, "power_of_ten");
    }
    // The first bar has no close in front of it, and a high and a low nevertheless.
    let mut high = Bars::walk("1m", N);
    high.high[0] *= 3;
    assert_eq!(high.only(Kind::Outliers).worst[0].how, "high");
    // Behind a gap: any move is fair, another unit is not, nor one that is taken back.
    for (by, range, places) in [(1.5, N - 2..N, 0), (10.0, N - 2..N, 1), (1.5, 500..502, 1)] {
        let mut bars = Bars::walk("1m", N);
        bars.scale(range.clone(), by);
        let verdict = bars.without(range.start - 30..range.start).verdict();
        let found = verdict.of(&[Kind::Outliers]).next().map_or(0, |found| found.places);
        assert_eq!(found, places, "x {by} at {range:?}");
    }
}

#[test]
fn a_level_that_breaks_and_stays_is_a_split() {
    for (by, how) in
        [(100.0, "power_of_ten"), (0.001, "power_of_ten"), (1.5, "level"), (0.3, "level")]
    {
        let mut bars = Bars::walk("1m", 900);
        bars.scale(500..900, by);
        let found = bars.only(Kind::Splits);
        assert_eq!((found.places, found.worst[0].how), (1, how), "{by}");
        assert_eq!(found.worst[0].from_us, START + 500 * MINUTE);
        assert!((found.worst[0].size / by.max(1.0 / by) - 1.0).abs() < 0.05);
    }
    // Across a gap another price is fair, another unit is not.
    for (by, faults) in [(1.5, 1), (10.0, 2)] {
        let mut bars = Bars::walk("1m", 900);
        bars.scale(500..900, by);
        assert_eq!(bars.without(450..500).verdict().findings.len(), faults, "{by}");
    }
}

#[test]
fn openings_off_the_grid_are_counted() {
    let mut bars = Bars::walk("1m", 500);
    bars.time[100] += 7_000_000;
    bars.time[101] += 30_000_000;
    let found = bars.only(Kind::OffGrid);
    assert_eq!((found.places, found.worst[0].size, found.worst[1].size), (2, 30.0, 7.0));
}

#[test]
fn hours_of_another_time_zone_show_in_three_ways() {
    // A second file, five hours late, that begins with bars the first one ends with.
    let mut bars = Bars::walk("1m", 3_000);
    for i in 1_500..1_500 + 300 {
        bars.copy(i - 300, i);
    }
    let found = bars.only(Kind::Timezone);
    let place = &found.worst[0];
    assert_eq!((found.places, place.bars, place.size, place.how), (1, 300, 5.0, "block"));
    assert_eq!(place.from_us, START + 1_500 * MINUTE);
    // Six bars are a block wherever they lie, behind a gap too; five are none.
    for (from, n, places) in (1_501..1_508).flat_map(|at| [(at, 6, 1), (at, 5, 0)]) {
        let mut bars = Bars::walk("1m", 3_000);
        for i in from..from + n {
            bars.copy(i - 300, i);
        }
        let verdict = bars.without(700..703).verdict();
        let found = verdict.of(&[Kind::Timezone]).next().map_or(0, |found| found.places);
        assert_eq!(found, places, "{n} bars at {from}");
    }
    // 2024-03-31, 02:00 to 03:00 is the hour that does not exist in Berlin; a day later it does.
    for (day, kinds) in [(30, vec![Kind::Gaps, Kind::Timezone]), (31, vec![Kind::Gaps])] {
        let first = usize::try_from((day * DAY + 2 * HOUR) / (5 * MINUTE)).expect("small");
        let verdict = Bars::walk("5m", 20_000).without(first..first + 12).verdict();
        let found: Vec<Kind> = verdict.findings.iter().map(|f| f.kind).collect();
        assert_eq!(found, kinds, "{day}");
    }
    // Days that begin at 23:00.
    let mut days = Bars::walk("1d", 400);
    for time in &mut days.time[100..] {
        *time -= HOUR;
    }
    let found = days.verdict();
    let kinds: Vec<(Kind, usize)> = found.findings.iter().map(|f| (f.kind, f.bars)).collect();
    assert_eq!(kinds, [(Kind::OffGrid, 300), (Kind::Timezone, 300)]);
    assert_eq!((found.findings[1].places, found.findings[1].worst[0].size), (1, 23.0));
}

#[test]
fn prices_that_cannot_be_are_invalid() {
    let mut bars = Bars::walk("1m", 500);
    bars.low[10] = bars.high[10] + 1;
    bars.close[20] = 0;
    bars.volume.as_mut().expect("read")[30] = Some(-1);
    let verdict = bars.verdict();
    let invalid = verdict.of(&[Kind::Invalid]).next().expect("found");
    assert_eq!((invalid.places, invalid.bars), (3, 3));
}

#[test]
fn any_columns_get_a_verdict() {
    // Garbage, extremes and zeros are judged, not refused.
    let mut bars = Bars::walk("1m", 64);
    for i in 0..64 {
        let extreme = [i64::MAX, 0, -1, 1, i64::MIN, CENT][i % 6];
        bars.open[i] = extreme;
        bars.close[(i * 7) % 64] = extreme;
        bars.high[(i * 11) % 64] = extreme;
    }
    let verdict = bars.verdict();
    assert!(verdict.of(&[Kind::Invalid]).next().is_some());
    assert!(verdict.findings.iter().flat_map(|f| &f.worst).all(|p| p.size.is_finite()));
    assert_eq!(Kind::ALL.map(|kind| kind.word().parse()), Kind::ALL.map(Ok));
}

/// On request: `cargo test -p sim --release --test it -- --ignored --nocapture a_year_of_minutes`.
#[test]
#[ignore = "prints a time"]
fn a_year_of_minutes_is_judged() {
    let year = Bars::walk("1m", 525_600);
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        assert!(year.verdict().is_clean());
        best = best.min(begun.elapsed().as_secs_f64());
    }
    eprintln!("525,600 bars judged in {:.1} ms (best of five)", best * 1e3);
}
