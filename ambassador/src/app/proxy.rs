// SPDX-License-Identifier: Apache-2.0
//! [`Proxy`]: the threads that serve what the kernel programs redirect.

use std::{io, sync::Arc, thread::JoinHandle};

use tokio::sync::watch;

use super::{
    heartbeat::Heartbeat,
    interception::Interception,
    open_files::OpenFiles,
    places::Places,
    run::AppError,
    worker::{Holding, Landing, Worker},
};
use crate::{
    net::{
        dial::Dialer,
        syn::{table::Table, verdicts::KernelVerdicts},
    },
    policy::route::RouteTable,
    proxy::{
        context::{Context, Holds},
        held::Held,
        sentinel::Sentinel,
    },
    telemetry::{Telemetry, readiness::Readiness},
    upstream::endpoints::Endpoints,
};

/// The workers. They run until [`Proxy::stop`].
pub(super) struct Proxy {
    /// The addresses of configured names.
    pub(super) endpoints: Arc<Endpoints>,
    /// Serves the connections that are held; `None` where none are.
    pub(super) held: Option<Arc<Held>>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Proxy {
    /// Starts the threads, which inherit the privileges that the caller has left. A thread that cannot serve any more
    /// is told to `readiness`; `open_files` is the limit that bounds their connections.
    pub(super) fn start(
        interception: &mut Interception,
        table: RouteTable,
        sentinel: Arc<Sentinel>,
        telemetry: Telemetry,
        readiness: Arc<Readiness>,
        open_files: u64,
    ) -> Result<Self, AppError> {
        let workers = interception.per_worker.len();
        let listeners: u64 = interception.per_worker.iter().map(|landings| landings.len() as u64).sum();
        let files = OpenFiles::divide(open_files, listeners, workers);
        let maps = Arc::clone(&interception.maps);
        let holds = (!interception.grounds.is_empty()).then(|| Holds {
            table: Arc::new(Table::new(files.held)),
            verdicts: Arc::new(KernelVerdicts::new(Arc::clone(&maps))),
        });
        let dialer = Dialer::new(Arc::clone(&maps) as _, Arc::clone(&maps) as _);
        let context = Context::new(table, Arc::clone(&maps) as _, dialer, holds.clone(), telemetry);
        let context = Arc::new(context.answering(sentinel));
        let endpoints = Arc::clone(&context.endpoints);
        let tell_kernel = Box::new(move |ns| maps.beat_at(ns));
        let heartbeat = Arc::new(Heartbeat::new(workers, tell_kernel, readiness));
        let (stop, stopped) = watch::channel(false);
        let grounds = std::mem::take(&mut interception.grounds);
        let held = holds.map(|holds| Arc::new(Held::new(Arc::clone(&context), holds, grounds)));
        let threads = start_workers(interception, &context, held.as_ref(), &heartbeat, &stopped, files)?;
        Ok(Self { endpoints, held, threads, stop })
    }

    /// Ends the threads, when what is open has drained. The connect hooks must be gone by then.
    pub(super) fn stop(self) {
        let _ = self.stop.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
    }
}

fn start_workers(
    interception: &mut Interception,
    context: &Arc<Context>,
    held: Option<&Arc<Held>>,
    heartbeat: &Arc<Heartbeat>,
    stop: &watch::Receiver<bool>,
    files: OpenFiles,
) -> Result<Vec<JoinHandle<()>>, AppError> {
    let mut events = interception.take_events().into_iter();
    let landings = std::mem::take(&mut interception.per_worker);
    let places = Arc::new(Places::new(files.flows, context.telemetry.clone()));
    let start = |(index, landings): (usize, Vec<_>)| {
        let holding =
            held.zip(events.next()).map(|(held, events)| Holding { events, held: Arc::clone(held) });
        let landings =
            landings.into_iter().map(|(listener, sockets)| Landing { listener, sockets }).collect();
        let (context, heartbeat) = (Arc::clone(context), Arc::clone(heartbeat));
        let (places, stop) = (Arc::clone(&places), stop.clone());
        let kept = files.kept_per_worker;
        Worker { index, landings, holding, context, heartbeat, places, kept, stop }.start()
    };
    landings.into_iter().enumerate().map(start).collect::<io::Result<_>>().map_err(AppError::Process)
}
