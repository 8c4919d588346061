// SPDX-License-Identifier: Apache-2.0
//! Connections whose SYN the kernel holds: dialled before they are accepted, and answered as their destination does.
//!
//! Policy acts here as far as the dialled address decides it: a denied destination and one whose circuit breaker is
//! open are refused in `connect()` itself, a refused dial is retried while the SYN waits. What failed without ever
//! being accepted is said here; what is accepted finds its connection in the table.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep},
};

use super::context::{Context, Holds};
use crate::{
    kernel::{SynEvent, SynEvents, Ticket},
    net::{
        dial::Sockets,
        orig_dst::Origin,
        syn::{
            FlowKey, Syn,
            answer::Answer,
            dialling::{Answers, Holding, Verdicts, let_through_undialled},
            reset_after_allow,
            table::{HOLD_LIMIT, HoldError, Table},
        },
    },
    policy::route::ConnectMode,
    telemetry::labels::{ErrorType, HoldOutcome, RejectReason},
};
use attempts::Course;
use ended::outcome_of;

mod attempts;
mod ended;
mod prospect;

/// What is needed of a network namespace to dial and to answer in it.
pub struct Ground {
    /// Makes its sockets.
    pub sockets: Arc<dyn Sockets>,
    /// Sends packets in it.
    pub answers: Arc<dyn Answers>,
}

/// Serves the connections whose SYN is held.
pub struct Held {
    context: Arc<Context>,
    table: Arc<Table>,
    verdicts: Arc<dyn Verdicts>,
    grounds: HashMap<u64, Ground>,
}

impl Held {
    /// Dials and answers in the namespaces of `grounds`, by their cookies.
    pub fn new(context: Arc<Context>, holds: Holds, grounds: HashMap<u64, Ground>) -> Self {
        let Holds { table, verdicts } = holds;
        Self { context, table, verdicts, grounds }
    }

    /// Gives up, for ever, what has been held for so long that its end must have been missed.
    pub async fn keep_swept(&self) {
        let (mut seen, mut since) = (Vec::new(), Instant::now());
        loop {
            sleep(SWEEP).await;
            // Seldom: where the SYN that is sent again is lost, the program's own repetitions need the verdict still.
            if since.elapsed() >= HOLD_LIMIT {
                self.verdicts.sweep(&mut seen);
                since = Instant::now();
            }
            self.give_up_the_gone();
            let overdue = self.table.sweep(HOLD_LIMIT);
            if overdue > 0 {
                tracing::warn!(overdue, "held connections were given up whose end nobody told");
            }
        }
    }

    /// Gives up what its program has given up although nobody told: where very many connects are abandoned at once, their
    /// ends find no room in the ring.
    fn give_up_the_gone(&self) {
        for (key, ticket) in self.table.held_for(SWEEP) {
            if !self.verdicts.is_open(&key, ticket) {
                self.table.closed(&key, ticket.socket_cookie);
                self.verdicts.settled(ticket);
            }
        }
    }

    /// Takes the kernel's events, for ever. Dials in the runtime that this runs in.
    pub async fn serve(self: Arc<Self>, events: SynEvents) {
        let mut events = match events.into_stream() {
            Ok(events) => events,
            Err(error) => return tracing::error!(%error, "held connections cannot be read"),
        };
        loop {
            match events.next().await {
                Ok(event) => {
                    self.take(event);
                    // A storm of them must not keep this thread from all else: dials may be made in here.
                    consume_budget().await;
                }
                Err(error) => return tracing::error!(%error, "held connections can no longer be read"),
            }
        }
    }

    /// Takes one event of the kernel; what it begins goes on in the runtime that this is called in.
    ///
    /// A panic would be a defect of ours: it ends what is done for this one connection, and never the reader.
    fn take(self: &Arc<Self>, event: SynEvent) {
        match event {
            SynEvent::Held { key, origin, syn } => {
                let waiting = Waiting { key: FlowKey::from(&key), ticket: origin.ticket, syn };
                match contained(|| self.hold(&waiting, origin.into())) {
                    Some(None) => {}
                    Some(Some(served)) => drop(tokio::spawn(Arc::clone(self).go_on(waiting, served))),
                    None => self.let_in(&waiting),
                }
            }
            SynEvent::Closed { key, ticket, admitted } => {
                contained(|| {
                    let key = FlowKey::from(&key);
                    self.table.closed(&key, ticket.socket_cookie);
                    self.verdicts.settled(ticket);
                    if admitted {
                        self.forget_half_open(&key, ticket.isn);
                    }
                });
            }
            SynEvent::Stray { key, syn } => {
                contained(|| self.refuse_stray(key.netns_cookie, &syn));
            }
        }
    }

    /// Serves a held connection to its end.
    async fn go_on(self: Arc<Self>, waiting: Waiting, served: BoxFuture<'static, ()>) {
        if AssertUnwindSafe(served).catch_unwind().await.is_err() {
            self.let_in(&waiting);
        }
    }

