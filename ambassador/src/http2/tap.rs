// SPDX-License-Identifier: Apache-2.0
//! What may be done with the frames of a connection on their way between `h2` and its socket.
//!
//! The rules of either side are apart from the plumbing that applies them.

use std::task::Waker;

use bytes::BytesMut;

use super::{
    frame::FrameHeader,
    pace::{Read, Took},
};

/// What is done with the frames of one end of a connection.
pub(crate) trait Tap {
    /// Whether streams look at what has come before the end is told: `h2` forgets with the end that one was whole.
    const LOOKS_BEFORE_END: bool;

    /// Who is woken when [`insert`](Self::insert) has something.
    fn register(&self, waker: &Waker);

    /// Whether an arriving frame is for [`arrived`](Self::arrived).
    fn wants(&self, header: &FrameHeader) -> bool;

    /// What becomes of a whole frame that has arrived.
    fn arrived(&mut self, header: &FrameHeader, frame: &[u8]) -> Fate;

    /// Whether the peer turned out not to speak HTTP/2, by the beginning of what it said; all of it is taken then.
    fn takes_all(&mut self, bytes: &[u8], is_end: bool) -> Taken;

    /// Whether a frame that `h2` sends is for [`leaving`](Self::leaving).
    fn changes(&self, header: &FrameHeader) -> bool;

    /// Puts what goes out in the place of a whole frame into `out`.
    fn leaving(&mut self, header: &FrameHeader, frame: &[u8], out: &mut BytesMut);

    /// Lets go of what was held, before what was put `out` so far, if it need not wait any more for `next`.
    fn release(&mut self, next: Option<&FrameHeader>, out: &mut BytesMut) -> Held;

    /// Puts frames of its own into `out`, between those of `h2`.
    fn insert(&mut self, out: &mut BytesMut);

    /// `h2` says no more: what is held goes out.
    fn ending(&mut self);

    /// Whether `h2` may have more of what has arrived; who says no wakes the reader later.
    fn reads_on(&self) -> bool;

    /// `h2` was given so much.
    fn read(&mut self, read: Read);

    /// The socket took something of what was written, or nothing.
    fn wrote(&mut self, took: Took);

    /// Whether `h2` is not to be heard by the peer any more.
    fn is_mute(&self) -> bool;
}

/// Whether what is to go out waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Everything,
    Nothing,
}

/// What becomes of a frame that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// `h2` gets it.
    Passed,
    /// `h2` does not.
    Dropped,
}

/// Whether everything that arrives is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is, and this too.
    All,
    /// It is not, and never will be.
    Nothing,
    /// More must be known.
    Undecided,
}
