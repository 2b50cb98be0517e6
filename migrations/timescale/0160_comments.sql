-- Ours: what each table of the document that the engine does not use holds, and the unit of each column.
COMMENT ON TABLE order_book_snapshots IS 'One snapshot of an order book a row.';
COMMENT ON TABLE trades IS 'One public trade of a market a row; those of a backtest are in backtest_trades.';
COMMENT ON TABLE accounts IS 'One account of a user at an exchange a row.';
COMMENT ON TABLE orders IS 'One order of a user a row.';
COMMENT ON TABLE positions IS 'One position of a user a row; open while closed_at is NULL.';
COMMENT ON TABLE trades_executed IS 'One fill of a user''s order a row.';
COMMENT ON TABLE strategy_performance IS 'How a strategy stood at a moment.';
COMMENT ON TABLE ml_models IS 'One trained model a row.';
COMMENT ON TABLE predictions IS 'One prediction of a model a row.';
COMMENT ON TABLE technical_indicators IS 'One value of an indicator at one bar a row.';
COMMENT ON TABLE risk_limits IS 'One limit of a user a row.';
COMMENT ON TABLE risk_events IS 'One time that a limit was met a row.';
COMMENT ON TABLE system_logs IS 'One line of a log a row.';
COMMENT ON TABLE api_usage IS 'One request a row; user_id is NULL where it was anonymous.';
COMMENT ON TABLE data_policies IS 'Which policies of `backtest db policies` are on. One without a row is off.';
COMMENT ON TABLE orders_partitioned IS 'Orders again, in four partitions by user_id. The engine writes none.';
COMMENT ON TABLE orders_p0 IS 'Partition 0 of orders_partitioned.';
COMMENT ON TABLE orders_p1 IS 'Partition 1 of orders_partitioned.';
COMMENT ON TABLE orders_p2 IS 'Partition 2 of orders_partitioned.';
COMMENT ON TABLE orders_p3 IS 'Partition 3 of orders_partitioned.';

COMMENT ON COLUMN order_book_snapshots.timestamp IS 'When it was taken, UTC.';
COMMENT ON COLUMN order_book_snapshots.bids IS 'Pairs of price (quote units) and quantity (base units), best first.';
COMMENT ON COLUMN order_book_snapshots.asks IS 'Pairs of price (quote units) and quantity (base units), best first.';
COMMENT ON COLUMN order_book_snapshots.last_update_id IS 'The exchange''s number of the last update in it.';

COMMENT ON COLUMN trades.timestamp IS 'When it happened, UTC.';
COMMENT ON COLUMN trades.price IS 'Quote units.';
COMMENT ON COLUMN trades.quantity IS 'Base units.';
COMMENT ON COLUMN trades.quote_quantity IS 'Quote units.';

COMMENT ON COLUMN accounts.balance IS 'Quote units.';
COMMENT ON COLUMN accounts.available_balance IS 'Quote units.';
COMMENT ON COLUMN accounts.locked_balance IS 'Quote units.';
COMMENT ON COLUMN accounts.total_wallet_balance IS 'Quote units.';
COMMENT ON COLUMN accounts.unrealized_pnl IS 'Quote units.';
COMMENT ON COLUMN accounts.margin_balance IS 'Quote units.';

COMMENT ON COLUMN orders.quantity IS 'Base units.';
COMMENT ON COLUMN orders.price IS 'Quote units; NULL of a market order.';
COMMENT ON COLUMN orders.stop_price IS 'Quote units.';
COMMENT ON COLUMN orders.executed_quantity IS 'Base units.';
COMMENT ON COLUMN orders.cumulative_quote_quantity IS 'Quote units.';
COMMENT ON COLUMN orders.created_at IS 'UTC; the time that chunks are cut by.';
COMMENT ON COLUMN orders.updated_at IS 'UTC.';

COMMENT ON COLUMN positions.size IS 'Base units.';
COMMENT ON COLUMN positions.entry_price IS 'Quote units.';
COMMENT ON COLUMN positions.mark_price IS 'Quote units.';
COMMENT ON COLUMN positions.unrealized_pnl IS 'Quote units.';
COMMENT ON COLUMN positions.percentage IS 'Per cent of entry notional.';
COMMENT ON COLUMN positions.margin IS 'Quote units.';
COMMENT ON COLUMN positions.isolated_margin IS 'Quote units.';
COMMENT ON COLUMN positions.max_notional_value IS 'Quote units.';
COMMENT ON COLUMN positions.opened_at IS 'UTC; the time that chunks are cut by.';
COMMENT ON COLUMN positions.closed_at IS 'UTC; NULL while open.';

