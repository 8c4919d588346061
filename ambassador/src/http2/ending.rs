// SPDX-License-Identifier: Apache-2.0
//! What the end of a flow's upstream connection means to the program's own.
//!
//! Without a proxy they would be one connection. So an upstream that goes away in order (GOAWAY, or an end between two
//! streams) makes the program's connection go away in order, and one that fails fails it.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// How the program's connection is to end, and who waits to know. The strongest wish wins.
#[derive(Default)]
pub(crate) struct Ending {
    wish: AtomicU8,
    waker: AtomicWaker,
}

/// How the program's connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Wish {
    /// In order: GOAWAY, and the streams that are open are served to their ends.
    Leave = 1,
    /// Now, by FIN.
    Close,
    /// Now, by RST.
    Reset,
}

impl Ending {
    pub(crate) fn ask(&self, wish: Wish) {
        self.wish.fetch_max(wish as u8, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Waits for a wish that is stronger than `known`.
    pub(crate) fn poll_beyond(&self, cx: &mut Context<'_>, known: Option<Wish>) -> Poll<Wish> {
        self.waker.register(cx.waker());
        match self.wish() {
            Some(wish) if Some(wish) > known => Poll::Ready(wish),
            _ => Poll::Pending,
        }
    }

    pub(crate) fn wish(&self) -> Option<Wish> {
        [Wish::Reset, Wish::Close, Wish::Leave]
            .into_iter()
            .find(|wish| *wish as u8 == self.wish.load(Ordering::Relaxed))
    }
}
