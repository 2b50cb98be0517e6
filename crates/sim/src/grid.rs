//! Grids: values by dimension, a stable index for every point of their product, and which points a rule allows.
//! Nothing is simulated here, and no list of variants is held: a point is made from its index when it is wanted.

mod error;
mod sample;
mod values;

use rust_decimal::Decimal;

use crate::expr::Expr;
use crate::params::Params;
use crate::rules::Rules;
use crate::sweep::Variant;

pub use error::GridError;
pub use sample::Search;
pub use values::{MAX_VALUES, values};

/// Most dimensions of a grid.
pub const MAX_AXES: usize = 32;
/// Most points of a grid that is searched whole, those included that a rule forbids.
pub const MAX_POINTS: u64 = 1_000_000_000;
/// Most points that rules are tried on: the product of the dimensions they mention.
pub const MAX_TRIED: u64 = 10_000_000;

/// What a dimension changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A parameter of the strategy.
    Param,
    /// A field of [`Rules`], such as `fee_bps`.
    Rule,
}

/// One dimension: a name and the values it takes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    pub name: String,
    pub target: Target,
    pub values: Vec<Decimal>,
}

/// The rules of the market that a dimension may change.
pub const RULES: [&str; 8] = [
    "capital",
    "fee_bps",
    "maker_fee_bps",
    "slippage_bps",
    "lot_step",
    "tick_size",
    "min_notional",
    "risk_free",
];

/// What the dimensions do not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub params: Params,
    pub rules: Rules,
    /// Whether `maker_fee_bps` is whatever `fee_bps` is.
    pub maker_follows_fee: bool,
}

/// A product of dimensions. The last one changes from point to point, the first one least often.
#[derive(Clone, Debug)]
pub struct Grid {
    axes: Vec<Axis>,
    base: Base,
    n_points: u64,
    allowed: Option<Mask>,
}

/// Points of some of the dimensions, and whether they are allowed.
#[derive(Clone, Debug)]
struct Mask {
    /// Places of these dimensions.
    axes: Vec<usize>,
    allowed: Vec<bool>,
    n_allowed: u64,
}

impl Grid {
    /// The product of `axes`, of which only points count where every one of `constraints` is true. These may mention
    /// dimensions, and parameters that `base` has values of.
    ///
    /// # Errors
    /// A dimension without values or named twice, a limit passed, a rule out of bounds, a constraint that cannot take
    /// the values or that no point meets.
    pub fn new(axes: Vec<Axis>, base: Base, constraints: &[Expr]) -> Result<Self, GridError> {
        check(&axes, &base)?;
        let product = axes.iter().try_fold(1_u64, |n, a| n.checked_mul(a.values.len() as u64));
        let n_points = product.ok_or(GridError::Points { limit: u64::MAX, given: None })?;
        let mut grid = Self { axes, base, n_points, allowed: None };
        if !constraints.is_empty() {
            grid.allowed = Some(grid.mask(constraints)?);
        }
        Ok(grid)
    }

    /// The dimensions, in order.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Points, forbidden ones included: indices are below this.
    #[must_use]
    pub fn n_points(&self) -> u64 {
        self.n_points
    }

    /// Points that no constraint forbids.
    #[must_use]
    pub fn n_allowed(&self) -> u64 {
        match &self.allowed {
            None => self.n_points,
            // Every allowed point of the mentioned dimensions goes with every point of the others.
            Some(mask) => mask.n_allowed * (self.n_points / mask.allowed.len() as u64),
        }
    }

    /// Whether point `idx` meets the constraints.
    #[must_use]
    pub fn allows(&self, idx: u64) -> bool {
        let Some(mask) = &self.allowed else { return true };
        let digits = self.digits(idx);
        let at = mask.axes.iter().fold(0, |at, &a| at * self.axes[a].values.len() + digits[a]);
        mask.allowed[at]
    }

    /// Which value each dimension has at point `idx`.
    #[must_use]
    pub fn digits(&self, idx: u64) -> Vec<usize> {
        let mut rest = idx;
        let mut digits = vec![0; self.axes.len()];
        for (digit, axis) in digits.iter_mut().zip(&self.axes).rev() {
            let n = axis.values.len() as u64;
            *digit = usize::try_from(rest % n).unwrap_or_default();
            rest /= n;
        }
        digits
    }

