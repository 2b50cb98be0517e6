//! Values of closed expressions over whole columns of bars, every distinct indicator once.
//! No text is parsed here, and no value may depend on a bar behind its own.

mod average;
mod column;
mod logic;
mod momentum;
mod stream;
mod trend;
mod volatility;
mod volume;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use crate::bars::{Bars, Column};
use crate::expr::{Bound, Function, Series, SeriesKind, Term, Truth, TruthKind, greater, lesser};

pub(crate) use column::{DeviationSums, Steps, doubles};
pub(crate) use stream::{Family, ROWS, Stream};

/// Whole-column evaluation over one symbol's bars. Every number series, once computed, is kept under its key,
/// so that expressions with common parts share them; memory is 8 bytes a bar and distinct series.
///
/// A value at bar `i` depends on bars up to `i` only, and on no tile, batch or thread.
#[derive(Clone, Debug)]
pub struct Evaluator<'a> {
    bars: &'a Bars,
    known: HashMap<Arc<str>, Arc<[f64]>>,
}

/// A number that is the same at every bar, or one value a bar.
pub(crate) enum Operand {
    Constant(f64),
    Series(Arc<[f64]>),
}

impl<'a> Evaluator<'a> {
    /// An evaluator that knows nothing yet.
    #[must_use]
    pub fn new(bars: &'a Bars) -> Self {
        Self { bars, known: HashMap::new() }
    }

    /// One value a bar, warm-up bars included. NaN is undefined; no value is infinite. A volume column that was
    /// not loaded is undefined at every bar.
    ///
    /// # Panics
    /// When `expr` is a rule: its type was fixed when it was parsed.
    pub fn numbers(&mut self, expr: &Bound) -> Arc<[f64]> {
        match expr.term() {
            Term::Number(series) => self.series(series),
            Term::Rule(_) => panic!("`{}` is a rule, not a number", expr.key()),
        }
    }

    /// One truth value a bar, warm-up bars included; `None` is undefined.
    ///
    /// # Panics
    /// When `expr` is a number: its type was fixed when it was parsed.
    pub fn rule(&mut self, expr: &Bound) -> Vec<Option<bool>> {
        match expr.term() {
            Term::Rule(truth) => self.truth(truth),
            Term::Number(_) => panic!("`{}` is a number, not a rule", expr.key()),
        }
    }

    /// Computes the columns of `all` that are not known, neighbours together where that is cheaper.
    pub(crate) fn learn_columns(&mut self, all: &[&Series]) {
        for family in all.chunk_by(|a, b| Family::of(a).is_some() && Family::of(a) == Family::of(b))
        {
            match Family::of(family[0]) {
                Some(of) => {
                    let columns = self.streamed(of, family);
                    let keys = family.iter().map(|series| Arc::clone(&series.key));
                    self.known.extend(keys.zip(columns));
                }
                None => drop(self.series(family[0])),
            }
        }
    }

    /// Columns of one family, side by side.
    fn streamed(&mut self, family: Family, all: &[&Series]) -> Vec<Arc<[f64]>> {
        let prices = family.reads().into_iter().map(|price| self.series(&Series::column(price)));
        let mut stream = Stream::new(family, all, prices.collect());
        let n_bars = self.bars.len();
        let mut columns: Vec<_> = all.iter().map(|_| filled(0.0, n_bars)).collect();
        let mut out: Vec<_> = columns.iter_mut().map(Arc::make_mut).collect();
        for from in (0..n_bars).step_by(ROWS) {
            let to = (from + ROWS).min(n_bars);
            stream.advance(to - from);
            out.iter_mut().enumerate().for_each(|(i, out)| stream.hand_out(i, &mut out[from..to]));
        }
        columns
    }

