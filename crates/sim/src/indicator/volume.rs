//! Indicators that weigh prices by volume: obv, vwap, mfi. Without the volume column they are undefined.
//! No running sum of doubles may enter: sums are integers, or belong to one window.

use std::ops::Range;

use crate::bars::{Bars, Column};
use crate::exact;
use crate::timeframe;

use super::column::double;
use super::momentum::strength;
use super::window::{Sum, runs, slide};

/// Calls `f` with every run of bars whose volume is defined, and the volumes of that run.
fn over_volume(bars: &Bars, mut f: impl FnMut(Range<usize>, &[i128])) {
    let Some(volume) = bars.extra(Column::Volume) else { return };
    for run in runs(volume.len(), |i| volume.get(i).is_some()) {
        let defined: Vec<i128> = volume.range(run.clone()).flatten().collect();
        f(run, &defined);
    }
}

/// Three times the typical price: high + low + close in units of 1e-8.
fn thrice_typical(bars: &Bars, i: usize) -> i128 {
    i128::from(bars.high()[i]) + i128::from(bars.low()[i]) + i128::from(bars.close()[i])
}

/// On-balance volume as TA-Lib's: starts with the first volume, then adds the volume of a bar that closes higher
/// and takes that of one that closes lower. Exact. It starts afresh after an undefined volume.
pub(super) fn obv(bars: &Bars, out: &mut [f64]) {
    let close = bars.close();
    over_volume(bars, |run, volume| {
        let mut total = volume[0];
        out[run.start] = double(total);
        for (i, &volume) in run.zip(volume).skip(1) {
            match close[i].cmp(&close[i - 1]) {
                std::cmp::Ordering::Greater => total += volume,
                std::cmp::Ordering::Less => total -= volume,
                std::cmp::Ordering::Equal => {}
            }
            out[i] = double(total);
        }
    });
}

/// Money flow index as TA-Lib's: 100 × up / (up + down), the flows being typical price × volume of the last `n`
/// bars by whether the typical price rose or fell; first value at bar `n`. Unlike there the typical prices compare
/// exactly, there is no least flow, and it is 50 where both sides are 0.
pub(super) fn mfi(bars: &Bars, n: usize, out: &mut [f64]) {
    over_volume(bars, |run, volume| {
        // What flowed in (above 0) or out (below) with each step; the first bar of a run has none.
        let flows: Vec<f64> = run
            .clone()
            .zip(volume)
            .skip(1)
            .map(|(i, &volume)| {
                let typical = thrice_typical(bars, i);
                let money = double(typical) / 3.0 * double(volume);
                match typical.cmp(&thrice_typical(bars, i - 1)) {
                    std::cmp::Ordering::Greater => money,
                    std::cmp::Ordering::Less => -money,
                    std::cmp::Ordering::Equal => 0.0,
                }
            })
            .collect();
        let lift = |step: usize| (Sum::of(flows[step].max(0.0)), Sum::of((-flows[step]).max(0.0)));
        let join = |a: (Sum, Sum), b: (Sum, Sum)| (a.0.plus(b.0), a.1.plus(b.1));
        slide(flows.len(), n, (Sum::ZERO, Sum::ZERO), lift, join, |step, (up, down)| {
            out[run.start + step + 1] = strength(up.value(), down.value());
        });
    });
}

/// Volume-weighted average price of the UTC day so far: Σ typical × volume / Σ volume, undefined while that is 0
/// and, after a volume that is undefined, until the next day. Exact where the sums fit 128 bits.
pub(super) fn vwap(bars: &Bars, out: &mut [f64]) {
    let Some(volume) = bars.extra(Column::Volume) else { return };
    let mut today = None;
    let mut sums = Some(DaySums::default());
    for (i, volume) in volume.iter().enumerate() {
        let day = timeframe::day(bars.time_us()[i]);
        if today != Some(day) {
            today = Some(day);
            sums = Some(DaySums::default());
        }
        sums = sums.zip(volume).map(|(sums, volume)| sums.plus(thrice_typical(bars, i), volume));
        out[i] = sums.map_or(f64::NAN, DaySums::vwap);
    }
}

/// Σ of thrice the typical price × volume, exact while it fits and in doubles in any case, and Σ of volume.
#[derive(Clone, Copy)]
struct DaySums {
    exact: Option<i128>,
    money: Sum,
    volume: i128,
}

impl Default for DaySums {
    fn default() -> Self {
        Self { exact: Some(0), money: Sum::ZERO, volume: 0 }
    }
}

impl DaySums {
    fn plus(self, thrice: i128, volume: i128) -> Self {
        let product = thrice.checked_mul(volume);
        Self {
            exact: self.exact.zip(product).and_then(|(sum, product)| sum.checked_add(product)),
            money: self.money.plus(Sum::product(double(thrice), double(volume))),
            volume: self.volume + volume,
        }
    }

    fn vwap(self) -> f64 {
        if self.volume == 0 {
            return f64::NAN;
        }
        let parts = 3 * self.volume;
        match self.exact.zip(parts.checked_mul(i128::from(exact::ONE_E8))) {
            Some((exact, den)) => exact::ratio(exact, den),
            None => self.money.value() / double(parts),
        }
    }
}
