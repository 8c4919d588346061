// SPDX-License-Identifier: Apache-2.0
//! [`Places`]: how many connections of programs may be open at once, and what is said when there are more.
//!
//! A program whose connection waits for a place sees a connect that succeeded and no byte: nothing but ambassador could
//! tell it why. So that is warned of, once per shortage, and can be seen in a metric. It never fails a connection.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::telemetry::Telemetry;

/// The places of the connections of all workers.
pub(super) struct Places {
    free: Arc<Semaphore>,
    most: usize,
    telemetry: Telemetry,
    /// When a connection last had to wait.
    short: Mutex<Option<Instant>>,
}

impl Places {
    /// So many.
    pub(super) fn new(most: usize, telemetry: Telemetry) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(most)), most, telemetry, short: Mutex::default() }
    }

    /// A place, as soon as there is one; it is free again when what is returned is dropped.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        if self.begins_a_shortage() {
            tracing::warn!(
                "all {} connections that the limit of open files allows are open: further ones wait until one ends \
                 (ambassador_connections_waiting). Raise the hard limit (ulimit -Hn, LimitNOFILE=) and start again",
                self.most
            );
        }
        let _waiting = self.telemetry.waiting_connection();
        let place = Arc::clone(&self.free).acquire_owned().await.ok();
        self.begins_a_shortage();
        place
    }

    /// Notes that a connection has to wait now; whether the last one that had to was long ago.
    fn begins_a_shortage(&self) -> bool {
        let now = Instant::now();
        let before = self.short.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        before.is_none_or(|before| now.saturating_duration_since(before) > CALM)
    }
}

/// A shortage is over when no connection had to wait for so long.
const CALM: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use std::{
        future::Future as _,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;
    use crate::telemetry::Options;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_counted_and_a_shortage_is_told_once() {
        let (telemetry, _guard) = Telemetry::new(Options::default()).expect("metrics");
        let waiting = |count: usize| {
            let page = telemetry.metrics_page().expect("a page");
            assert!(page.contains(&format!("ambassador_connections_waiting {count}\n")), "{page}");
        };
        let places = Places::new(1, telemetry.clone());
        let first = places.take().await.expect("a place");
        waiting(0);
        let mut second = pin!(places.take());
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waiting(1);
        assert!(!places.begins_a_shortage(), "it is the same one");
        drop(first);
        let second = second.await;
        assert!(second.is_some());
        waiting(0);
        tokio::time::advance(CALM).await;
        assert!(!places.begins_a_shortage(), "it is the same one");
        tokio::time::advance(CALM + Duration::from_secs(1)).await;
        assert!(places.begins_a_shortage());
    }
}
