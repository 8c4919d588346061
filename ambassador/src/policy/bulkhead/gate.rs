// SPDX-License-Identifier: Apache-2.0
//! A counting semaphore whose places are given to those who wait in the order in which they came.
//!
//! Who finds room, or gives a place back for which nobody waits, touches two atomics and no lock. Nobody overtakes those
//! who wait, and no place is lost: each side announces itself before it looks for the other one.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Places, of which there are so many.
#[derive(Debug)]
pub struct Gate {
    limit: Option<u32>,
    inside: AtomicU32,
    /// How many wait in `line`.
    awaited: AtomicU32,
    line: Mutex<Line>,
}

/// Who waits.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// The first is served first.
    waiting: VecDeque<(u64, Option<Waker>)>,
    /// Who has a place, and has not taken it yet.
    given: Vec<u64>,
}

impl Gate {
    /// A gate with `limit` places; without a limit it only counts.
    pub const fn new(limit: Option<u32>) -> Self {
        let line = Line { next: 0, waiting: VecDeque::new(), given: Vec::new() };
        Self { limit, inside: AtomicU32::new(0), awaited: AtomicU32::new(0), line: Mutex::new(line) }
    }

    /// Takes a place, or `None` if the gate is full or others wait for it. The place is given back when the permit is
    /// dropped.
    pub fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let free = !self.is_awaited() && self.take();
        free.then(|| Permit { gate: Arc::clone(self) })
    }

    /// Waits for a place, from now on behind all who wait already.
    pub fn enter(self: &Arc<Self>) -> Enter {
        let mut line = self.line();
        let id = line.next;
        line.next += 1;
        line.waiting.push_back((id, None));
        self.awaited.fetch_add(1, Ordering::SeqCst);
        // Between the last look and here a place may have come free.
        self.give(line);
        Enter { gate: Arc::clone(self), id: Some(id) }
    }

    /// Whether anybody waits for a place.
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::SeqCst) > 0
    }

    /// How many places are taken.
    pub fn inside(&self) -> u32 {
        self.inside.load(Ordering::Relaxed)
    }

    /// How many places there are.
    pub const fn limit(&self) -> Option<u32> {
        self.limit
    }

    fn take(&self) -> bool {
        let limit = self.limit.unwrap_or(u32::MAX);
        let enter = |inside: u32| (inside < limit).then(|| inside + 1);
        self.inside.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter).is_ok()
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
        if self.is_awaited() {
            self.give(self.line());
        }
    }

    /// Gives free places to those who have waited longest.
    fn give(&self, mut line: MutexGuard<'_, Line>) {
        let mut woken = Vec::new();
        while !line.waiting.is_empty() && self.take() {
            let Some((id, waker)) = line.waiting.pop_front() else { break };
            self.awaited.fetch_sub(1, Ordering::SeqCst);
            line.given.push(id);
            woken.extend(waker);
        }
        // Foreign code: not with the lock held.
        drop(line);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Every operation leaves the line sound, even if it panics.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait for a place. Dropped, it leaves the line, and passes on what it was given.
#[derive(Debug)]
#[must_use = "the wait ends when this is dropped"]
pub struct Enter {
    gate: Arc<Gate>,
    /// `None`: the wait is over.
    id: Option<u64>,
}

impl Future for Enter {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let Some(id) = self.id else { return Poll::Pending };
        let mut line = self.gate.line();
        if let Some(at) = line.given.iter().position(|given| *given == id) {
            line.given.swap_remove(at);
            drop(line);
            self.id = None;
            return Poll::Ready(Permit { gate: Arc::clone(&self.gate) });
        }
        if let Some((_, waker)) = line.waiting.iter_mut().find(|(waiting, _)| *waiting == id) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut line = self.gate.line();
        if let Some(at) = line.waiting.iter().position(|(waiting, _)| *waiting == id) {
            line.waiting.remove(at);
            self.gate.awaited.fetch_sub(1, Ordering::SeqCst);
        } else if let Some(at) = line.given.iter().position(|given| *given == id) {
            line.given.swap_remove(at);
            drop(line);
            self.gate.leave();
        }
    }
}

/// One place in a [`Gate`], held as long as this lives.
#[derive(Debug)]
#[must_use = "the place is given back at once when the permit is dropped"]
pub struct Permit {
    gate: Arc<Gate>,
}

impl Permit {
    /// Whether it is a place in `gate`.
    pub fn is_in(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.gate, gate)
    }

    /// Whether there are only so many like it.
    pub fn is_limited(&self) -> bool {
        self.gate.limit.is_some()
    }

    /// Whether somebody waits for it.
    pub fn is_awaited(&self) -> bool {
        self.gate.is_awaited()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

#[cfg(test)]
mod tests;
