// SPDX-License-Identifier: Apache-2.0
//! The counts of one destination, and each worker's own part of them.
//!
//! A worker that knows a destination finds its part by the name alone, without asking what all workers share. It keeps
//! no more parts than there are rows, and one for all names that have none.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::histogram::Histogram;
use super::report::Row;
use crate::telemetry::labels::Protocol;
use crate::telemetry::shards::{Shard, Shards};

/// What is counted of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Requests,
    Failures,
    Unanswered,
    Rescues,
    BreakerEvents,
    BytesSent,
    BytesReceived,
}

/// Counts of one destination.
#[derive(Debug, Default)]
pub(super) struct Counts {
    parts: Shards<PARTS>,
    /// A bit per [`Protocol`].
    protocols: AtomicU8,
    durations: Histogram,
}

/// One worker's part of them.
pub(super) struct Own {
    shard: Shard<PARTS>,
    shared: Arc<Counts>,
}

impl Own {
    pub(super) fn add(&mut self, part: Part, amount: u64) {
        self.shard.add(part as usize, amount);
    }

    pub(super) fn met(&self, protocol: Protocol) {
        let protocol = 1 << protocol as u8;
        if self.shared.protocols.load(Ordering::Relaxed) & protocol == 0 {
            self.shared.protocols.fetch_or(protocol, Ordering::Relaxed);
        }
    }

    pub(super) fn took(&self, duration: Duration) {
        self.shared.durations.record(duration);
    }
}

impl From<Arc<Counts>> for Own {
    fn from(shared: Arc<Counts>) -> Self {
        Self { shard: shared.parts.shard(), shared }
    }
}

impl Counts {
    pub(super) fn row(&self, name: &str) -> Row {
        let parts = self.parts.sum();
        let of = |part: Part| parts[part as usize];
        let protocols = self.protocols.load(Ordering::Relaxed);
        let quantiles = self.durations.percentiles([50, 99]);
        Row {
            name: name.to_owned(),
            protocols: Protocol::ALL.iter().copied().filter(|p| protocols & (1 << *p as u8) != 0).collect(),
            requests: of(Part::Requests),
            failures: of(Part::Failures),
            unanswered: of(Part::Unanswered),
            rescues: of(Part::Rescues),
            breaker_events: of(Part::BreakerEvents),
            bytes_sent: of(Part::BytesSent),
            bytes_received: of(Part::BytesReceived),
            p50: quantiles.map(|[p50, _]| p50),
            p99: quantiles.map(|[_, p99]| p99),
        }
    }
}

/// Runs `add` with the calling worker's part of the destination `name` among those called `id`: of its `row`, or of
/// `other` if it has none. On a thread that is ending the part lives for this call only.
pub(super) fn with_own(
    id: u64,
    name: &str,
    row: impl Fn() -> Option<Arc<Counts>>,
    other: &Arc<Counts>,
    add: impl FnOnce(&mut Own),
) {
    thread_local! {
        static OWN: RefCell<Parts> = RefCell::default();
    }
    let mut add = Some(add);
    let mut run = |parts: &mut Parts| {
        if parts.id != id {
            *parts = Parts { id, ..Parts::default() };
        }
        if let Some(add) = add.take() {
            add(parts.of(name, &row, other));
        }
    };
    if OWN.try_with(|parts| run(&mut parts.borrow_mut())).is_err() {
        run(&mut Parts::default());
    }
}

/// One worker's parts.
#[derive(Default)]
struct Parts {
    id: u64,
    /// Where they stand in `own`.
    by_name: HashMap<String, usize, RandomState>,
    own: Vec<Own>,
    other: Option<Own>,
}

impl Parts {
    fn of(&mut self, name: &str, row: impl Fn() -> Option<Arc<Counts>>, other: &Arc<Counts>) -> &mut Own {
        let at = self.by_name.get(name).copied().or_else(|| {
            self.own.push(row()?.into());
            let at = self.own.len() - 1;
            self.by_name.insert(name.to_owned(), at);
            Some(at)
        });
        match at {
            Some(at) => &mut self.own[at],
            None => self.other.get_or_insert_with(|| Arc::clone(other).into()),
        }
    }
}

const PARTS: usize = Part::BytesReceived as usize + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_row_share_one_part() {
        let other = Arc::<Counts>::default();
        for turn in 0..1000 {
            with_own(u64::MAX, &turn.to_string(), || None, &other, |own| own.add(Part::Requests, 1));
        }
        assert_eq!((other.row("other").requests, Arc::strong_count(&other)), (1000, 2));
    }
}
