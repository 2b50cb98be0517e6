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
use std::time::Duration;

use clap::Parser;

use crate::args::Cli;
use crate::fail::{Code, Fail};

/// How long threads of a command that was interrupted may take to notice.
const LEAVE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            talk::say(Fail::new(Code::Bug, error));
            return Code::Bug.into();
        }
    };
    let result = runtime.block_on(command::dispatch(cli));
    // Work that was cut off notices, and takes away what it has begun; it must not hold the process open.
    runtime.shutdown_timeout(LEAVE);
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
