//! Bar-variants a CPU second of sweeps over a year of minutes in memory, 20 variants of each compared with the reference
//! loop in the same process. `cargo bench -p sim --bench sweep [-- part of a case's name]`; Linux only, for CPU time.
//! With `-- pairs [part of a case's name]`: what two threads cost beside two processes that share nothing.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a bench talks")]

#[path = "../tests/it/ready_file.rs"]
mod ready_file;

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use sim::bars::{Bars, Columns};
use sim::rules::Rules;
use sim::signals::{Amount, Level, SignalRules};
use sim::sweep::{self, Options, Outcome, Path, Variant};

const BARS: i64 = 525_600;
const MINUTE_US: i64 = 60_000_000;
/// Most variants of a case that is cut out of a larger grid.
const VARIANTS: usize = 355;
const CHECKED: usize = 20;
/// Another number of variants to compare, to measure more often: 0 compares none.
const CHECKED_VARIABLE: &str = "SWEEP_BENCH_CHECKED";
/// Rounds a case; the best counts, because others use the machine too.
const ROUNDS: usize = 3;
const ROUNDS_VARIABLE: &str = "SWEEP_BENCH_ROUNDS";
/// The case that a process of a pair runs, each time that it is sent a line.
const PAIR_VARIABLE: &str = "SWEEP_BENCH_PAIR";

/// Variants of a round at least, and of few variants sweeps: a round must be long beside a tick of the clock.
const REPEATED: usize = 2_000;
const REPEATS: usize = 200;

struct Case {
    name: String,
    rules: SignalRules,
    variants: Vec<Variant>,
}

/// Cost against bars, averages being as many times as long so that trades stay as they are, and against variants.
fn scaling(bars: &Bars, rounds: usize) {
    let cross = ready_file::all().into_iter().find(|file| file.name == "sma_cross").unwrap();
    let tenth = walk(BARS / 10);
    let mut lengths: Vec<(i64, i64)> =
        (5..=100).flat_map(|f| (20..=400).step_by(10).map(move |s| (f, s))).collect();
    lengths.retain(|(fast, slow)| fast < slow);
    let case = |name: String, n: usize, times: i64| {
        let variant = |&(fast, slow): &(i64, i64)| {
            let mut params = cross.grid()[0].clone();
            params.set("fast", (times * fast).into());
            params.set("slow", (times * slow).into());
            Variant { params, rules: Rules::default() }
        };
        let chosen = (0..n).map(|i| &lengths[i * lengths.len() / n]);
        Case { name, rules: cross.rules.clone(), variants: chosen.map(variant).collect() }
    };
    measure(&tenth, &case("scaling: a tenth of the bars".to_owned(), 100, 1), rounds);
    measure(bars, &case("scaling: all bars, averages x 10".to_owned(), 100, 10), rounds);
    for n in [1, 10, 100, 355, lengths.len()] {
        measure(bars, &case(format!("scaling: {n} variants"), n, 1), rounds);
    }
}

fn main() {
    let mut wanted: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let rounds = number(ROUNDS_VARIABLE, ROUNDS);
    let bars = walk(BARS);
    if let Ok(name) = std::env::var(PAIR_VARIABLE) {
        return one_of_a_pair(&bars, &name);
    }
    let in_pairs = wanted.first().is_some_and(|first| first == "pairs");
    if in_pairs {
        wanted.remove(0);
    }
    println!("{}", machine());
    let what = if in_pairs { "middle (least to most)" } else { "best" };
    println!("{BARS} bars; {what} of {rounds} rounds by turns; CPU seconds of the processes");
    for case in cases() {
        if wanted.is_empty() || wanted.iter().any(|w| case.name.contains(w.as_str())) {
            if in_pairs { pairs(&bars, &case, rounds) } else { measure(&bars, &case, rounds) }
        }
    }
    if in_pairs {
        return;
    }
    if wanted.is_empty() || wanted.iter().any(|w| "scaling".contains(w.as_str())) {
        scaling(&bars, rounds);
    }
    println!("peak memory {} MB", status("VmHWM:").unwrap_or(0) / 1024);
}

