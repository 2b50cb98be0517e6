//! The same once more where a database says that it may well succeed then.
//! What is worth another try, and how many, is the caller's to say.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{Error, Store};

use crate::fail::Fail;
use crate::talk;

/// Before the second try; each wait is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long a database that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Waits up to here are not worth a word.
const SILENT_WAIT: Duration = Duration::from_millis(800);

/// Does `act` until it is done, or fails and `again` wants no more: it hears why, and how long the wait would be.
pub(crate) async fn until_done<T, F: Future<Output = Result<T, Error>>>(
    mut again: impl FnMut(&Error, Duration) -> bool,
    act: impl Fn() -> F,
) -> Result<T, Error> {
    let mut wait = FIRST_WAIT;
    loop {
        match act().await {
            Err(error) if again(&error, wait) => tokio::time::sleep(wait).await,
            done => return done,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Does `act` again while the database is away, for a while.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    store: &Store,
    act: impl Fn() -> F,
) -> Result<T, Fail> {
    patiently_unless(store, &AtomicBool::new(false), act).await
}

/// The same, until somebody sets `give_up`.
pub(crate) async fn patiently_unless<T, F: Future<Output = Result<T, Error>>>(
    store: &Store,
    give_up: &AtomicBool,
    act: impl Fn() -> F,
) -> Result<T, Fail> {
    let begun = Instant::now();
    let again = |error: &Error, wait| {
        let goes_on =
            error.is_passing() && begun.elapsed() < PATIENCE && !give_up.load(Ordering::Relaxed);
        if goes_on && wait > SILENT_WAIT {
            talk::say(format!("waiting for `{}`: {error}", store.place()));
        }
        goes_on
    };
    Ok(until_done(again, act).await?)
}
