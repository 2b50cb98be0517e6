-- Ours: every table with exact values again as a view in REAL, for sorting and sums. Units are those of the comments in
-- ../timescale/0120_units.sql.
CREATE VIEW market_data_v AS
SELECT symbol, timeframe, timestamp,
       datetime(timestamp / 1000000, 'unixepoch') AS time,
       open / 1e8 AS open, high / 1e8 AS high, low / 1e8 AS low, close / 1e8 AS close,
       volume / 1e8 AS volume, quote_volume / 1e8 AS quote_volume, trades_count,
       taker_buy_volume / 1e8 AS taker_buy_volume, taker_buy_quote_volume / 1e8 AS taker_buy_quote_volume,
       created_at
FROM market_data;

CREATE VIEW backtests_v AS
SELECT id,
       user_id,
       strategy_id,
       name,
       description,
       start_date,
       end_date,
       CAST(initial_capital AS REAL) AS initial_capital,
       symbols,
       timeframes,
       parameters,
       status,
       progress,
       created_at,
       started_at,
       completed_at,
       notes,
       tags,
       rules,
       identity,
       data_fingerprint,
       engine_version,
       heartbeat_at,
       error
FROM backtests;

CREATE VIEW backtest_results_v AS
SELECT id,
       backtest_id,
       CAST(total_return AS REAL) AS total_return,
       CAST(annual_return AS REAL) AS annual_return,
       CAST(volatility AS REAL) AS volatility,
       CAST(sharpe_ratio AS REAL) AS sharpe_ratio,
       CAST(sortino_ratio AS REAL) AS sortino_ratio,
       CAST(max_drawdown AS REAL) AS max_drawdown,
       max_drawdown_duration,
       CAST(calmar_ratio AS REAL) AS calmar_ratio,
       CAST(win_rate AS REAL) AS win_rate,
       CAST(profit_factor AS REAL) AS profit_factor,
       total_trades,
       winning_trades,
       losing_trades,
       CAST(avg_trade_return AS REAL) AS avg_trade_return,
       CAST(avg_win AS REAL) AS avg_win,
       CAST(avg_loss AS REAL) AS avg_loss,
       CAST(largest_win AS REAL) AS largest_win,
       CAST(largest_loss AS REAL) AS largest_loss,
       avg_trade_duration,
       CAST(final_capital AS REAL) AS final_capital,
       created_at,
       metrics
FROM backtest_results;

CREATE VIEW backtest_trades_v AS
SELECT id,
       backtest_id,
       symbol,
       side,
       CAST(quantity AS REAL) AS quantity,
       CAST(entry_price AS REAL) AS entry_price,
       CAST(exit_price AS REAL) AS exit_price,
       entry_time,
       exit_time,
       CAST(pnl AS REAL) AS pnl,
       CAST(pnl_percentage AS REAL) AS pnl_percentage,
       CAST(commission AS REAL) AS commission,
       strategy_signal
FROM backtest_trades;

CREATE VIEW backtest_equity_v AS
SELECT backtest_id,
       timestamp,
       CAST(equity AS REAL) AS equity,
       CAST(drawdown AS REAL) AS drawdown
FROM backtest_equity;
