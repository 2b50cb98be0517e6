//! Which points of a space are tried when not all are: without one twice, the same for the same seed everywhere.
//! The numbers come from libraries whose output is fixed; a search of the whole grid needs none of this.

use std::collections::BTreeSet;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

use super::{GridError, Space};

/// Points that the Sobol sequence has.
const SOBOL_POINTS: u32 = 1 << 16;
/// Random draws a trial, most of which may fall on points that are forbidden or taken.
const DRAWS: u64 = 64;

/// Which points are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// All.
    Grid,
    /// So many, each as likely as another.
    Random { trials: u64, seed: u64 },
    /// So many, spread evenly over every dimension: the Sobol sequence with Owen's scrambling.
    Sobol { trials: u64, seed: u64 },
}

impl Search {
    /// How many points are wanted; `None` for all.
    #[must_use]
    pub fn trials(&self) -> Option<u64> {
        match self {
            Self::Grid => None,
            Self::Random { trials, .. } | Self::Sobol { trials, .. } => Some(*trials),
        }
    }
}

/// Ascending indices of `wanted` variants, which is fewer than there are; `None` for all.
pub(super) fn choose(
    space: &Space,
    search: &Search,
    wanted: u64,
) -> Result<Option<Vec<u64>>, GridError> {
    let chosen = match *search {
        Search::Grid => return Ok(None),
        Search::Random { seed, .. } => random(space, seed, wanted),
        Search::Sobol { seed, .. } => sobol(space, seed, wanted)?,
    };
    Ok(Some(chosen.into_iter().collect()))
}

fn random(space: &Space, seed: u64, wanted: u64) -> BTreeSet<u64> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut chosen = BTreeSet::new();
    let n = space.n_indices();
    let mut draws = wanted.saturating_add(1_000).saturating_mul(DRAWS);
    while (chosen.len() as u64) < wanted && draws > 0 {
        draws -= 1;
        let idx = below(n, &mut rng);
        if space.grid.allows(space.place(idx).1) {
            chosen.insert(idx);
        }
    }
    // A grid that forbids nearly all: the rest in order, so that as many as wanted are found.
    let rest = space.indices(0, n);
    for idx in rest.take(usize::try_from(wanted).unwrap_or(usize::MAX)) {
        if (chosen.len() as u64) >= wanted {
            break;
        }
        chosen.insert(idx);
    }
    chosen
}

/// A number below `n`, each as likely as another.
fn below(n: u64, rng: &mut impl Rng) -> u64 {
    let fair = u64::MAX - u64::MAX % n;
    loop {
        let drawn = rng.next_u64();
        if drawn < fair {
            return drawn % n;
        }
    }
}

fn sobol(space: &Space, seed: u64, wanted: u64) -> Result<BTreeSet<u64>, GridError> {
    let seed = u32::try_from(seed % (1 << 32)).unwrap_or_default();
    let mut chosen = BTreeSet::new();
    let lengths: Vec<usize> = space.grid.axes().iter().map(|axis| axis.values.len()).collect();
    for i in 0..SOBOL_POINTS {
        let mut dimension = 0;
        let mut digit = |n: usize| {
            let at = sobol_burley::sample(i, dimension, seed);
            dimension += 1;
            cell(at, n)
        };
        let series = digit(usize::try_from(space.n_series).unwrap_or(1)) as u64;
        let digits: Vec<usize> = lengths.iter().map(|&n| digit(n)).collect();
        let point = space.grid.index(&digits);
        if space.grid.allows(point) {
            chosen.insert(series * space.grid.n_points() + point);
        }
        if chosen.len() as u64 == wanted {
            return Ok(chosen);
        }
    }
    let limit = chosen.len() as u64;
    Err(GridError::Trials { search: "sobol", limit, given: wanted })
}

/// Which of `n` equal parts of [0, 1) holds `at`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of n is an index below n"
)]
fn cell(at: f32, n: usize) -> usize {
    ((f64::from(at) * n as f64) as usize).min(n.saturating_sub(1))
}
