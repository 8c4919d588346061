// SPDX-License-Identifier: Apache-2.0
//! Resolved metric handles, cached per worker thread.
//!
//! `with_label_values` hashes every label text and takes a lock. A worker therefore resolves each combination once and
//! finds it afterwards by a key of a few integers. Every part of a key is bounded: ids of interned names, variants of
//! closed sets, a status code. All of them multiplied are not few, though, and both programs and origins choose among
//! them, so beyond a number of calls that are told apart the rest is counted together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use prometheus::{Histogram, IntCounter};

use crate::telemetry::durations::Series;
use crate::telemetry::event::Destination;
use crate::telemetry::labels::{Enforcement, ErrorType, Method, RejectReason, RetryOutcome, Timeout};
use crate::telemetry::shards::Shard;

/// Number of an interned label text; [`OTHER`] is the overflow bucket.
pub(crate) type LabelId = u32;

/// The id of `other`.
pub(crate) const OTHER: LabelId = 0;

/// Labels of a request or, with method `Other`, of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    pub(crate) route: LabelId,
    pub(crate) upstream: LabelId,
    pub(crate) method: Method,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<ErrorType>,
}

impl CallKey {
    /// What is common to all calls that are not told apart.
    fn folded(self) -> Self {
        Self { route: self.route, upstream: OTHER, method: Method::Other, status: Some(0), error: self.error }
    }
}

/// The series of calls that one worker has met.
#[derive(Default)]
pub(crate) struct Calls {
    index: HandleMap<CallKey, usize>,
    series: Vec<Series>,
    /// The next call is mostly like the one before.
    latest: Option<(CallKey, usize)>,
}

impl Calls {
    /// The series of `key`, or of what it is counted together with, which `make` makes when it is first met.
    pub(crate) fn of(&mut self, key: CallKey, make: impl FnOnce(CallKey) -> Series) -> &mut Series {
        let at = match self.latest {
            Some((latest, at)) if latest == key => at,
            _ => self.look_up(key, make),
        };
        &mut self.series[at]
    }

    fn look_up(&mut self, key: CallKey, make: impl FnOnce(CallKey) -> Series) -> usize {
        let is_told_apart = self.index.len() < CALLS_MOST || self.index.contains_key(&key);
        let shown = if is_told_apart { key } else { key.folded() };
        let at = *self.index.entry(shown).or_insert_with(|| {
            self.series.push(make(shown));
            self.series.len() - 1
        });
        self.latest = Some((key, at));
        at
    }
}

/// How many kinds of calls a worker tells apart, in each of the two histograms.
pub(crate) const CALLS_MOST: usize = 2048;

/// Labels of a counter.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CounterKey {
    Retried(LabelId, RetryOutcome),
    Rejected(LabelId, RejectReason, Enforcement),
    TimedOut(LabelId, Timeout, Enforcement),
    ConnectFailed(LabelId, ErrorType),
    Grpc(LabelId, LabelId, u16),
}

pub(crate) type HandleMap<K, H> = HashMap<K, H, BuildHasherDefault<KeyHasher>>;

/// The handles that one thread has resolved of one registry.
#[derive(Default)]
pub(crate) struct Handles {
    registry: u64,
    pub(crate) requests: Calls,
    pub(crate) attempts: Calls,
    pub(crate) dials: HandleMap<LabelId, Histogram>,
    pub(crate) counters: HandleMap<CounterKey, IntCounter>,
    /// What HTTP/1 requests carry.
    pub(crate) http1_bytes: Option<Shard<2>>,
    latest: Option<Latest>,
}

/// The labels of one call. Those of the next are mostly the same: an attempt is followed by the request that it served.
struct Latest {
    route: String,
    destination: Destination,
    ids: (LabelId, LabelId),
}

impl Handles {
    /// The labels of a route and a destination, which `look_up` knows.
    pub(crate) fn labels(
        &mut self,
        route: &str,
        destination: &Destination,
        look_up: impl FnOnce() -> (LabelId, LabelId),
    ) -> (LabelId, LabelId) {
        let known = |latest: &&Latest| latest.route == route && latest.destination == *destination;
        if let Some(latest) = self.latest.as_ref().filter(known) {
            return latest.ids;
        }
        let ids = look_up();
        self.latest = Some(Latest { route: route.to_owned(), destination: destination.clone(), ids });
        ids
    }
}

/// Runs `f` with this thread's handles of `registry`; handles of another registry are forgotten. On a thread that is
/// ending, whose own are gone already, the handles live for this call only.
pub(crate) fn with_handles(registry: u64, f: impl FnOnce(&mut Handles)) {
    thread_local! {
        static HANDLES: RefCell<Handles> = RefCell::default();
    }
    let mut f = Some(f);
    let mut run = |handles: &mut Handles| {
        if handles.registry != registry {
            *handles = Handles { registry, ..Handles::default() };
        }
        if let Some(f) = f.take() {
            f(handles);
        }
    };
    if HANDLES.try_with(|handles| run(&mut handles.borrow_mut())).is_err() {
        run(&mut Handles::default());
    }
}

/// Multiplicative hash of a few small integers. Its keys are never chosen by traffic, so it needs no seed.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl KeyHasher {
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.mix(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