    /// The point where each dimension has its value of `digits`.
    #[must_use]
    pub fn index(&self, digits: &[usize]) -> u64 {
        let axes = self.axes.iter().zip(digits);
        axes.fold(0, |idx, (axis, &digit)| idx * axis.values.len() as u64 + digit as u64)
    }

    /// Names and values of the dimensions at point `idx`.
    pub fn point(&self, idx: u64) -> impl Iterator<Item = (&Axis, Decimal)> {
        self.axes.iter().zip(self.digits(idx)).map(|(axis, digit)| (axis, axis.values[digit]))
    }

    /// The variant at point `idx`.
    #[must_use]
    pub fn variant(&self, idx: u64) -> Variant {
        let Base { mut params, mut rules, maker_follows_fee } = self.base.clone();
        for (axis, value) in self.point(idx) {
            match axis.target {
                Target::Param => params.set(&axis.name, value),
                Target::Rule => set_rule(&mut rules, &axis.name, value),
            }
        }
        if maker_follows_fee {
            rules.maker_fee_bps = rules.fee_bps;
        }
        Variant { params, rules }
    }

    /// Points one step away from `idx` along one dimension, allowed ones only.
    #[must_use]
    pub fn neighbours(&self, idx: u64) -> Vec<u64> {
        let digits = self.digits(idx);
        let mut found = Vec::new();
        for (place, axis) in self.axes.iter().enumerate() {
            let steps = [digits[place].checked_sub(1), digits[place].checked_add(1)];
            for digit in steps.into_iter().flatten().filter(|&d| d < axis.values.len()) {
                let mut near = digits.clone();
                near[place] = digit;
                found.push(self.index(&near));
            }
        }
        found.retain(|&near| self.allows(near));
        found
    }

    /// Tries the constraints on every point of the dimensions they mention.
    fn mask(&self, constraints: &[Expr]) -> Result<Mask, GridError> {
        let mentioned = |axis: &Axis| constraints.iter().any(|c| c.params().contains(&axis.name));
        let axes: Vec<usize> = (0..self.axes.len()).filter(|&a| mentioned(&self.axes[a])).collect();
        let lengths: Vec<usize> = axes.iter().map(|&a| self.axes[a].values.len()).collect();
        let product = lengths.iter().try_fold(1_u64, |n, &l| n.checked_mul(l as u64));
        let n = product.filter(|&n| n <= MAX_TRIED).ok_or(GridError::Tried { limit: MAX_TRIED })?;
        let mut params = self.base.params.clone();
        let mut allowed = Vec::with_capacity(usize::try_from(n).unwrap_or_default());
        let mut digits = vec![0; axes.len()];
        for _ in 0..n {
            for (&axis, &digit) in axes.iter().zip(&digits) {
                params.set(&self.axes[axis].name, self.axes[axis].values[digit]);
            }
            allowed.push(holds(constraints, &params)?);
            for place in (0..digits.len()).rev() {
                digits[place] += 1;
                if digits[place] < lengths[place] {
                    break;
                }
                digits[place] = 0;
            }
        }
        let n_allowed = allowed.iter().filter(|&&a| a).count() as u64;
        if n_allowed == 0 {
            let rules = constraints.iter().map(|c| c.source().to_owned()).collect();
            return Err(GridError::NoneAllowed { rules, points: n });
        }
        Ok(Mask { axes, allowed, n_allowed })
    }
}

