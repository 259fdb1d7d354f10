//! Calls that have to be made, whatever happens to the API server meanwhile.
//!
//! Owns no state. It must never hide a refusal: only what may be answered otherwise a moment later is asked again.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::error::Error;

/// How long an API server may be away: longer than any fault.
const PATIENCE: Duration = Duration::from_secs(90);
/// One call.
const ONE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// Makes a call until it is answered for good.
pub(crate) async fn insist<T>(
    what: &str,
    call: impl AsyncFn() -> Result<T, kube::Error>,
) -> Result<T, Error> {
    let started = Instant::now();
    loop {
        let error = match timeout(ONE, call()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if is_final(&error) => return Err(Error::call(what, error)),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if started.elapsed() > PATIENCE {
            return Err(
                error.map_or_else(|| Error::NoAnswer(what.to_owned()), |error| Error::call(what, error))
            );
        }
        sleep(PAUSE).await;
    }
}

fn is_final(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            (400..500).contains(&status.code) && status.code != 429 && status.code != 408
        }
        _ => false,
    }
}
