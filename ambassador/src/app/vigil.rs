// SPDX-License-Identifier: Apache-2.0
//! Lets a worker's event loop look for what is ready instead of sleeping, where [`Vigil`] says so.
//!
//! The loop asks before it sleeps. Whoever wakes its task then makes it poll the kernel once and come back. Only reads
//! of HTTP/1 count: they alone come one for one. One loop per thread, which is a worker's.

use std::{cell::RefCell, future::poll_fn, pin::pin, task::Waker};

use crate::{
    clock,
    http1::wire,
    policy::vigil::{Next, Vigil},
};

thread_local! {
    static VIGIL: RefCell<Vigil> = RefCell::default();
    static TASK: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Runs `task`, which is what the loop runs for.
pub(super) async fn keep(task: impl Future<Output = ()>) {
    let mut task = pin!(task);
    poll_fn(|cx| {
        TASK.with_borrow_mut(|waker| match waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        });
        task.as_mut().poll(cx)
    })
    .await;
    TASK.take();
}

/// The loop of the calling thread has nothing to do.
pub(super) fn before_sleep() {
    let next = VIGIL.with_borrow_mut(|vigil| vigil.idle(clock::now(), wire::reads()));
    if next == Next::Look {
        TASK.with_borrow(|task| {
            if let Some(task) = task {
                task.wake_by_ref();
            }
        });
    }
}

/// It has looked or slept.
pub(super) fn after_sleep() {
    VIGIL.with_borrow_mut(|vigil| vigil.back(clock::now()));
}
