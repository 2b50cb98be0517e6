//! What a sweep is: its definition as it is kept, and the plan that every worker makes of it, the same on each machine.
//! Nothing is simulated or saved here.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sim::expr::Expr;
use sim::grid::{Axis, Base, Grid, GridError, RULES, Search, Space, Target};
use sim::params::Params;
use sim::timeframe::Timeframe;
use store::LoadAsk;
use strategies::Definition;

use crate::command::metric::rule;
use crate::command::origin;
use crate::fail::{Code, Fail};
use crate::table::counted;

/// A sweep as `sweeps.definition` holds it: everything that a worker has to know. Decimals are text.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Kept {
    /// The strategy file, with parameters in the place of levels that are dimensions.
    pub(crate) strategy: serde_json::Value,
    pub(crate) axes: Vec<KeptAxis>,
    /// Values of the parameters that are no dimensions.
    #[serde(with = "by_name")]
    pub(crate) params: BTreeMap<String, Decimal>,
    pub(crate) rules: BTreeMap<String, String>,
    pub(crate) maker_follows_fee: bool,
    /// `require` of the file, then `--where`.
    pub(crate) constraints: Vec<String>,
    pub(crate) search: KeptSearch,
    pub(crate) series: Vec<Series>,
    /// What is wrong with the bars of each series; it decides no variant.
    #[serde(default)]
    pub(crate) data: Vec<serde_json::Value>,
    pub(crate) warmup: usize,
    /// Variants of a block.
    pub(crate) block: usize,
    pub(crate) objective: String,
    pub(crate) keep: Option<String>,
    /// `all`, `none` or `top=N`.
    pub(crate) trades: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct KeptAxis {
    pub(crate) name: String,
    #[serde(with = "in_order")]
    pub(crate) values: Vec<Decimal>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct KeptSearch {
    /// `grid`, `random` or `sobol`.
    pub(crate) kind: String,
    pub(crate) trials: Option<u64>,
    pub(crate) seed: Option<u64>,
}

impl KeptSearch {
    /// `random search, 30 trials, seed 0`
    pub(crate) fn words(&self) -> String {
        let mut words = format!("{} search", self.kind);
        if let Some(trials) = self.trials {
            words += &format!(", {}", counted(trials, "trial"));
        }
        if let Some(seed) = self.seed {
            words += &format!(", seed {seed}");
        }
        words
    }
}

/// Bars that variants are run on. Times are microseconds UTC.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Series {
    pub(crate) symbol: String,
    pub(crate) timeframe: String,
    /// Opening of the first traded bar and end of the last one.
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
    pub(crate) n_bars: usize,
    pub(crate) n_warmup: usize,
    pub(crate) fingerprint: String,
}

/// A sweep ready to be worked on.
pub(crate) struct Plan {
    pub(crate) kept: Kept,
    pub(crate) definition: Definition,
    pub(crate) space: Space,
}

impl Kept {
    /// Hash of everything that decides which variants there are and what they give; not what is best, nor the blocks.
    pub(crate) fn identity(&self, definition: &Definition) -> String {
        let parts = serde_json::json!([
            sim::VERSION,
            definition.identity(),
            self.axes,
            self.params.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(),
            self.rules,
            self.maker_follows_fee,
            self.constraints,
            self.search,
            self.series,
            self.warmup,
        ]);
        sim::identity::digest(&parts.to_string())
    }

    /// The grid of it.
    pub(crate) fn grid(&self, definition: &Definition) -> Result<Grid, Fail> {
        let axes: Vec<Axis> = self.axes.iter().map(KeptAxis::axis).collect();
        let params: Params = self.params.iter().map(|(n, v)| (n.clone(), *v)).collect();
        let mut names: Vec<&str> = self.axes.iter().map(|a| a.name.as_str()).collect();
        names.extend(self.params.keys().map(String::as_str));
        let constraints: Vec<Expr> =
            self.constraints.iter().map(|source| rule(source, &names)).collect::<Result<_, _>>()?;
        for constraint in &constraints {
            if !constraint.columns().is_empty() {
                let source = constraint.source();
                return Err(Fail::usage(format!("`{source}` reads bars, which no grid has"))
                    .hint("a rule of a grid mentions parameters and numbers"));
            }
        }
        let base = Base {
            params,
            rules: origin::rules(&self.rules)?,
            maker_follows_fee: self.maker_follows_fee,
        };
        let grid = Grid::new(axes, base, &constraints).map_err(grid_fail)?;
        if definition.is_native() {
            // Its values are checked by building it, which says more than a failed variant does.
            definition.build(&grid.variant(0).params)?;
        }
        Ok(grid)
    }

    pub(crate) fn search(&self) -> Search {
        let (trials, seed) = (self.search.trials.unwrap_or(0), self.search.seed.unwrap_or(0));
        match self.search.kind.as_str() {
            "random" => Search::Random { trials, seed },
            "sobol" => Search::Sobol { trials, seed },
            _ => Search::Grid,
        }
    }
}

impl KeptAxis {
    fn axis(&self) -> Axis {
        let target = if RULES.contains(&self.name.as_str()) { Target::Rule } else { Target::Param };
        Axis { name: self.name.clone(), target, values: self.values.clone() }
    }
}

impl Series {
    /// How these bars are loaded again.
    pub(crate) fn ask(&self, definition: &Definition) -> Result<LoadAsk, Fail> {
        let timeframe: Timeframe = self
            .timeframe
            .parse()
            .map_err(|e: sim::timeframe::UnknownTimeframe| Fail::data(e.to_string()))?;
        Ok(LoadAsk {
            symbol: self.symbol.clone(),
            timeframe,
            from_us: Some(self.start_us),
            to_us: Some(self.end_us),
            // As many as there were, also where more have been imported since.
            warmup_bars: self.n_warmup,
            columns: definition.columns(),
        })
    }
}

impl Plan {
    /// The plan of a sweep that is kept.
    pub(crate) fn of(definition: &serde_json::Value) -> Result<Self, Fail> {
        let kept: Kept = serde_json::from_value(definition.clone()).map_err(|e| {
            Fail::new(Code::Data, anyhow::Error::new(e).context("the kept sweep cannot be read"))
        })?;
        let definition = Definition::from_json(&kept.strategy)?;
        let grid = kept.grid(&definition)?;
        let space = Space::new(grid, kept.series.len(), &kept.search(), u64::MAX);
        Ok(Self { space: space.map_err(grid_fail)?, kept, definition })
    }

    /// What variant `idx` has on the dimension `axis`.
    pub(crate) fn parameter(&self, idx: u64, axis: &str) -> Option<Decimal> {
        let (_, point) = self.space.place(idx);
        let mut dimensions = self.space.grid().point(point);
        dimensions.find(|(dimension, _)| dimension.name == axis).map(|(_, value)| value)
    }
}

pub(crate) fn grid_fail(error: GridError) -> Fail {
    let hint = error.hint();
    Fail::new(Code::Usage, error).hint(hint)
}

/// Decimals as a list of texts.
mod in_order {
    use rust_decimal::Decimal;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(all: &[Decimal], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(Decimal::to_string))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<Decimal>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

/// Decimals as texts by name.
mod by_name {
    use std::collections::BTreeMap;

    use rust_decimal::Decimal;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    type Named = BTreeMap<String, Decimal>;

    pub(super) fn serialize<S: Serializer>(all: &Named, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(all.iter().map(|(name, value)| (name, value.to_string())))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Named, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(from)?;
        let parse = |(name, text): (String, String)| {
            text.parse().map(|value| (name, value)).map_err(D::Error::custom)
        };
        texts.into_iter().map(parse).collect()
    }
}
