//! What the queues of a member's YuniKorn have room for.
//!
//! Owns no state but the client of one poll after the other. YuniKorn has no watch: the whole tree is asked for, with no
//! credentials, in bounded time and size, following nobody's redirect. Must never count what others already wait for as
//! free.

mod ask;
mod tree;

use std::time::Duration;

use jiff::Timestamp;

pub use self::ask::{Endpoint, NoEndpoint};
use super::{YuniKornSettings, board::Board, line::Line, rooms::Rooms};
use crate::error::Error;

/// Polls never follow each other faster than this.
const FASTEST: Duration = Duration::from_millis(100);

/// Polls until it fails.
pub(super) async fn read(settings: &YuniKornSettings, line: &dyn Line, board: &Board) -> Error {
    let asking = match ask::Asking::new(settings, line) {
        Ok(asking) => asking,
        Err(error) => return error,
    };
    loop {
        // Nothing new goes to a member that is not ready; that it is back is worth a look at once.
        line.ready().await;
        let at = Timestamp::now();
        let queues =
            match asking.ask().await.and_then(|answer| tree::rooms(&answer).map_err(Error::NotYuniKorn)) {
                Ok(queues) => queues,
                Err(error) => return error,
            };
        board.put(Rooms::YuniKorn(queues), at);
        tokio::time::sleep(settings.poll_every.max(FASTEST)).await;
    }
}
