//! Loops on the widest registers that this processor has, looked for at run time, and the order of two columns of doubles.
//! Every path gives the same bits: lanes never mix. The one file of this crate with unsafe code.

#![expect(unsafe_code, reason = "vector instructions that are looked for at run time")]

/// Sixty-four bars of one column.
pub(crate) type Word = [f64; 64];

/// Words of one operand: one for each word asked for, or one that serves them all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane<'a> {
    words: &'a [Word],
    step: usize,
}

impl<'a> Lane<'a> {
    pub(crate) fn column(words: &'a [Word]) -> Self {
        Self { words, step: 1 }
    }

    pub(crate) fn constant(word: &'a Word) -> Self {
        Self { words: std::slice::from_ref(word), step: 0 }
    }

    pub(crate) fn word(&self, i: usize) -> &'a Word {
        &self.words[i * self.step]
    }
}

/// A loop that is compiled once for every width of registers. Its numbers are the same on each: doubles are added and
/// multiplied lane by lane, as they would be one after the other, and fused only where a task says `mul_add`.
pub(crate) trait Task {
    type Out;

    /// To be marked `#[inline(always)]`, with all that it calls: only what is inlined becomes wide.
    fn run(self) -> Self::Out;
}

/// Runs `task` on the widest registers there are.
#[inline]
pub(crate) fn wide<T: Task>(task: T) -> T::Out {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
            // SAFETY: the processor has AVX-512F and AVX-512DQ, as was just asked.
            return unsafe { x86::wide_512(task) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, as was just asked.
            return unsafe { x86::wide_256(task) };
        }
    }
    task.run()
}

/// Sets in `above` the bars where a > b, in `below` those where a < b; neither where they tie or one is NaN.
pub(crate) fn orders(a: Lane<'_>, b: Lane<'_>, above: &mut [u64], below: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, as was just asked.
            return unsafe { x86::orders_512(a, b, above, below) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, as was just asked.
            return unsafe { x86::orders_256(a, b, above, below) };
        }
    }
    orders_plain(a, b, above, below);
}

/// The least and the greatest of `values`; of none, the greatest and the least integer.
#[inline]
pub(crate) fn extremes(values: &[i64]) -> (i64, i64) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, as was just asked.
            return unsafe { x86::extremes_512(values) };
        }
    }
    extremes_plain(values)
}

/// The first place at which one of `low` is at most `floor` or one of `high`, of which there are as many, at least `ceiling`.
#[inline]
pub(crate) fn first_outside(low: &[i64], high: &[i64], floor: i64, ceiling: i64) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, as was just asked.
            return unsafe { x86::first_outside_512(low, high, floor, ceiling) };
        }
    }
    first_outside_plain(low, high, floor, ceiling)
}

fn first_outside_plain(low: &[i64], high: &[i64], floor: i64, ceiling: i64) -> Option<usize> {
    const SIDE: usize = 8;
    let outside = |(&low, &high): (&i64, &i64)| (low <= floor) | (high >= ceiling);
    // Of eight it is asked at once whether it is one of them.
    let passed = low.chunks(SIDE).zip(high.chunks(SIDE)).position(|(low, high)| {
        low.iter().zip(high).fold(false, |any, prices| any | outside(prices))
    })?;
    let first = passed * SIDE;
    Some(first + low[first..].iter().zip(&high[first..]).position(outside)?)
}

/// Inlined where wider registers are allowed, it uses them.
#[inline(always)]
fn extremes_plain(values: &[i64]) -> (i64, i64) {
    let join =
        |(least, greatest): (i64, i64), &value: &i64| (least.min(value), greatest.max(value));
    values.iter().fold((i64::MAX, i64::MIN), join)
}

