-- Ours: what each table holds and the unit of each column, where SQL tools show it.
COMMENT ON TABLE market_data IS 'One bar a row. It covers [timestamp, timestamp + timeframe).';
COMMENT ON TABLE users IS 'Who rows belong to. `local` is made on first use and cannot log in.';
COMMENT ON TABLE strategies IS 'One row a user and strategy name; parameters holds the strategy file as JSON.';
COMMENT ON TABLE backtests IS 'One row a run or variant of a sweep.';
COMMENT ON TABLE backtest_results IS 'One row a completed backtest. NULL: undefined, or too large for its column; metrics holds it in full.';
COMMENT ON TABLE backtest_trades IS 'One lot a row, from its entry fill to its exit fill. An open one has no exit and no pnl.';
COMMENT ON TABLE backtest_equity IS 'Equity at the last bar of each UTC day that has bars.';

COMMENT ON COLUMN market_data.timestamp IS 'Opening of the bar, UTC.';
COMMENT ON COLUMN market_data.timeframe IS 'Length of the bar: 1m, 1h, 1d, ...';
COMMENT ON COLUMN market_data.open IS 'Quote units.';
COMMENT ON COLUMN market_data.high IS 'Quote units.';
COMMENT ON COLUMN market_data.low IS 'Quote units.';
COMMENT ON COLUMN market_data.close IS 'Quote units.';
COMMENT ON COLUMN market_data.volume IS 'Base units.';
COMMENT ON COLUMN market_data.quote_volume IS 'Quote units.';
COMMENT ON COLUMN market_data.trades_count IS 'Number of trades.';
COMMENT ON COLUMN market_data.taker_buy_volume IS 'Base units.';
COMMENT ON COLUMN market_data.taker_buy_quote_volume IS 'Quote units.';
COMMENT ON COLUMN market_data.created_at IS 'When the row was first written.';

COMMENT ON COLUMN users.max_position_size IS 'Quote units. Never limits a backtest.';
COMMENT ON COLUMN users.max_daily_loss IS 'Quote units. Never limits a backtest.';

COMMENT ON COLUMN strategies.parameters IS 'The strategy file.';
COMMENT ON COLUMN strategies.risk_parameters IS 'The risk rules of the strategy file.';
COMMENT ON COLUMN strategies.max_position_size IS 'Quote units.';
COMMENT ON COLUMN strategies.max_drawdown IS 'Per cent.';

COMMENT ON COLUMN backtests.start_date IS 'Opening of the first traded bar.';
COMMENT ON COLUMN backtests.end_date IS 'End of the last bar.';
COMMENT ON COLUMN backtests.initial_capital IS 'Quote units.';
COMMENT ON COLUMN backtests.parameters IS 'Values of the parameters of the strategy.';
COMMENT ON COLUMN backtests.status IS 'PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.';
COMMENT ON COLUMN backtests.progress IS 'Per cent, 0 to 100.';
COMMENT ON COLUMN backtests.rules IS 'Costs, fills and conventions of the run.';
COMMENT ON COLUMN backtests.identity IS 'SHA-256 of strategy, parameters, rules, data fingerprint, range and engine version, hexadecimal.';
COMMENT ON COLUMN backtests.data_fingerprint IS 'SHA-256 of the columns read, hexadecimal.';
COMMENT ON COLUMN backtests.engine_version IS 'Version of backtest that made the run.';
COMMENT ON COLUMN backtests.heartbeat_at IS 'Last sign of life of a RUNNING row; 60 s without one is abandoned.';
COMMENT ON COLUMN backtests.error IS 'Why the run FAILED.';
COMMENT ON COLUMN backtests.notes IS 'Free text of the user.';
COMMENT ON COLUMN backtests.tags IS 'Words of the user.';

COMMENT ON COLUMN backtest_results.total_return IS 'Per cent.';
COMMENT ON COLUMN backtest_results.annual_return IS 'Per cent a year.';
COMMENT ON COLUMN backtest_results.volatility IS 'Per cent a year.';
COMMENT ON COLUMN backtest_results.sharpe_ratio IS 'Ratio.';
COMMENT ON COLUMN backtest_results.sortino_ratio IS 'Ratio.';
COMMENT ON COLUMN backtest_results.max_drawdown IS 'Per cent, positive.';
COMMENT ON COLUMN backtest_results.max_drawdown_duration IS 'Seconds.';
COMMENT ON COLUMN backtest_results.calmar_ratio IS 'Ratio.';
COMMENT ON COLUMN backtest_results.win_rate IS 'Per cent of closed trades.';
COMMENT ON COLUMN backtest_results.profit_factor IS 'Ratio.';
COMMENT ON COLUMN backtest_results.total_trades IS 'Closed trades.';
COMMENT ON COLUMN backtest_results.winning_trades IS 'Closed trades with net pnl above 0.';
COMMENT ON COLUMN backtest_results.losing_trades IS 'Closed trades with net pnl below 0.';
COMMENT ON COLUMN backtest_results.avg_trade_return IS 'Per cent of entry notional.';
COMMENT ON COLUMN backtest_results.avg_win IS 'Per cent of entry notional.';
COMMENT ON COLUMN backtest_results.avg_loss IS 'Per cent of entry notional, negative.';
COMMENT ON COLUMN backtest_results.largest_win IS 'Per cent of entry notional.';
COMMENT ON COLUMN backtest_results.largest_loss IS 'Per cent of entry notional, negative.';
COMMENT ON COLUMN backtest_results.avg_trade_duration IS 'Mean of exit minus entry.';
COMMENT ON COLUMN backtest_results.final_capital IS 'Quote units.';
COMMENT ON COLUMN backtest_results.metrics IS 'Every metric at full precision, and the conventions used.';

COMMENT ON COLUMN backtest_trades.side IS 'LONG or SHORT.';
COMMENT ON COLUMN backtest_trades.quantity IS 'Base units.';
COMMENT ON COLUMN backtest_trades.entry_price IS 'Quote units.';
COMMENT ON COLUMN backtest_trades.exit_price IS 'Quote units.';
COMMENT ON COLUMN backtest_trades.entry_time IS 'Opening of the bar of the entry fill.';
COMMENT ON COLUMN backtest_trades.exit_time IS 'Opening of the bar of the exit fill.';
COMMENT ON COLUMN backtest_trades.pnl IS 'Quote units, net of both fees.';
COMMENT ON COLUMN backtest_trades.pnl_percentage IS 'Per cent of entry notional, rounded half-even.';
COMMENT ON COLUMN backtest_trades.commission IS 'Quote units: both fees; of an open trade, the entry fee.';
COMMENT ON COLUMN backtest_trades.strategy_signal IS 'entry_tag>exit_reason; entry_tag while open.';

COMMENT ON COLUMN backtest_equity.timestamp IS 'Opening of the last bar of the UTC day.';
COMMENT ON COLUMN backtest_equity.equity IS 'Quote units.';
COMMENT ON COLUMN backtest_equity.drawdown IS 'Per cent below the highest mark so far, positive.';
