// SPDX-License-Identifier: Apache-2.0
//! How far the two connections of a flow are read ahead of what becomes of it.
//!
//! What `h2` has decoded it keeps until somebody takes it: heads until their streams have had a turn, and what is for
//! the program until its socket takes it. Heads are under no flow control, and HPACK sends a field in one byte. So a
//! connection is not read any further while too much of it waits: a program that reads nothing stops its upstream, as
//! it does directly. Nobody may be left waiting: who is held back wakes the one who lets him go on.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::Poll,
};

/// How far the two connections of a flow are ahead.
#[derive(Default)]
pub(super) struct Pace {
    /// Bytes of the program's heads that no stream has had a turn to take yet.
    untaken: AtomicUsize,
    /// What has been read of the upstream since the program's socket had taken everything, heads by what they unpack to.
    unwritten: AtomicUsize,
    /// The program's socket takes nothing at present.
    is_full: AtomicBool,
}

/// What was read of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// All bytes.
    pub(super) bytes: usize,
    /// Those of them that were of heads.
    pub(super) heads: usize,
}

impl Pace {
    /// So much of the program's connection was given to `h2`.
    pub(super) fn read_program(&self, read: Read) {
        self.untaken.fetch_add(read.heads, Ordering::Relaxed);
    }

    /// So much of the upstream's was.
    pub(super) fn read_upstream(&self, read: Read) {
        self.unwritten.fetch_add(read.bytes + UNPACKED * read.heads, Ordering::Relaxed);
    }

    /// Whether `h2` may have more of what the program says.
    pub(super) fn takes_program(&self) -> bool {
        self.untaken.load(Ordering::Relaxed) < UNTAKEN_MAX
    }

    /// Whether `h2` may have more of what the upstream says.
    pub(super) fn takes_upstream(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed) < UNWRITTEN_MAX
    }

    /// The program's socket took what was written, or did not.
    pub(super) fn wrote(&self, took: Took) {
        self.is_full.store(took == Took::Nothing, Ordering::Relaxed);
    }

    /// Streams have a turn now, and `h2` has written what it could. Tells who was held back.
    pub(super) fn turn(&self) -> HeldBack {
        let program = !self.takes_program();
        self.untaken.store(0, Ordering::Relaxed);
        if self.is_full.load(Ordering::Relaxed) {
            return HeldBack { program, upstream: false };
        }
        let upstream = !self.takes_upstream();
        self.unwritten.store(0, Ordering::Relaxed);
        HeldBack { program, upstream }
    }

    /// Nobody takes anything any more. As much again is read, so that the end of the upstream's connection is not missed,
    /// and no more: `h2` would keep what is for nobody.
    pub(super) fn end(&self) {
        self.unwritten.store(0, Ordering::Relaxed);
    }
}

/// Whether a socket took anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Took {
    Something,
    Nothing,
}

impl Took {
    /// By what came of a write.
    pub(super) fn of<T>(written: &Poll<T>) -> Self {
        if written.is_pending() { Self::Nothing } else { Self::Something }
    }
}

/// Who was not read any further, and may be now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldBack {
    pub(super) program: bool,
    pub(super) upstream: bool,
}

/// How many bytes of heads of the program are read before their streams have a turn. A hundred and more of usual ones,
/// and no more than 8 MiB when each byte is a field.
const UNTAKEN_MAX: usize = 16 * 1024;
/// How much of an upstream is read while its program takes nothing: enough to keep its socket busy.
const UNWRITTEN_MAX: usize = 512 * 1024;
/// What a byte of a head may unpack to. Of usual ones, each about half of that.
const UNPACKED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Read = Read { bytes: 1000, heads: 100 };

    #[test]
    fn heads_of_the_program_wait_for_a_turn() {
        let pace = Pace::default();
        let read =
            (0..10_000).take_while(|_| pace.takes_program()).map(|_| pace.read_program(LITTLE)).count();
        assert_eq!(read, UNTAKEN_MAX.div_ceil(LITTLE.heads));
        assert_eq!(pace.turn(), HeldBack { program: true, upstream: false });
        assert!(pace.takes_program());
        assert_eq!(pace.turn(), HeldBack { program: false, upstream: false });
    }

    #[test]
    fn an_upstream_waits_for_a_program_that_takes_nothing() {
        let pace = Pace::default();
        pace.wrote(Took::Nothing);
        let read =
            (0..10_000).take_while(|_| pace.takes_upstream()).map(|_| pace.read_upstream(LITTLE)).count();
        assert_eq!(read, UNWRITTEN_MAX.div_ceil(LITTLE.bytes + UNPACKED * LITTLE.heads));
        assert_eq!(pace.turn(), HeldBack { program: false, upstream: false }, "nothing was taken");
        assert!(!pace.takes_upstream());
        pace.wrote(Took::Something);
        assert_eq!(pace.turn(), HeldBack { program: false, upstream: true });
        assert!(pace.takes_upstream());
    }

    #[test]
    fn as_much_again_is_read_of_an_upstream_whose_program_is_gone() {
        let (pace, most) = (Pace::default(), Read { bytes: UNWRITTEN_MAX, heads: 0 });
        pace.wrote(Took::Nothing);
        pace.read_upstream(most);
        pace.end();
        assert!(pace.takes_upstream(), "its end may be next");
        pace.read_upstream(most);
        assert!(!pace.takes_upstream(), "what is for nobody is not kept");
    }
}
