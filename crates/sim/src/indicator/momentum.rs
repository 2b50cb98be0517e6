//! Speed of prices: rsi, roc, cci and the raw stochastic.
//! No undefined value may enter: callers hand over runs of defined ones.

use crate::bars::Bars;

use super::average::mean;
use super::trend::is_zero;

/// Relative strength index as TA-Lib's: 100 × gain / (gain + loss), both Wilder averages of the steps; first
/// value at bar `n`. Unlike there, 50 where both are 0: no strength on either side.
pub(super) fn rsi(x: &[f64], n: usize, out: &mut [f64]) {
    if x.len() <= n {
        return;
    }
    let steps = x.windows(2).map(|pair| pair[1] - pair[0]);
    let (gains, losses): (Vec<f64>, Vec<f64>) =
        steps.clone().take(n).map(|step| (step.max(0.0), (-step).max(0.0))).unzip();
    let (mut gain, mut loss) = (mean(&gains), mean(&losses));
    out[n] = strength(gain, loss);
    let n_real = n as f64;
    for (out, step) in out[n + 1..].iter_mut().zip(steps.skip(n)) {
        gain += (step.max(0.0) - gain) / n_real;
        loss += ((-step).max(0.0) - loss) / n_real;
        *out = strength(gain, loss);
    }
}

/// 100 × up / (up + down); 50 where both are 0.
pub(super) fn strength(up: f64, down: f64) -> f64 {
    let both = up + down;
    if is_zero(both) { 50.0 } else { 100.0 * (up / both) }
}

/// Rate of change in per cent: 100 × (x / x[n bars before] − 1); TA-Lib's 0 where that was 0.
pub(super) fn roc(x: &[f64], n: usize, out: &mut [f64]) {
    for (i, &value) in x.iter().enumerate().skip(n) {
        let before = x[i - n];
        out[i] = if before == 0.0 { 0.0 } else { (value / before - 1.0) * 100.0 };
    }
}

/// Commodity channel index: (typical − its mean) / (0.015 × mean distance from that mean), typical price being
/// (high + low + close) / 3; TA-Lib's 0 where the distance is 0. All in integers until the end, so that a flat
/// window is exactly 0 where doubles divide one rounding error by another.
pub(super) fn cci(bars: &Bars, n: usize, out: &mut [f64]) {
    let sums = bars.high().iter().zip(bars.low()).zip(bars.close());
    let thrice: Vec<i128> = sums
        .map(|((&high, &low), &close)| i128::from(high) + i128::from(low) + i128::from(close))
        .collect();
    let count = n as i128;
    let scaled: Vec<i128> = thrice.iter().map(|x| count * x).collect();
    let greatest = scaled.iter().copied().max().unwrap_or(0);
    // A window's distances sum to at most n times the greatest: where that fits, 64 bits give the same integers.
    let narrow: Option<Vec<i64>> = (greatest < i128::from(i64::MAX) / count)
        .then(|| scaled.iter().filter_map(|&x| i64::try_from(x).ok()).collect());
    let mut sum = 0_i128;
    for i in 0..thrice.len() {
        sum += thrice[i];
        if i + 1 < n {
            continue;
        }
        let first = i + 1 - n;
        let strayed = match (&narrow, i64::try_from(sum)) {
            (Some(narrow), Ok(sum)) => i128::from(distances(&narrow[first..=i], sum)),
            _ => scaled[first..=i].iter().map(|x| (x - sum).abs()).sum(),
        };
        out[i] = if strayed == 0 {
            0.0
        } else {
            (scaled[i] - sum) as f64 / (0.015 * (strayed as f64 / n as f64))
        };
        sum -= thrice[first];
    }
}

/// Σ |x − centre|, known to fit.
fn distances(window: &[i64], centre: i64) -> i64 {
    let add = |sum: i64, x: &i64| sum.wrapping_add(x.wrapping_sub(centre).wrapping_abs());
    window.iter().fold(0, add)
}

/// Where the close stands between the lowest low and the highest high of a window, in per cent; TA-Lib's 0
/// where they are the same.
pub(super) fn stoch_raw(top: &[f64], bottom: &[f64], close: &[f64], out: &mut [f64]) {
    for (i, out) in out.iter_mut().enumerate() {
        let hundredth = (top[i] - bottom[i]) / 100.0;
        // Undefined while the window is not full: NaN is not 0 and stays.
        *out = if hundredth == 0.0 { 0.0 } else { (close[i] - bottom[i]) / hundredth };
    }
}