    /// Lets a connection in whose serving has panicked: the flow that is accepted dials for itself, and the program is
    /// not left without an answer. One that had its answer meets a packet that it ignores.
    fn let_in(&self, waiting: &Waiting) {
        contained(|| {
            let (key, ticket) = (&waiting.key, waiting.ticket);
            if let Some(ground) = self.grounds.get(&key.netns_cookie())
                && let Ok(syn) = Syn::parse(&waiting.syn)
            {
                let_through_undialled(key, ticket, &syn, &*self.verdicts, &*ground.answers);
            }
        });
    }

    /// A listener is no service: who dials it itself is answered as by a closed port. It cannot meet a connection
    /// that has reused the port since, whose sequence numbers are others.
    fn refuse_stray(&self, netns_cookie: u64, syn: &[u8]) {
        if let Some(ground) = self.grounds.get(&netns_cookie)
            && let Ok(syn) = Syn::parse(syn)
            && let Err(error) = ground.answers.send(&syn.refuse())
        {
            tracing::debug!(%error, "a connection to a listener cannot be refused");
        }
    }

    /// The listener may keep a half-open connection of a client that is gone; a reused port must not meet it.
    fn forget_half_open(&self, key: &FlowKey, isn: u32) {
        if let Some(ground) = self.grounds.get(&key.netns_cookie())
            && let Some(packet) = reset_after_allow(key.client(), key.listener(), isn)
            && let Err(error) = ground.answers.send(&packet)
        {
            tracing::debug!(%error, "a half-open connection cannot be reset");
        }
    }

    /// Begins to serve a connection; what is left to do for it, if it is not over at once.
    fn hold(self: &Arc<Self>, waiting: &Waiting, origin: Origin) -> Option<BoxFuture<'static, ()>> {
        let (key, ticket) = (waiting.key, waiting.ticket);
        let ground = self.grounds.get(&key.netns_cookie())?;
        let syn = match Syn::parse(&waiting.syn) {
            Ok(syn) => syn,
            Err(error) => {
                // It cannot be sent again, but the program's own repetition can be let in.
                tracing::warn!(%error, "a held SYN cannot be read: its connection is let in undialled");
                let _ = self.verdicts.allow(&key, ticket);
                return None;
            }
        };
        if self.context.sentinel.knows(ticket.socket_cookie) {
            self.context.sentinel.note_held();
            self.context.learn_pid(&origin);
            let_through_undialled(&key, ticket, &syn, &*self.verdicts, &*ground.answers);
            return None;
        }
        let flow = Arc::new(self.context.flow_from(
            key.client(),
            key.listener(),
            origin,
            Arc::clone(&ground.sockets),
        ));
        let prospect = self.context.syn_prospect(&flow);
        if prospect.mode == ConnectMode::Eager {
            let report = let_through_undialled(&key, ticket, &syn, &*self.verdicts, &*ground.answers);
            self.say(&flow, &prospect.state, report, HoldOutcome::Passed, &Course::default());
            return None;
        }
        // Where all connections are open that its route allows, the destination is known to accept; whose turn it is, the
        // flow that is accepted waits to hear.
        let Some(places) = prospect.places() else {
            let report = let_through_undialled(&key, ticket, &syn, &*self.verdicts, &*ground.answers);
            self.say(&flow, &prospect.state, report, HoldOutcome::Passed, &Course::default());
            return None;
        };
        let mut promise = match self.table.hold(key, flow.original_dst, ticket.socket_cookie, Some(syn.isn()))
        {
            Ok(promise) => promise,
            Err(HoldError::Already) => return None,
            Err(HoldError::Full) => {
                let report = let_through_undialled(&key, ticket, &syn, &*self.verdicts, &*ground.answers);
                self.say(&flow, &prospect.state, report, HoldOutcome::Passed, &Course::default());
                return None;
            }
        };
        promise.take_places(places);
        let holding = Holding { key, dst: flow.original_dst, ticket, syn: Some(syn), promise };
        let (this, answers) = (Arc::clone(self), Arc::clone(&ground.answers));
        let mut served: BoxFuture<'static, ()> = Box::pin(async move {
            let course = Arc::<Course>::default();
            let report = if prospect.denied {
                let route = Arc::clone(&this.context.table.default_route.name);
                this.context.reject(route, RejectReason::Denied);
                course.reject(ErrorType::Denied);
                holding.answer(Answer::Refuse, &*answers).await
            } else {
                let attempts = this.attempts(Arc::clone(&flow), prospect.clone(), Arc::clone(&course));
                let report = holding.dial(attempts, &*this.verdicts, &*answers).await;
                if !prospect.state.is_closed() {
                    // A probe's dial does not close the breaker: the next connect asks it again.
                    flow.doubt(flow.original_dst);
                }
                report
            };
            let outcome = outcome_of(report.outcome);
            this.say(&flow, &prospect.state, report, outcome, &course);
        });
        // A near destination has mostly answered when connect() returns: what is over at once needs no task.
        match (&mut served).now_or_never() {
            Some(()) => None,
            None => Some(served),
        }
    }
}

/// A connection that waits for the answer to its SYN.
struct Waiting {
    key: FlowKey,
    ticket: Ticket,
    syn: Box<[u8]>,
}

/// What `work` returns, unless it panics, which is told where all panics are (`telemetry::panics`). What it may leave
/// half done is of one connection: what connections share is sound after each of its steps.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// How often the table is swept.
const SWEEP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