/// A walk from 5,000 in cents: every step about normal with a deviation of 0.18 %, a wild market's minutes, so that
/// stops of some per cent are reached often.
fn walk(n_bars: i64) -> Bars {
    let mut state = 42_u64;
    let mut below = |n: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        i64::try_from((z ^ (z >> 31)) % n).unwrap()
    };
    let mut c = Columns::default();
    let mut last = 500_000_i64;
    for bar in 0..n_bars {
        let scale = last / 550;
        let bell = (0..12).map(|_| below(1_001)).sum::<i64>() - 6_000;
        let open = last;
        let close = (open + bell * scale / 1_000).max(10_000);
        let reach = scale.unsigned_abs() / 2 + 1;
        let (high, low) = (open.max(close) + below(reach), open.min(close) - below(reach));
        c.time_us.push(1_735_689_600_000_000 + bar * MINUTE_US);
        for (column, price) in
            [(&mut c.open, open), (&mut c.high, high), (&mut c.low, low), (&mut c.close, close)]
        {
            column.push(price * 1_000_000);
        }
        last = close;
    }
    Bars::new("WALK", "1m".parse().unwrap(), 0, c).expect("good bars")
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for file in ready_file::all() {
        let name = file.name.clone();
        let variant = |params| Variant { params, rules: Rules::default() };
        let variants: Vec<Variant> = file.grid().into_iter().take(VARIANTS).map(variant).collect();
        if name == "sma_cross" {
            cases.insert(0, with_stops(&file.rules, &variants));
            cases.insert(0, Case { name, rules: file.rules, variants });
        } else {
            cases.push(Case { name, rules: file.rules, variants });
        }
    }
    cases
}

fn with_stops(rules: &SignalRules, variants: &[Variant]) -> Case {
    let per_cent = |name: &str| Some(Level::Percent(Amount::Param(name.to_owned())));
    let rules =
        SignalRules { stop_loss: per_cent("sl"), take_profit: per_cent("tp"), ..rules.clone() };
    let mut wider = Vec::new();
    for variant in variants {
        for stop in ["0.5", "1", "2", "3", "5"] {
            for target in ["1", "3"] {
                let mut variant = variant.clone();
                variant.params.set("sl", stop.parse().unwrap());
                variant.params.set("tp", target.parse().unwrap());
                wider.push(variant);
            }
        }
    }
    Case { name: "sma with stop and target".to_owned(), rules, variants: wider }
}

fn measure(bars: &Bars, case: &Case, rounds: usize) {
    assert_eq!(sweep::path(bars, &case.variants[0].rules), Path::Kernel);
    let mut best = [f64::INFINITY; 2];
    let mut wall = [f64::INFINITY; 2];
    let mut outcomes = Vec::new();
    let repeats = REPEATED.div_ceil(case.variants.len()).min(REPEATS);
    for _ in 0..rounds {
        for threads in [1, 2] {
            let results = Mutex::new(vec![None; case.variants.len()]);
            let (cpu, clock) = (cpu_seconds(), Instant::now());
            let options = Options { threads, ..Options::default() };
            for _ in 0..repeats {
                sweep::sweep(bars, &case.rules, &case.variants, &options, &|index, result| {
                    results.lock().unwrap()[index] = result.ok();
                })
                .unwrap();
            }
            let once = |seconds: f64| seconds / repeats as f64;
            wall[threads - 1] = wall[threads - 1].min(once(clock.elapsed().as_secs_f64()));
            best[threads - 1] = best[threads - 1].min(once(cpu_seconds() - cpu));
            outcomes = results.into_inner().unwrap();
        }
    }
    let trades: usize = outcomes.iter().flatten().map(|o| o.metrics.total_trades).sum();
    let work = bars.len() as f64 * case.variants.len() as f64 / 1e9;
    println!(
        "{:32} {:5} variants {:8} trades | 1 thread {:.3} G/CPU s ({:.3} s) | 2 threads {:.3} G/CPU s ({:.3} s), {:+.0} % CPU",
        case.name,
        case.variants.len(),
        trades,
        work / best[0],
        wall[0],
        work / best[1],
        wall[1],
        100.0 * (best[1] / best[0] - 1.0)
    );
    check(bars, case, &outcomes);
}

/// CPU seconds of one sweep of a case on so many threads, by the mean of some.
fn cpu_of(bars: &Bars, case: &Case, threads: usize) -> f64 {
    let repeats = REPEATED.div_ceil(case.variants.len()).min(REPEATS) * threads;
    let options = Options { threads, ..Options::default() };
    let before = cpu_seconds();
    for _ in 0..repeats {
        sweep::sweep(bars, &case.rules, &case.variants, &options, &|_, _| ()).unwrap();
    }
    (cpu_seconds() - before) / repeats as f64
}

