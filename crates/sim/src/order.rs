//! What a strategy asks for and what becomes of it: orders, sizes, protection, trades and rejections.
//! Plain values only: no rule of the market is applied here.

use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;

/// Direction of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Long,
    Short,
}

impl Side {
    /// 1 for long, -1 for short.
    #[must_use]
    pub fn sign(self) -> Decimal {
        match self {
            Self::Long => Decimal::ONE,
            Self::Short => Decimal::NEGATIVE_ONE,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Long => "LONG",
            Self::Short => "SHORT",
        })
    }
}

/// How much to trade; the quantity is fixed at the fill. Fractions are fractions of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size<T = Decimal> {
    /// This fraction of equity, its fee included.
    Equity(T),
    /// This notional in quote units, before fees.
    Quote(T),
    /// This quantity.
    Quantity(T),
    /// Lose about this fraction of equity if the stop is hit.
    Risk(T),
}

impl<T> Size<T> {
    /// As a strategy file calls what is sized by.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Equity(_) => "equity",
            Self::Quote(_) => "quote",
            Self::Quantity(_) => "quantity",
            Self::Risk(_) => "risk",
        }
    }

    /// How much of it.
    pub fn amount(&self) -> &T {
        let (Self::Equity(amount)
        | Self::Quote(amount)
        | Self::Quantity(amount)
        | Self::Risk(amount)) = self;
        amount
    }

    /// So much of the same.
    pub fn of<U>(&self, amount: U) -> Size<U> {
        match self {
            Self::Equity(_) => Size::Equity(amount),
            Self::Quote(_) => Size::Quote(amount),
            Self::Quantity(_) => Size::Quantity(amount),
            Self::Risk(_) => Size::Risk(amount),
        }
    }
}

impl Size {
    /// Itself, if an order can be sized so.
    ///
    /// # Errors
    /// What is wrong with its amount.
    pub fn checked(self) -> Result<Self, &'static str> {
        match self {
            Self::Equity(f) | Self::Risk(f) if f > Decimal::ONE => {
                Err("a fraction of equity is at most 1: there is no leverage yet")
            }
            size if *size.amount() <= Decimal::ZERO => Err("a size must be above 0"),
            size => Ok(size),
        }
    }
}

/// How far a level lies from the entry fill price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distance {
    /// A fraction of the price.
    Fraction(Decimal),
    /// Quote units.
    Quote(Decimal),
    /// It was asked for but has no value on the bar of the decision: the entry will be refused.
    Undefined,
}

/// Levels that guard a position from its entry fill on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protection {
    pub stop_loss: Option<Distance>,
    pub take_profit: Option<Distance>,
    pub trailing_stop: Option<Distance>,
    /// Longest holding time, microseconds.
    pub time_stop_us: Option<i64>,
}

/// A market entry, decided at the close of a bar.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Order {
    pub side: Side,
    pub size: Size,
    pub protection: Protection,
    /// The rule's name; becomes the first half of `strategy_signal`.
    pub tag: Arc<str>,
}

impl Order {
    /// An order to enter at the market.
    #[must_use]
    pub fn market(side: Side, size: Size, protection: Protection, tag: Arc<str>) -> Self {
        Self { side, size, protection, tag }
    }
}

/// What a strategy wants at the close of one bar. The loop applies the conflict rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub long_entry: Option<Order>,
    pub long_exit: bool,
    pub short_entry: Option<Order>,
    pub short_exit: bool,
}

/// Why a position was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExitReason {
    Signal,
    Reverse,
    StopLoss,
    TakeProfit,
    TrailingStop,
    TimeStop,
    Liquidation,
}

impl ExitReason {
    /// The word in `strategy_signal`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Reverse => "reverse",
            Self::StopLoss => "stop_loss",
            Self::TakeProfit => "take_profit",
            Self::TrailingStop => "trailing_stop",
            Self::TimeStop => "time_stop",
            Self::Liquidation => "liquidation",
        }
    }
}

/// Why an order was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// Equity is gone, or cash does not cover notional and fee.
    Cash,
    /// A level is undefined, not above 0, or on the wrong side of the entry.
    StopUndefined,
    /// The quantity rounds down to nothing.
    Lot,
    /// The notional is below the market's least.
    MinNotional,
    /// Long and short entry fired on one bar.
    Conflict,
}

impl RejectReason {
    /// Every reason, in the order in which a fill is tested.
    pub const ALL: [Self; 5] =
        [Self::Cash, Self::StopUndefined, Self::Lot, Self::MinNotional, Self::Conflict];

    /// The word in results.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Cash => "cash",
            Self::StopUndefined => "stop_undefined",
            Self::Lot => "lot",
            Self::MinNotional => "min_notional",
            Self::Conflict => "conflict",
        }
    }
}

/// An order that was not made, at the bar where it would have filled (a conflict: where it was decided).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub bar_idx: usize,
    pub reason: RejectReason,
}

/// The closing half of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    pub price: Decimal,
    pub bar_idx: usize,
    /// Opening time of the bar, microseconds UTC.
    pub time_us: i64,
    pub reason: ExitReason,
    /// Net profit: the difference of the rounded cash flows of both fills, quote units.
    pub pnl: Decimal,
}

/// One lot from its entry fill to its exit fill; still open at the end without `exit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    pub side: Side,
    pub quantity: Decimal,
    pub entry_price: Decimal,
    pub entry_bar_idx: usize,
    /// Opening time of the entry's bar, microseconds UTC.
    pub entry_time_us: i64,
    pub entry_tag: Arc<str>,
    /// Fees paid so far: both sides when closed, quote units.
    pub commission: Decimal,
    pub exit: Option<Exit>,
}

impl Trade {
    /// `entry_tag>exit_reason`, or the tag alone while open.
    #[must_use]
    pub fn strategy_signal(&self) -> String {
        match &self.exit {
            Some(exit) => format!("{}>{}", self.entry_tag, exit.reason.word()),
            None => self.entry_tag.to_string(),
        }
    }
}
