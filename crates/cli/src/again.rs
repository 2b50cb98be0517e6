//! The same once more where a database says that it may well succeed then.
//! What is worth another try, and how many, is the caller's to say.

use std::future::Future;
use std::time::Duration;

use store::Error;

/// Before the second try; each wait is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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