fn holds(constraints: &[Expr], params: &Params) -> Result<bool, GridError> {
    for constraint in constraints {
        let bound = constraint.bind(params).map_err(|e| GridError::Constraint(Box::new(e)))?;
        if bound.constant_rule() != Some(Some(true)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn check(axes: &[Axis], base: &Base) -> Result<(), GridError> {
    if axes.len() > MAX_AXES {
        return Err(GridError::Axes { limit: MAX_AXES, given: axes.len() });
    }
    for (place, axis) in axes.iter().enumerate() {
        if axis.values.is_empty() {
            return Err(GridError::Empty { name: axis.name.clone() });
        }
        if axes[..place].iter().any(|before| before.name == axis.name) {
            return Err(GridError::Twice { name: axis.name.clone() });
        }
        if axis.target == Target::Rule {
            for &value in &axis.values {
                let mut rules = base.rules.clone();
                set_rule(&mut rules, &axis.name, value);
                rules.check().map_err(GridError::Rule)?;
            }
        }
    }
    Ok(())
}

fn set_rule(rules: &mut Rules, name: &str, value: Decimal) {
    let field = match name {
        "capital" => &mut rules.capital,
        "fee_bps" => &mut rules.fee_bps,
        "maker_fee_bps" => &mut rules.maker_fee_bps,
        "slippage_bps" => &mut rules.slippage_bps,
        "lot_step" => &mut rules.lot_step,
        "tick_size" => &mut rules.tick_size,
        "min_notional" => &mut rules.min_notional,
        _ => &mut rules.risk_free,
    };
    *field = value;
}

/// A grid on several series of bars, and which of its points are tried there. The variant of point `p` on series `s`
/// has the index `s * n_points + p`, whatever else is tried.
#[derive(Clone, Debug)]
pub struct Space {
    grid: Grid,
    n_series: u64,
    /// Ascending; `None` for all.
    chosen: Option<Vec<u64>>,
}

/// Variants that are simulated and saved together: those of [first, end) that the space has, all on one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub series: usize,
    pub first: u64,
    pub end: u64,
    pub n_variants: usize,
}

impl Space {
    /// The points of `grid` on `n_series` series that `search` tries.
    ///
    /// # Errors
    /// More variants than `limit`, or a limit of the search passed.
    pub fn new(
        grid: Grid,
        n_series: usize,
        search: &Search,
        limit: u64,
    ) -> Result<Self, GridError> {
        let n_series = n_series as u64;
        let too_many = |given| GridError::Variants { limit, given };
        let all = grid.n_points.checked_mul(n_series).ok_or_else(|| too_many(None))?;
        let allowed = grid.n_allowed().saturating_mul(n_series);
        let wanted = search.trials().map_or(allowed, |trials| trials.min(allowed));
        if wanted > limit {
            return Err(too_many(Some(wanted)));
        }
        if all > MAX_POINTS && search.trials().is_none() {
            return Err(GridError::Points { limit: MAX_POINTS, given: Some(all) });
        }
        let space = Self { grid, n_series, chosen: None };
        let chosen = if wanted == allowed { None } else { sample::choose(&space, search, wanted)? };
        Ok(Self { chosen, ..space })
    }

    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Variants there are.
    #[must_use]
    pub fn n_variants(&self) -> u64 {
        match &self.chosen {
            Some(chosen) => chosen.len() as u64,
            None => self.grid.n_allowed() * self.n_series,
        }
    }

    /// Series and point of variant `idx`.
    #[must_use]
    pub fn place(&self, idx: u64) -> (usize, u64) {
        let n = self.grid.n_points;
        (usize::try_from(idx / n).unwrap_or_default(), idx % n)
    }

    fn n_indices(&self) -> u64 {
        self.grid.n_points * self.n_series
    }

    /// Indices of the variants in [first, end), ascending.
    pub fn indices(&self, first: u64, end: u64) -> Box<dyn Iterator<Item = u64> + '_> {
        match &self.chosen {
            Some(chosen) => {
                let from = chosen.partition_point(|&idx| idx < first);
                Box::new(chosen[from..].iter().copied().take_while(move |&idx| idx < end))
            }
            None => {
                let end = end.min(self.n_indices());
                Box::new((first..end).filter(|&idx| self.grid.allows(self.place(idx).1)))
            }
        }
    }

    /// Whether there is a variant `idx`.
    #[must_use]
    pub fn has(&self, idx: u64) -> bool {
        self.indices(idx, idx.saturating_add(1)).next().is_some()
    }

    /// All variants in blocks of at most `size`.
    #[must_use]
    pub fn blocks(&self, size: usize) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for idx in self.indices(0, self.n_indices()) {
            let (series, _) = self.place(idx);
            match blocks.last_mut() {
                Some(block) if block.series == series && block.n_variants < size => {
                    block.end = idx + 1;
                    block.n_variants += 1;
                }
                _ => blocks.push(Block { series, first: idx, end: idx + 1, n_variants: 1 }),
            }
        }
        blocks
    }
}

#[cfg(test)]
mod tests;