    /// Whether the series of this key is known.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.known.contains_key(key)
    }

    /// The column of this key, if it is known.
    pub(crate) fn known(&self, key: &str) -> Option<Arc<[f64]>> {
        self.known.get(key).cloned()
    }

    /// How many series are known.
    pub(crate) fn n_known(&self) -> usize {
        self.known.len()
    }

    /// Forgets the series for whose key `wanted` is false.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.known.retain(|key, _| wanted(key));
    }

    /// Takes over what another evaluator of the same bars knows.
    pub(crate) fn learn(&mut self, other: Self) {
        self.known.extend(other.known);
    }

    fn truth(&mut self, truth: &Truth) -> Vec<Option<bool>> {
        match &truth.kind {
            TruthKind::Constant(value) => vec![*value; self.bars.len()],
            TruthKind::Compare(op, a, b) => {
                let (a, b) = (self.operand(a), self.operand(b));
                logic::compare(*op, &a, &b, self.bars.len())
            }
            TruthKind::Cross { a, b, negated } => {
                let (a, b) = (self.operand(a), self.operand(b));
                logic::cross_above(&a, &b, *negated, self.bars.len())
            }
            TruthKind::And(a, b) => {
                let mut left = self.truth(a);
                logic::and(&mut left, &self.truth(b));
                left
            }
            TruthKind::Or(a, b) => {
                let mut left = self.truth(a);
                logic::or(&mut left, &self.truth(b));
                left
            }
        }
    }

    fn operand(&mut self, series: &Series) -> Operand {
        match series.kind {
            SeriesKind::Constant(value) => Operand::Constant(value),
            _ => Operand::Series(self.series(series)),
        }
    }

    fn series(&mut self, series: &Series) -> Arc<[f64]> {
        if let Some(known) = self.known.get(&series.key) {
            return Arc::clone(known);
        }
        let values = match Family::of(series) {
            Some(family) => self.streamed(family, &[series]).swap_remove(0),
            None => self.compute(&series.kind),
        };
        self.known.insert(Arc::clone(&series.key), Arc::clone(&values));
        values
    }

    fn compute(&mut self, kind: &SeriesKind) -> Arc<[f64]> {
        let n_bars = self.bars.len();
        match kind {
            SeriesKind::Constant(value) => filled(*value, n_bars),
            SeriesKind::Column(column) => column::values(self.bars, *column),
            SeriesKind::Neg(x) => logic::map(&self.operand(x), |x| -x, n_bars),
            SeriesKind::Abs(x) => logic::map(&self.operand(x), f64::abs, n_bars),
            SeriesKind::Arith(op, a, b) => {
                let (a, b) = (self.operand(a), self.operand(b));
                logic::arith(*op, &a, &b, n_bars)
            }
            SeriesKind::Min(a, b) => {
                let (a, b) = (self.operand(a), self.operand(b));
                logic::zip(&a, &b, lesser, n_bars)
            }
            SeriesKind::Max(a, b) => {
                let (a, b) = (self.operand(a), self.operand(b));
                logic::zip(&a, &b, greater, n_bars)
            }
            SeriesKind::Call(call) => {
                self.indicator(call.function, call.of.as_deref(), &call.lengths)
            }
        }
    }

    fn indicator(
        &mut self,
        function: Function,
        of: Option<&Series>,
        lengths: &[usize],
    ) -> Arc<[f64]> {
        let mut values = filled(f64::NAN, self.bars.len());
        let out = Arc::make_mut(&mut values);
        match of {
            Some(x) => self.of_series(function, x, lengths, out),
            None => self.of_bars(function, lengths, out),
        }
        undefine_infinite(out);
        values
    }

    /// Indicators of any series, run by run of its defined values.
    fn of_series(&mut self, function: Function, x: &Series, lengths: &[usize], out: &mut [f64]) {
        use window::over_runs;
        let n = lengths[0];
        if let SeriesKind::Column(source) = x.kind
            && let Some(op) = column::Exact::of(function)
        {
            return column::exact(self.bars, source, op, n, out);
        }
        let of = x;
        let x = &*self.series(x);
        match function {
            Function::Sma => over_runs(x, out, |x, out| average::sma(x, n, out)),
            Function::Sum => over_runs(x, out, |x, out| average::sum(x, n, out)),
            Function::Wma => over_runs(x, out, |x, out| average::wma(x, n, out)),
            Function::Ema => over_runs(x, out, |x, out| average::ema(x, n, out)),
            Function::Stddev => over_runs(x, out, |x, out| volatility::stddev(x, n, out)),
            Function::Rsi => over_runs(x, out, |x, out| momentum::rsi(x, n, out)),
            Function::Roc => over_runs(x, out, |x, out| momentum::roc(x, n, out)),
            Function::Highest => over_runs(x, out, |x, out| window::highest(x, n, out)),
            Function::Lowest => over_runs(x, out, |x, out| window::lowest(x, n, out)),
            Function::Shift => window::shift(x, n, out),
            Function::Macd if lengths[2] == 1 => {
                over_runs(x, out, |x, out| stream::macd_line(x, n, lengths[1], out));
            }
            Function::Macd | Function::MacdSignal => self.of_macd_line(function, of, lengths, out),
            other => unreachable!("`{}` is not of a series", other.name()),
        }
    }

    /// A macd or its signal, from the line that macds of every signal share: it is the macd with a signal of 1.
    fn of_macd_line(&mut self, function: Function, x: &Series, lengths: &[usize], out: &mut [f64]) {
        let (spans, signal) = (vec![lengths[0], lengths[1], 1], lengths[2]);
        let line = self.series(&Series::call(Function::Macd, Some(x.clone()), spans, 0.0));
        window::over_runs(&line, out, |line, out| match function {
            Function::MacdSignal => average::ema(line, signal, out),
            _ => {
                let first = (signal - 1).min(line.len());
                out[first..].copy_from_slice(&line[first..]);
            }
        });
    }

    /// Indicators that read the bars' own columns.
    fn of_bars(&mut self, function: Function, lengths: &[usize], out: &mut [f64]) {
        let n = lengths.first().copied().unwrap_or(1);
        match function {
            Function::Obv => return volume::obv(self.bars, out),
            Function::Vwap => return volume::vwap(self.bars, out),
            Function::Mfi => return volume::mfi(self.bars, n, out),
            Function::Cci => return momentum::cci(self.bars, n, out),
            _ => {}
        }
        let [high, low, close] = [Column::High, Column::Low, Column::Close]
            .map(|column| self.series(&Series::column(column)));
        let bars = trend::Hlc { high: &high, low: &low, close: &close };
        match function {
            Function::Atr => volatility::atr(bars, n, out),
            Function::Adx => trend::adx(bars, n, out),
            Function::PlusDi => trend::di(bars, n, trend::Side::Plus, out),
            Function::MinusDi => trend::di(bars, n, trend::Side::Minus, out),
            Function::StochRaw => {
                let top = self.extreme(Function::Highest, Column::High, n);
                let bottom = self.extreme(Function::Lowest, Column::Low, n);
                momentum::stoch_raw(&top, &bottom, &close, out);
            }
            other => unreachable!("`{}` is not of the bars alone", other.name()),
        }
    }

    fn extreme(&mut self, function: Function, column: Column, n: usize) -> Arc<[f64]> {
        self.series(&Series::call(function, Some(Series::column(column)), vec![n], 0.0))
    }
}

/// No value stays infinite. Most columns have no such value, so a block is looked at before it is written.
fn undefine_infinite(values: &mut [f64]) {
    const BLOCK: usize = 1_024;
    for block in values.chunks_mut(BLOCK) {
        if block.iter().fold(false, |infinite, value| infinite | value.is_infinite()) {
            for value in block.iter_mut().filter(|value| value.is_infinite()) {
                *value = f64::NAN;
            }
        }
    }
}

/// `n_bars` times `value`, in place for good: the values are written into what is shared afterwards.
fn filled(value: f64, n_bars: usize) -> Arc<[f64]> {
    std::iter::repeat_n(value, n_bars).collect()
}
