// SPDX-License-Identifier: Apache-2.0
//! How late this machine wakes whoever sleeps, while something is measured.
//!
//! It exists because a time limit that holds on a quiet machine says nothing on a busy one. A test that is given what
//! the machine itself has added needs neither a second try nor a limit that is too wide.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::wait;

/// Threads that sleep and note how late they wake, one for each processor.
#[derive(Debug)]
pub struct Pulse {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Duration>>,
}

impl Pulse {
    /// Begins to feel the pulse.
    pub fn feel() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..processors).map(|processor| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                // Where this is forbidden, the thread goes where it likes.
                let _ = stay_on(processor);
                worst(&over)
            })
        });
        Self { threads: threads.collect(), over }
    }

    /// The latest that anybody woke.
    pub fn worst(mut self) -> Duration {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|thread| thread.join().unwrap_or_default());
        ended.max().unwrap_or_default()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// One that stands still for a while, as those of a virtual machine do, is noticed on itself only.
fn stay_on(processor: usize) -> nix::Result<()> {
    let mut only = CpuSet::new();
    only.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &only)
}

fn worst(over: &AtomicBool) -> Duration {
    let mut worst = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let asleep = Instant::now();
        wait::pass(BEAT);
        worst = worst.max(asleep.elapsed().saturating_sub(BEAT));
    }
    worst
}

const BEAT: Duration = Duration::from_millis(1);