/// A process that sweeps a case on one thread each time it is told to.
struct Peer {
    /// Ends the process where it is dropped.
    tell: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    process: Child,
}

impl Peer {
    fn start(case: &Case) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(PAIR_VARIABLE, &case.name).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let told = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut peer = Self { tell: process.stdin.take().unwrap(), told, process };
        // The first is to warm up.
        peer.begin();
        peer.seconds();
        peer
    }

    fn begin(&mut self) {
        writeln!(self.tell).unwrap();
    }

    fn seconds(&mut self) -> f64 {
        self.told.next().unwrap().unwrap().parse().unwrap()
    }

    fn end(mut self) {
        drop(self.tell);
        self.process.wait().unwrap();
    }
}

fn one_of_a_pair(bars: &Bars, name: &str) {
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    for _ in std::io::stdin().lines() {
        println!("{}", cpu_of(bars, &case, 1));
    }
}

/// CPU of one thread alone, of two processes of one thread each at once, and of two threads, by turns. Cores that share
/// caches, memory and heat slow each other down whatever they do: what a sweep's threads do to each other is what they
/// cost beside two processes.
fn pairs(bars: &Bars, case: &Case, rounds: usize) {
    let mut peers = [(); 2].map(|()| Peer::start(case));
    let (mut whole, mut machine, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        peers[0].begin();
        let alone = peers[0].seconds();
        peers.iter_mut().for_each(Peer::begin);
        let apart = peers.iter_mut().map(Peer::seconds).sum::<f64>() / 2.0;
        let threads = cpu_of(bars, case, 2);
        whole.push(100.0 * (threads / alone - 1.0));
        machine.push(100.0 * (apart / alone - 1.0));
        own.push(100.0 * (threads / apart - 1.0));
    }
    peers.into_iter().for_each(Peer::end);
    let shown = |all: &mut Vec<f64>| {
        all.sort_by(f64::total_cmp);
        let (least, most) = (all[0], all[all.len() - 1]);
        format!("{:+.0} % ({least:+.0} to {most:+.0})", all[all.len() / 2])
    };
    println!(
        "{:24} two threads beside one {} | two processes beside one {} | two threads beside two processes {}",
        case.name,
        shown(&mut whole),
        shown(&mut machine),
        shown(&mut own)
    );
}

/// Compares some variants with the reference loop.
fn check(bars: &Bars, case: &Case, outcomes: &[Option<Outcome>]) {
    let (mut exits, mut stopped) = (0, 0);
    let checked = number(CHECKED_VARIABLE, CHECKED);
    let step = (case.variants.len() / checked.max(1)).max(1);
    for (variant, outcome) in case.variants.iter().zip(outcomes).step_by(step).take(checked) {
        let mut signals = case.rules.bind(&variant.params).unwrap();
        let run = sim::run(bars, &mut signals, &variant.rules).unwrap();
        assert_eq!(
            outcome.as_ref(),
            Some(&Outcome::from(&run)),
            "{} {}",
            case.name,
            variant.params
        );
        let reasons =
            run.trades.iter().filter_map(|trade| trade.exit).map(|exit| exit.reason.word());
        for reason in reasons {
            exits += 1;
            stopped += usize::from(reason == "stop_loss" || reason == "trailing_stop");
        }
    }
    let share = 100 * stopped / exits.max(1);
    let compared = checked.min(case.variants.len());
    println!("{:32} {compared} equal the reference loop; {share} % of exits are stops", "");
}

/// The number in an environment variable, or else `default`.
fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// User and system time of this process so far, exited threads included; the kernel counts it in 1/100 s.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // The name, in parentheses, may hold blanks; user and system time are the 12th and 13th behind it.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).map(|n| n.parse::<u32>().unwrap()).sum();
    f64::from(ticks) / 100.0
}

/// Kilobytes of a line of this process's status.
fn status(line: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|l| l.strip_prefix(line)?.split_whitespace().next()?.parse().ok())
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |key: &str| {
        let line = text.lines().find(|l| l.starts_with(key));
        line.and_then(|l| l.split(": ").nth(1)).unwrap_or("?").to_owned()
    };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{} at {} MHz, load {}", of("model name"), of("cpu MHz"), load.trim())
}
