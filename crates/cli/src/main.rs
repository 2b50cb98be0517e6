//! The voice: reads the command line, calls the rooms, prints, and exits with a documented code.
//! No SQL, no simulation and no number is made here.

mod again;
mod args;
mod command;
mod fail;
mod like;
mod report;
mod synthetic;
mod table;
mod talk;
mod verdict;
mod when;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::fail::{Code, Fail};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            talk::say(Fail::new(Code::Bug, error));
            return Code::Bug.into();
        }
    };
    // A sweep ends by itself on Ctrl-C: it saves what it has begun.
    let ends_itself = matches!(cli.command, args::Command::Sweep(_));
    let result = runtime.block_on(async {
        if ends_itself {
            return command::dispatch(cli).await;
        }
        tokio::select! {
            result = command::dispatch(cli) => result,
            _ = tokio::signal::ctrl_c() => {
                Err(Fail::new(Code::Interrupted, anyhow::anyhow!("interrupted; nothing half-done is kept")))
            }
        }
    });
    // Work that was cut off must not hold the process open.
    runtime.shutdown_background();
    let result = result.and_then(|()| match talk::lost() {
        Some(error) => Err(Fail::data(format!("stdout: {error}"))),
        None => Ok(()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            talk::say(&fail);
            fail.code.into()
        }
    }
}
