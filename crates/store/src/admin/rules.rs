//! The document's policies as a table: what is deleted or made, of which table, and when.
//! No SQL that changes anything may enter.

/// What a policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Deletes rows one by one: their chunks hold rows that stay.
    DeleteMinutes,
    /// Drops whole chunks; on a plain table, deletes rows.
    DropChunks,
    Compress,
    Refresh,
}

/// One policy. Names and intervals are constants of ours: they may stand in SQL as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// What `backtest db policies enable NAME` takes.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) table: &'static str,
    pub(crate) time: &'static str,
    /// As an INTERVAL.
    pub(crate) after: &'static str,
    /// What it does, for people.
    pub(crate) what: &'static str,
}

impl Rule {
    pub(crate) fn deletes(&self) -> bool {
        matches!(self.kind, Kind::DeleteMinutes | Kind::DropChunks)
    }

    /// Which rows, besides their age.
    pub(crate) fn condition(&self) -> &'static str {
        if self.kind == Kind::DeleteMinutes { "is_below_1h(timeframe)" } else { "true" }
    }

    /// Whether `wanted` names this policy or the group it is in.
    pub(crate) fn is_named(&self, wanted: &str) -> bool {
        wanted == self.name || (wanted == GROUP && self.deletes())
    }
}

/// All policies that delete.
pub(crate) const GROUP: &str = "retention";

const fn retention(
    name: &'static str,
    table: &'static str,
    after: &'static str,
    what: &'static str,
) -> Rule {
    Rule { name, kind: Kind::DropChunks, table, time: "timestamp", after, what }
}

/// The document's policies. Its 2 years for every bar are two rules: it meant minutes.
pub(crate) const RULES: [Rule; 8] = [
    Rule {
        name: "market_data_minutes",
        kind: Kind::DeleteMinutes,
        table: "market_data",
        time: "timestamp",
        after: "2 years",
        what: "deletes bars shorter than 1h",
    },
    retention("market_data", "market_data", "5 years", "deletes every bar"),
    retention("order_book_snapshots", "order_book_snapshots", "30 days", "deletes snapshots"),
    retention("trades", "trades", "90 days", "deletes trades of the market (not of backtests)"),
    retention("system_logs", "system_logs", "1 year", "deletes log lines"),
    retention("api_usage", "api_usage", "6 months", "deletes requests"),
    Rule {
        name: "compression",
        kind: Kind::Compress,
        table: "market_data",
        time: "timestamp",
        after: "7 days",
        what: "compresses chunks of bars",
    },
    Rule {
        name: "refresh",
        kind: Kind::Refresh,
        table: "daily_ohlcv",
        time: "date",
        after: "1 hour",
        what: "brings daily_ohlcv up to date",
    },
];
