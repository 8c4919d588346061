// SPDX-License-Identifier: Apache-2.0
//! A worker that cannot serve.

use std::{
    fs::File,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Mutex,
};

use super::*;
use crate::{
    kernel::KernelError,
    net::{
        dial::{Dialer, LocalSockets},
        orig_dst::{OrigDstSource, Origin},
    },
    policy::route::RouteTable,
    telemetry::{
        Telemetry,
        readiness::{Phase, Readiness},
    },
};

/// Knows of no connection.
struct Nowhere;

impl OrigDstSource for Nowhere {
    fn origin(&self, _: BorrowedFd<'_>) -> io::Result<Option<Origin>> {
        Ok(None)
    }
}

/// What the kernel was told, in order.
type Told = Arc<Mutex<Vec<u64>>>;

/// A worker with these listeners, and the notes of one more, which is alive.
fn worker(listeners: Vec<TcpListener>) -> (Worker, Told, Arc<Readiness>, watch::Sender<bool>) {
    let told = Told::default();
    let notes = Arc::clone(&told);
    let tell_kernel = Box::new(move |ns| {
        notes.lock().expect("no panic").push(ns);
        Ok::<_, KernelError>(())
    });
    let readiness = Arc::new(Readiness::new());
    readiness.set(Phase::Ready);
    let heartbeat = Arc::new(Heartbeat::new(2, tell_kernel, Arc::clone(&readiness)));
    let context =
        Context::new(RouteTable::default(), Arc::new(Nowhere), Dialer::unmarked(), None, Telemetry::silent());
    let (end, stop) = watch::channel(false);
    let landing = |listener| Landing { listener, sockets: Arc::new(LocalSockets) as _ };
    let worker = Worker {
        index: 0,
        landings: listeners.into_iter().map(landing).collect(),
        holding: None,
        context: Arc::new(context),
        heartbeat: Arc::clone(&heartbeat),
        places: Arc::new(Places::new(1, Telemetry::silent())),
        kept: 0,
        stop,
    };
    (worker, told, readiness, end)
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_lost_a_listener_lets_the_heartbeat_end_for_good() {
    let file = OwnedFd::from(File::open("/dev/null").expect("it is there"));
    let (worker, told, readiness, end) = worker(vec![file.into()]);
    let heartbeat = Arc::clone(&worker.heartbeat);
    let serving = tokio::spawn(worker.serve());
    let other = tokio::spawn(heartbeat.beat(1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told_then = told.lock().expect("no panic").clone();
    let ended = told_then.iter().position(|ns| *ns == 0).expect("the kernel is told at once");
    assert!(told_then.len() > ended + 5, "the other worker goes on: {told_then:?}");
    assert!(told_then[ended..].iter().all(|ns| *ns == 0), "nobody is alive again: {told_then:?}");
    assert_eq!(readiness.phase(), Phase::Detached);
    assert!(!serving.is_finished(), "what is open is served on");
    end.send(true).expect("it waits");
    serving.await.expect("no panic");
    other.abort();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_serves_beats() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("non-blocking");
    let (worker, told, readiness, end) = worker(vec![listener]);
    let serving = tokio::spawn(worker.serve());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = told.lock().expect("no panic").clone();
    assert!(told.len() > 5 && !told.contains(&0), "{told:?}");
    assert_eq!(readiness.phase(), Phase::Ready);
    end.send(true).expect("it waits");
    serving.await.expect("no panic");
}