COMMENT ON COLUMN trades_executed.quantity IS 'Base units.';
COMMENT ON COLUMN trades_executed.price IS 'Quote units.';
COMMENT ON COLUMN trades_executed.quote_quantity IS 'Quote units.';
COMMENT ON COLUMN trades_executed.commission IS 'Units of commission_asset.';
COMMENT ON COLUMN trades_executed.commission_asset IS 'What the commission was paid in.';
COMMENT ON COLUMN trades_executed.realized_pnl IS 'Quote units.';
COMMENT ON COLUMN trades_executed.executed_at IS 'UTC; the time that chunks are cut by.';

COMMENT ON COLUMN strategy_performance.timestamp IS 'UTC.';
COMMENT ON COLUMN strategy_performance.total_return IS 'Per cent.';
COMMENT ON COLUMN strategy_performance.daily_return IS 'Per cent.';
COMMENT ON COLUMN strategy_performance.cumulative_return IS 'Per cent.';
COMMENT ON COLUMN strategy_performance.sharpe_ratio IS 'Ratio.';
COMMENT ON COLUMN strategy_performance.max_drawdown IS 'Per cent, positive.';
COMMENT ON COLUMN strategy_performance.win_rate IS 'Per cent of closed trades.';
COMMENT ON COLUMN strategy_performance.profit_factor IS 'Ratio.';
COMMENT ON COLUMN strategy_performance.total_trades IS 'Closed trades.';
COMMENT ON COLUMN strategy_performance.winning_trades IS 'Closed trades with net pnl above 0.';
COMMENT ON COLUMN strategy_performance.losing_trades IS 'Closed trades with net pnl below 0.';
COMMENT ON COLUMN strategy_performance.avg_win IS 'Per cent of entry notional.';
COMMENT ON COLUMN strategy_performance.avg_loss IS 'Per cent of entry notional, negative.';
COMMENT ON COLUMN strategy_performance.largest_win IS 'Per cent of entry notional.';
COMMENT ON COLUMN strategy_performance.largest_loss IS 'Per cent of entry notional, negative.';

COMMENT ON COLUMN ml_models.timeframe IS 'Length of its bars: 1m, 1h, 1d, ...';
COMMENT ON COLUMN ml_models.training_data_start IS 'UTC.';
COMMENT ON COLUMN ml_models.training_data_end IS 'UTC.';
COMMENT ON COLUMN ml_models.validation_score IS 'Score of the model''s own kind; no unit.';
COMMENT ON COLUMN ml_models.test_score IS 'Score of the model''s own kind; no unit.';

COMMENT ON COLUMN predictions.timestamp IS 'When it was made, UTC.';
COMMENT ON COLUMN predictions.prediction_timestamp IS 'The moment that it is about, UTC.';
COMMENT ON COLUMN predictions.predicted_value IS 'Unit of what prediction_type names.';
COMMENT ON COLUMN predictions.confidence IS 'Share, 0 to 1.';
COMMENT ON COLUMN predictions.actual_value IS 'Unit of what prediction_type names.';
COMMENT ON COLUMN predictions.error IS 'Unit of what prediction_type names.';

COMMENT ON COLUMN technical_indicators.timestamp IS 'Opening of the bar, UTC.';
COMMENT ON COLUMN technical_indicators.timeframe IS 'Length of the bar: 1m, 1h, 1d, ...';
COMMENT ON COLUMN technical_indicators.value IS 'Unit of the indicator: quote units for averages of prices, 0 to 100 for oscillators.';

COMMENT ON COLUMN risk_limits.limit_value IS 'Unit of what limit_type names: quote units or per cent.';
COMMENT ON COLUMN risk_limits.current_value IS 'Unit of limit_value.';

COMMENT ON COLUMN risk_events.timestamp IS 'UTC.';
COMMENT ON COLUMN risk_events.risk_value IS 'Unit of what event_type names.';
COMMENT ON COLUMN risk_events.limit_value IS 'Unit of risk_value.';

COMMENT ON COLUMN system_logs.timestamp IS 'UTC.';

COMMENT ON COLUMN api_usage.timestamp IS 'UTC.';
COMMENT ON COLUMN api_usage.response_time IS 'Milliseconds.';
COMMENT ON COLUMN api_usage.request_size IS 'Bytes.';
COMMENT ON COLUMN api_usage.response_size IS 'Bytes.';

COMMENT ON COLUMN orders_partitioned.quantity IS 'Base units.';
COMMENT ON COLUMN orders_partitioned.price IS 'Quote units; NULL of a market order.';
COMMENT ON COLUMN orders_partitioned.stop_price IS 'Quote units.';
COMMENT ON COLUMN orders_partitioned.executed_quantity IS 'Base units.';
COMMENT ON COLUMN orders_partitioned.cumulative_quote_quantity IS 'Quote units.';
COMMENT ON COLUMN orders_partitioned.created_at IS 'UTC; the time that chunks are cut by.';
COMMENT ON COLUMN orders_partitioned.updated_at IS 'UTC.';

COMMENT ON COLUMN users.db_role IS 'Role of the server that is this user; what it sees is decided by it.';
COMMENT ON COLUMN api_usage.user_id IS 'NULL: anonymous.';
