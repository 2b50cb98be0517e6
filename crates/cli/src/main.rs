//! The program `backtest`: where the process begins.

fn main() {}
