// SPDX-License-Identifier: Apache-2.0
//! How far the peers of HTTP/2 connections may run ahead of their readers, all connections together.
//!
//! What a peer was given credit for it may send, and it is kept here until its reader takes it: a program that reads
//! nothing, on many connections, would make ambassador hold the windows of all of them. So they come out of one credit.
//! A connection takes a share of what is left of it: the first ones have large windows, many have small ones, and a
//! connection is never without.

use std::sync::atomic::{AtomicU32, Ordering};

/// What the windows of all connections come out of.
pub(crate) static ALL: Credit = Credit::new(CREDIT);

/// Bytes that may still be promised.
pub(crate) struct Credit(AtomicU32);

impl Credit {
    const fn new(bytes: u32) -> Self {
        Self(AtomicU32::new(bytes))
    }

    /// The windows of one more connection.
    pub(crate) fn take(&'static self) -> Windows {
        let share = |left: u32| Some(left / SHARE).filter(|share| *share >= CONNECTION_LEAST);
        let left =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left - share(left)?));
        Windows { credit: self, taken: left.ok().and_then(share).unwrap_or_default() }
    }
}

/// The windows of a connection; they go back when it has ended.
pub(crate) struct Windows {
    credit: &'static Credit,
    taken: u32,
}

impl Windows {
    /// How much of all bodies of the connection may wait, in bytes.
    pub(crate) fn connection(&self) -> u32 {
        self.taken.max(CONNECTION_LEAST)
    }

    /// How much of one body may wait, in bytes. Seven readers that take nothing do not stop the eighth, where there is
    /// room for that.
    pub(crate) fn stream(&self) -> u32 {
        (self.connection() / 8).max(STREAM_LEAST)
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.credit.0.fetch_add(self.taken, Ordering::Relaxed);
    }
}

/// In bytes. The first connection has 4 MiB, and 512 KiB for a stream: they carry 4 Gbit/s over a round trip of 1 ms, and
/// 80 Mbit/s over one of 50 ms.
const CREDIT: u32 = 32 * 1024 * 1024;
/// The part of what is left that a connection takes.
const SHARE: u32 = 8;
/// The smallest window of a connection, in bytes: what is beyond the credit.
const CONNECTION_LEAST: u32 = 128 * 1024;
/// The smallest window of a stream, in bytes: what a peer has that was not told of any (RFC 9113 §6.5.2).
const STREAM_LEAST: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lonely_connection_has_large_windows_and_gives_them_back() {
        static CREDIT: Credit = Credit::new(super::CREDIT);
        for _ in 0..3 {
            let windows = CREDIT.take();
            assert_eq!((windows.connection(), windows.stream()), (4 << 20, 512 << 10));
        }
        assert_eq!(CREDIT.0.load(Ordering::Relaxed), super::CREDIT);
    }

    #[test]
    fn many_connections_share_and_none_is_without() {
        static CREDIT: Credit = Credit::new(super::CREDIT);
        let all: Vec<_> = (0..2000).map(|_| CREDIT.take()).collect();
        let windows: Vec<_> = all.iter().map(Windows::connection).collect();
        assert!(windows.is_sorted_by(|one, next| one >= next), "who comes later has less");
        assert!(windows.iter().all(|window| *window >= CONNECTION_LEAST));
        assert!(all.iter().all(|windows| windows.stream() >= STREAM_LEAST));
        let promised: u32 = all.iter().map(|windows| windows.taken).sum();
        assert!(promised <= super::CREDIT, "{promised}");
        assert_eq!(CREDIT.0.load(Ordering::Relaxed), super::CREDIT - promised);
        drop(all);
        assert_eq!(CREDIT.0.load(Ordering::Relaxed), super::CREDIT);
    }
}