fn orders_plain(a: Lane<'_>, b: Lane<'_>, above: &mut [u64], below: &mut [u64]) {
    for (i, (above, below)) in above.iter_mut().zip(below).enumerate() {
        let (x, y) = (a.word(i), b.word(i));
        (*above, *below) = (0, 0);
        for bit in 0..64 {
            *above |= u64::from(x[bit] > y[bit]) << bit;
            *below |= u64::from(x[bit] < y[bit]) << bit;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _CMP_GT_OQ, _CMP_LT_OQ, _mm256_cmp_pd, _mm256_loadu_pd, _mm256_movemask_pd,
        _mm512_cmp_pd_mask, _mm512_cmpge_epi64_mask, _mm512_cmple_epi64_mask, _mm512_loadu_epi64,
        _mm512_loadu_pd, _mm512_mask_mov_epi64, _mm512_maskz_loadu_epi64, _mm512_max_epi64,
        _mm512_min_epi64, _mm512_reduce_max_epi64, _mm512_reduce_min_epi64, _mm512_set1_epi64,
    };

    use super::{Lane, Task};

    /// Only with DQ are whole numbers of 64 bits made doubles several at a time.
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(super) fn wide_512<T: Task>(task: T) -> T::Out {
        task.run()
    }

    /// FMA comes with the wider registers above too: what asks for it by name need not call for it.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn wide_256<T: Task>(task: T) -> T::Out {
        task.run()
    }

    /// What is left behind the last whole register is read under a mask, not one by one.
    #[target_feature(enable = "avx512f")]
    pub(super) fn extremes_512(values: &[i64]) -> (i64, i64) {
        let (blocks, rest) = values.as_chunks::<8>();
        let mask = (1_u8 << rest.len()) - 1;
        // SAFETY: only places under the mask are read, and `rest` has as many.
        let tail = unsafe { _mm512_maskz_loadu_epi64(mask, rest.as_ptr()) };
        let mut least = _mm512_mask_mov_epi64(_mm512_set1_epi64(i64::MAX), mask, tail);
        let mut greatest = _mm512_mask_mov_epi64(_mm512_set1_epi64(i64::MIN), mask, tail);
        for block in blocks {
            // SAFETY: the array holds the eight integers that are read, at any alignment.
            let block = unsafe { _mm512_loadu_epi64(block.as_ptr()) };
            least = _mm512_min_epi64(least, block);
            greatest = _mm512_max_epi64(greatest, block);
        }
        (_mm512_reduce_min_epi64(least), _mm512_reduce_max_epi64(greatest))
    }

    /// As in [`extremes_512`], what is left is read under a mask.
    #[target_feature(enable = "avx512f")]
    pub(super) fn first_outside_512(
        low: &[i64],
        high: &[i64],
        floor: i64,
        ceiling: i64,
    ) -> Option<usize> {
        let (floor, ceiling) = (_mm512_set1_epi64(floor), _mm512_set1_epi64(ceiling));
        let outside = |low, high| {
            _mm512_cmple_epi64_mask(low, floor) | _mm512_cmpge_epi64_mask(high, ceiling)
        };
        let (lows, low_rest) = low.as_chunks::<8>();
        let (highs, high_rest) = high.as_chunks::<8>();
        for (i, (low, high)) in lows.iter().zip(highs).enumerate() {
            // SAFETY: both arrays hold the eight integers that are read, at any alignment.
            let (low, high) =
                unsafe { (_mm512_loadu_epi64(low.as_ptr()), _mm512_loadu_epi64(high.as_ptr())) };
            let outside = outside(low, high);
            if outside != 0 {
                return Some(8 * i + outside.trailing_zeros() as usize);
            }
        }
        let rest = low_rest.len().min(high_rest.len());
        let mask = (1_u8 << rest) - 1;
        // SAFETY: only places under the mask are read, and both slices have as many.
        let (low, high) = unsafe {
            (
                _mm512_maskz_loadu_epi64(mask, low_rest.as_ptr()),
                _mm512_maskz_loadu_epi64(mask, high_rest.as_ptr()),
            )
        };
        let outside = outside(low, high) & mask;
        (outside != 0).then(|| 8 * lows.len() + outside.trailing_zeros() as usize)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn orders_512(a: Lane<'_>, b: Lane<'_>, above: &mut [u64], below: &mut [u64]) {
        // Indices, not iterators: a loop that is known to turn eight times is unrolled.
        for i in 0..above.len().min(below.len()) {
            let (x, y) = (a.word(i).as_ptr(), b.word(i).as_ptr());
            let (mut greater, mut less) = (0, 0);
            // Bit by bit from behind: shifts by as much as the place would be made wide, at a loss.
            for first in [56, 48, 40, 32, 24, 16, 8, 0] {
                // SAFETY: both words hold eight doubles from there on, read at any alignment.
                let (x, y) =
                    unsafe { (_mm512_loadu_pd(x.add(first)), _mm512_loadu_pd(y.add(first))) };
                greater = greater << 8 | u64::from(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(x, y));
                less = less << 8 | u64::from(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(x, y));
            }
            (above[i], below[i]) = (greater, less);
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn orders_256(a: Lane<'_>, b: Lane<'_>, above: &mut [u64], below: &mut [u64]) {
        for (i, (above, below)) in above.iter_mut().zip(below).enumerate() {
            let (x, y) = (a.word(i).as_chunks::<4>().0, b.word(i).as_chunks::<4>().0);
            let (mut greater, mut less) = (0, 0);
            for (part, (x, y)) in x.iter().zip(y).enumerate() {
                // SAFETY: both arrays hold the four doubles that are read, at any alignment.
                let (x, y) = unsafe { (_mm256_loadu_pd(x.as_ptr()), _mm256_loadu_pd(y.as_ptr())) };
                let gt = _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(x, y)).cast_unsigned();
                let lt = _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(x, y)).cast_unsigned();
                greater |= u64::from(gt) << (4 * part);
                less |= u64::from(lt) << (4 * part);
            }
            (*above, *below) = (greater, less);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_sets_the_same_bits() {
        let mut x = 7_u64;
        let mut next = || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match (x >> 40) % 8 {
                7 => f64::NAN,
                n => n as f64,
            }
        };
        let a: Vec<Word> = (0..9).map(|_| std::array::from_fn(|_| next())).collect();
        let b: Vec<Word> = (0..9).map(|_| std::array::from_fn(|_| next())).collect();
        for n in 0..40 {
            let values: Vec<i64> = (0..n).map(|i| (i * 37 - 300) % 41).collect();
            assert_eq!(extremes(&values), extremes_plain(&values));
            let highs: Vec<i64> = values.iter().map(|low| low + 9).collect();
            for (floor, ceiling) in [(-99, 99), (-19, 99), (-99, 28), (-15, 24), (-20, 29)] {
                let found = first_outside(&values, &highs, floor, ceiling);
                let walked = (0..values.len()).find(|&i| values[i] <= floor || highs[i] >= ceiling);
                assert_eq!(found, walked);
                assert_eq!(first_outside_plain(&values, &highs, floor, ceiling), walked);
            }
        }
        for b in [Lane::column(&b), Lane::constant(&b[3])] {
            let a = Lane::column(&a);
            let mut plain = ([0; 9], [0; 9]);
            orders_plain(a, b, &mut plain.0, &mut plain.1);
            let mut chosen = ([1; 9], [1; 9]);
            orders(a, b, &mut chosen.0, &mut chosen.1);
            assert_eq!(plain, chosen);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                let mut narrow = ([1; 9], [1; 9]);
                // SAFETY: the processor has AVX2, as was just asked.
                unsafe { x86::orders_256(a, b, &mut narrow.0, &mut narrow.1) };
                assert_eq!(plain, narrow);
            }
        }
    }
}
