// SPDX-License-Identifier: Apache-2.0
//! Tasks of a worker that outlive the flow which made them: HTTP/2 connections that say their last, and the rest of
//! uploads whose reply is complete.
//!
//! They exist because what was said last must still arrive when nobody waits for it. Each is bounded by its own end or
//! limit; here they have an owner, so that the end of the worker waits for them and does not cut them off.

use std::future::Future;

use tokio_util::task::TaskTracker;

thread_local! {
    static TASKS: TaskTracker = TaskTracker::new();
}

/// Runs `task` on this worker.
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    TASKS.with(|tasks| drop(tasks.spawn(task)));
}

/// Waits for all tasks of this worker; there are to be no new flows any more.
pub(crate) async fn ended() {
    let tasks = TASKS.with(TaskTracker::clone);
    tasks.close();
    tasks.wait().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tokio::time::{Duration, timeout};

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_every_task() {
        let (tell, told) = oneshot::channel::<()>();
        spawn(async {
            let _ = told.await;
        });
        assert!(timeout(Duration::from_secs(1), ended()).await.is_err(), "one is not done");
        drop(tell);
        ended().await;
    }
}
