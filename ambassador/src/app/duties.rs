// SPDX-License-Identifier: Apache-2.0
//! [`Duties`]: what must go on for as long as its thread serves.
//!
//! A task that ends, by a panic or a return, ends in silence: whoever needs it would wait for ever, behind a proxy that
//! calls itself alive. So the end of a duty is told to whoever began it, who says what becomes of the rest.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// The duties of a thread. Dropping them ends them.
#[derive(Default)]
pub(super) struct Duties(JoinSet<&'static str>);

impl Duties {
    /// Begins one, which is not meant to end.
    pub(super) fn begin(
        &mut self,
        name: &'static str,
        duty: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        self.0.spawn(async move {
            // Nobody but the duty itself sees what it leaves half done.
            let _ = AssertUnwindSafe(duty).catch_unwind().await;
            name
        })
    }

    /// Waits until one has ended of itself: its name. For ever, if none does.
    pub(super) async fn lost(&mut self) -> &'static str {
        loop {
            match self.0.join_next().await {
                Some(Ok(name)) => return name,
                // It was aborted.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Ends them, and waits until they have.
    pub(super) async fn end(mut self) {
        self.0.shutdown().await;
    }
}

/// Does `work` once more after a pause, each time that it panics; until it returns.
pub(super) async fn persist(name: &'static str, mut work: impl AsyncFnMut()) {
    while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        tracing::error!("{name}: begins anew after a panic");
        sleep(PAUSE).await;
    }
}

/// So that what panics each time takes neither the processor nor the log.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_duty_that_panics_or_returns_is_told_by_name() {
        let mut duties = Duties::default();
        duties.begin("goes on", pending());
        duties.begin("is ended", pending()).abort();
        assert!(timeout(PAUSE, duties.lost()).await.is_err(), "none has ended of itself");
        duties.begin("panics", async { panic!("as it should") });
        assert_eq!(duties.lost().await, "panics");
        duties.begin("returns", ready(()));
        assert_eq!(duties.lost().await, "returns");
        duties.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_begun_anew_after_a_pause_and_what_returns_is_not() {
        let (started, mut times) = (Instant::now(), 0);
        persist("a test", async || {
            times += 1;
            assert!(times == 3, "as it should");
        })
        .await;
        assert_eq!((times, started.elapsed()), (3, 2 * PAUSE));
    }
}
