// SPDX-License-Identifier: Apache-2.0
//! Whether a worker that has nothing to do looks for what is next by itself, instead of sleeping until it is woken.
//!
//! To be woken takes as long as all that a proxy does with a small message, above all where an idle processor has to be
//! woken, too. Where one program waits for each reply before it goes on, the next message is a moment away: then it is
//! looked for. It must never keep a processor from anybody: one thing at a time is the sign that nobody else wants it,
//! and to have been kept off it is the sign that somebody does. Nor must it look where nothing is due: all waits before
//! this one were short.

use std::time::Duration;

use super::clock::Now;

/// What a worker does that has nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// It looks whether there is something, and asks again if not.
    Look,
    /// It sleeps until it is woken.
    #[default]
    Sleep,
}

/// The waits of one worker, as far as they say how long the next one takes.
#[derive(Debug, Default)]
pub struct Vigil {
    /// Messages that it has read.
    reads: u64,
    /// Waits in a row that were short, and each ended by one message.
    short: u32,
    /// When it began to wait.
    since: Now,
    /// When it began to look or to sleep, and which.
    began: Now,
    next: Next,
    /// When it came back from that.
    back: Now,
    /// Until then it only sleeps.
    rests_until: Now,
}

impl Vigil {
    /// There is nothing to do at `now`, after so many `reads` since the worker's start.
    pub fn idle(&mut self, now: Now, reads: u64) -> Next {
        let new = reads.wrapping_sub(self.reads);
        if new > 0 {
            let was_short = new == 1 && self.back.since(self.since) <= LONGEST;
            self.short = if was_short { self.short.saturating_add(1) } else { 0 };
            (self.reads, self.since) = (reads, now);
        }
        let is_due = self.short >= TRUSTED && now.since(self.since) < LONGEST;
        self.next = if is_due && now >= self.rests_until { Next::Look } else { Next::Sleep };
        self.began = now;
        self.next
    }

    /// The worker has looked, or was woken, at `now`.
    pub fn back(&mut self, now: Now) {
        self.back = now;
        if self.next == Next::Look && now.since(self.began) > ONE_LOOK {
            self.rests_until = now.after(REST);
        }
    }
}

/// The longest wait that is a short one: what two messages and a wake take on one machine. So long is looked at most.
const LONGEST: Duration = Duration::from_micros(50);
/// Short waits after which the next one is believed to be short.
const TRUSTED: u32 = 16;
/// A look takes a microsecond. Whoever needed longer had no processor meanwhile.
const ONE_LOOK: Duration = Duration::from_micros(20);
/// How long the processor is left to whoever wanted it.
const REST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker, the time, and how often it has looked.
    #[derive(Default)]
    struct Worker {
        vigil: Vigil,
        now: Now,
        reads: u64,
        looks: u32,
    }

    impl Worker {
        /// Waits for `messages` that come after `wait`; a look takes `look`.
        fn wait(&mut self, wait: u64, messages: u64, look: u64) {
            let due = self.now.after(Duration::from_micros(wait));
            while self.now < due {
                match self.vigil.idle(self.now, self.reads) {
                    Next::Look => {
                        self.looks += 1;
                        self.now = self.now.after(Duration::from_micros(look));
                    }
                    Next::Sleep => self.now = due,
                }
                self.vigil.back(self.now);
            }
            self.reads += messages;
        }

        fn trusting() -> Self {
            let mut worker = Self::default();
            for _ in 0..TRUSTED {
                worker.wait(30, 1, 1);
            }
            assert_eq!(worker.looks, 0, "it has seen too little");
            worker
        }
    }

    #[test]
    fn after_short_waits_it_looks() {
        let mut worker = Worker::trusting();
        worker.wait(30, 1, 1);
        assert_eq!(worker.looks, 30);
        worker.wait(30, 1, 1);
        assert_eq!(worker.looks, 60, "which does not end what made it");
    }

    #[test]
    fn it_looks_in_vain_once_and_not_for_long() {
        let mut worker = Worker::trusting();
        worker.wait(1_000_000, 1, 1);
        assert_eq!(u128::from(worker.looks), LONGEST.as_micros());
        worker.wait(1_000_000, 1, 1);
        worker.wait(30, 1, 1);
        assert_eq!(u128::from(worker.looks), LONGEST.as_micros());
    }

    #[test]
    fn several_messages_at_once_end_it() {
        let mut worker = Worker::trusting();
        worker.wait(30, 2, 1);
        let looks = worker.looks;
        for _ in 0..TRUSTED {
            worker.wait(30, 1, 1);
        }
        assert_eq!(worker.looks, looks);
        worker.wait(30, 1, 1);
        assert!(worker.looks > looks, "until it sees as many single ones again");
    }

    #[test]
    fn who_was_kept_off_the_processor_leaves_it_to_others_for_a_while() {
        let mut worker = Worker::trusting();
        worker.wait(30, 1, 25);
        assert_eq!(worker.looks, 1);
        let rested = worker.now.after(REST);
        while worker.now < rested {
            worker.wait(30, 1, 1);
        }
        assert_eq!(worker.looks, 1);
        worker.wait(30, 1, 1);
        assert_eq!(worker.looks, 31);
    }
}
