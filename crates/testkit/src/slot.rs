//! A loopback address of one's own.
//!
//! Purpose: keep several fleets on one machine apart, in one process or in many. Owns one locked file of the cache
//! folder while it lives. It must never hand out an address that another fleet may still use: the lock is shared with
//! the reaper of [`crate::supervise`], which outlives us until every process is gone.
//!
//! Every slot has 254 addresses of 127.0.0.0/8 (Linux answers on all of them), so ports can be the same everywhere.

use std::fs::{self, File, TryLockError};
use std::net::Ipv4Addr;

use crate::{Error, tools};

/// How many fleets can run on one machine at the same time.
const SLOTS: u16 = 1000;

/// The addresses 127.a.b.1 to 127.a.b.254, where (a, b) is ours alone.
#[derive(Debug)]
pub struct Slot {
    network: [u8; 2],
    lock: File,
}

impl Slot {
    /// Takes the first free slot.
    pub fn claim() -> Result<Self, Error> {
        let folder = tools::cache()?.join("slots");
        fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        for number in 0..SLOTS {
            let path = folder.join(number.to_string());
            let lock = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(Error::file("create", &path))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { network: network(number), lock }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(Error::File { action: "lock", path, source }),
            }
        }
        Err(Error::NoSlot(SLOTS))
    }

    /// One of the addresses; `host` is 1 to 254. The control planes are on 1; others are free for test code (fault
    /// proxies, pods that are processes).
    pub fn address(&self, host: u8) -> Ipv4Addr {
        let [second, third] = self.network;
        Ipv4Addr::new(127, second, third, host)
    }

    /// A second handle of the lock, for who must outlive us.
    pub(crate) fn share(&self) -> Result<File, Error> {
        self.lock.try_clone().map_err(Error::file("open", "the lock of the slot"))
    }
}

/// 127.64.1 upwards: away from 127.0.0.1 and from the low networks that people use by hand.
fn network(number: u16) -> [u8; 2] {
    let [second, third] = [number / 200, number % 200];
    let byte = |value: u16| u8::try_from(value).unwrap_or(u8::MAX);
    [64 + byte(second), 1 + byte(third)]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{SLOTS, network};

    #[test]
    fn every_slot_has_its_own_network() {
        let all: HashSet<_> = (0..SLOTS).map(network).collect();
        assert_eq!(all.len(), usize::from(SLOTS));
    }
}
