//! `cooldown_breakout`, written in Rust: a breakout that looks at its own trades, which no signal can.
//! After a losing trade it sits out; after each loss in a row it trades half the size.

use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::json;
use sim::bars::Column;
use sim::order::{Decision, Distance, Order, Protection, Side, Size, Trade};
use sim::params::Params;
use sim::strategy::{Strategy, View};

use crate::definition::{Definition, Kind, Parameter};
use crate::error::FileError;

pub(crate) const NAME: &str = "cooldown_breakout";
/// Changes whenever the rules below do: it stands for them in the identity of a run.
const IDENTITY: &str = "native cooldown_breakout 1";
/// Longest channel, bars.
const MAX_LENGTH: usize = 10_000;
/// Most halvings of the size.
const MAX_HALVINGS: u32 = 6;

/// Its register entry.
pub(crate) fn definition() -> Definition {
    let parameter = |name: &str, default: i64, range: (i64, i64), step: i64| Parameter {
        name: name.to_owned(),
        default: default.into(),
        range: Some((range.0.into(), range.1.into())),
        step: Some(step.into()),
    };
    let description = "Long above the highest high of the last bars; after a loss it waits, \
                       and trades half the size for each loss in a row.";
    Definition {
        name: NAME.to_owned(),
        strategy_type: "breakout".to_owned(),
        description: description.to_owned(),
        symbols: vec!["BTCUSDT".to_owned()],
        timeframes: "1h".parse().into_iter().collect(),
        parameters: vec![
            parameter("channel", 48, (12, 240), 12),
            parameter("cooldown", 24, (0, 96), 12),
            parameter("sl", 3, (1, 10), 1),
        ],
        kind: Kind::Native { identity: IDENTITY, build },
        json: json!({
            "name": NAME,
            "strategy_type": "breakout",
            "description": description,
            "written_in": "Rust",
            "parameters": {
                "channel": { "default": 48, "range": [12, 240], "step": 12 },
                "cooldown": { "default": 24, "range": [0, 96], "step": 12 },
                "sl": { "default": 3, "range": [1, 10], "step": 1 },
            },
            "risk_parameters": { "size": { "equity": 1.0 }, "stop_loss": "sl%" },
        }),
    }
}

fn build(params: &Params) -> Result<Box<dyn Strategy>, FileError> {
    let whole = |name: &str, least: usize| {
        let value = params.get(name).filter(Decimal::is_integer).and_then(|v| v.to_usize());
        value.filter(|v| (least..=MAX_LENGTH).contains(v)).ok_or_else(|| {
            FileError::new(format!("`{name}` must be a whole number from {least} to {MAX_LENGTH}"))
                .with_hint("choose another value with --set")
        })
    };
    let sl = params.get("sl").unwrap_or_default();
    if sl <= Decimal::ZERO || sl >= Decimal::ONE_HUNDRED {
        let error = FileError::new("`sl` must be above 0 and below 100 per cent");
        return Err(error.with_hint("choose another value with --set"));
    }
    Ok(Box::new(Cooldown {
        channel: whole("channel", 1)?,
        cooldown: whole("cooldown", 0)?,
        stop: Distance::Fraction(sl / Decimal::ONE_HUNDRED),
        tag: "breakout".into(),
    }))
}

struct Cooldown {
    channel: usize,
    cooldown: usize,
    stop: Distance,
    tag: Arc<str>,
}

impl Strategy for Cooldown {
    fn decide(&mut self, view: &View<'_>) -> Decision {
        let Some((highest, lowest)) = self.channel(view) else { return Decision::default() };
        let close = view.price(Column::Close, 0);
        let protection = Protection { stop_loss: Some(self.stop), ..Protection::default() };
        let wanted = close > Some(highest) && !self.is_cooling(view);
        let order =
            || Order::market(Side::Long, size(view.trades()), protection, Arc::clone(&self.tag));
        Decision {
            long_entry: wanted.then(order),
            long_exit: close < Some(lowest),
            ..Decision::default()
        }
    }
}

impl Cooldown {
    /// Highest high and lowest low of the bars before this one; the low over half as many.
    fn channel(&self, view: &View<'_>) -> Option<(i64, i64)> {
        let highs = (1..=self.channel).map(|back| view.price(Column::High, back));
        let lows = (1..=self.channel.div_ceil(2)).map(|back| view.price(Column::Low, back));
        let highest = highs.collect::<Option<Vec<i64>>>()?.into_iter().max()?;
        let lowest = lows.collect::<Option<Vec<i64>>>()?.into_iter().min()?;
        Some((highest, lowest))
    }

    fn is_cooling(&self, view: &View<'_>) -> bool {
        let Some(exit) = view.trades().last().and_then(|t| t.exit.as_ref()) else { return false };
        exit.pnl < Decimal::ZERO && view.bar_idx() < exit.bar_idx + self.cooldown
    }
}

/// All equity, halved for each loss in a row just before.
fn size(trades: &[Trade]) -> Size {
    let lost = |t: &&Trade| t.exit.as_ref().is_some_and(|x| x.pnl < Decimal::ZERO);
    let losses = trades.iter().rev().take_while(lost).count();
    let halvings = u32::try_from(losses).unwrap_or(MAX_HALVINGS).min(MAX_HALVINGS);
    Size::Equity(Decimal::ONE / Decimal::from(1_u32 << halvings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_refused_by_name() {
        let definition = definition();
        let given = [("channel".to_owned(), Decimal::ZERO)];
        let params = definition.params(&given).unwrap();
        let error = definition.build(&params).err().unwrap();
        assert!(error.to_string().contains("`channel` must be a whole number from 1"));
        assert!(definition.params(&[("chanel".to_owned(), Decimal::ONE)]).is_err());
    }
}
