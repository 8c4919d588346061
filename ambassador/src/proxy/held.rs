// SPDX-License-Identifier: Apache-2.0
//! Connections whose SYN the kernel holds: dialled before they are accepted, and answered as their destination does.
//!
//! Policy acts here as far as the dialled address decides it: a denied destination and one whose circuit breaker is
//! open are refused in `connect()` itself, a refused dial is retried while the SYN waits. What failed without ever
//! being accepted is said here; what is accepted finds its connection in the table.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep},
};

use super::context::{Context, Holds};
use crate::{
    kernel::{SynEvent, SynEvents},
    message::flow::Flow,
    net::{
        dial::Sockets,
        orig_dst::Origin,
        syn::{
            FlowKey, Syn,
            answer::Answer,
            dialling::{Answers, Holding, Outcome, Report, Verdicts, let_through_undialled},
            reset_after_allow,
            table::{HOLD_LIMIT, HoldError, Table},
        },
    },
    policy::{matcher::Protocol, route::ConnectMode},
    telemetry::{
        event::{ConnectFinished, ConnectHeld, FlowFinished},
        labels::{ErrorType, HoldOutcome, RejectReason},
    },
    upstream::state::RouteState,
};
use attempts::Course;

mod attempts;
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
    pub async fn keep_swept(self: Arc<Self>) {
        let (mut seen, mut since) = (Vec::new(), Instant::now());
        loop {
            sleep(SWEEP).await;
            // Seldom: where the SYN that is sent again is lost, the program's own repetitions need the verdict still.
            if since.elapsed() >= HOLD_LIMIT {
                self.verdicts.sweep(&mut seen);
                since = Instant::now();
            }
            let overdue = self.table.sweep(HOLD_LIMIT);
            if overdue > 0 {
                tracing::warn!(overdue, "held connections were given up whose end nobody told");
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
                    self.on_event(event);
                    // A storm of them must not keep this thread from all else: dials may be made in here.
                    consume_budget().await;
                }
                Err(error) => return tracing::error!(%error, "held connections can no longer be read"),
            }
        }
    }

    /// Takes one event of the kernel. Needs the runtime that is to dial.
    fn on_event(self: &Arc<Self>, event: SynEvent) {
        match event {
            SynEvent::Held { key, origin, syn } => {
                let socket_cookie = origin.socket_cookie;
                self.hold(FlowKey::from(&key), origin.into(), socket_cookie, &syn);
            }
            SynEvent::Closed { key, socket_cookie, isn, admitted } => {
                let key = FlowKey::from(&key);
                self.table.closed(&key, socket_cookie);
                self.verdicts.settled(socket_cookie);
                if admitted {
                    self.forget_half_open(&key, isn);
                }
            }
            SynEvent::Stray { key, syn } => self.refuse_stray(key.netns_cookie, &syn),
        }
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

    fn hold(self: &Arc<Self>, key: FlowKey, origin: Origin, socket_cookie: u64, syn: &[u8]) {
        let Some(ground) = self.grounds.get(&key.netns_cookie()) else { return };
        let syn = match Syn::parse(syn) {
            Ok(syn) => syn,
            Err(error) => {
                // It cannot be sent again, but the program's own repetition can be let in.
                tracing::warn!(%error, "a held SYN cannot be read: its connection is let in undialled");
                let _ = self.verdicts.allow(&key, socket_cookie);
                return;
            }
        };
        if self.context.sentinel.knows(socket_cookie) {
            self.context.sentinel.note_held();
            self.context.learn_pid(&origin);
            let_through_undialled(&key, socket_cookie, &syn, &*self.verdicts, &*ground.answers);
            return;
        }
        let flow = Arc::new(self.context.flow_from(
            key.client(),
            key.listener(),
            origin,
            Arc::clone(&ground.sockets),
        ));
        let prospect = self.context.syn_prospect(&flow);
        if prospect.mode == ConnectMode::Eager {
            let report = let_through_undialled(&key, socket_cookie, &syn, &*self.verdicts, &*ground.answers);
            return self.say(&flow, &prospect.state, report, HoldOutcome::Passed, &Course::default());
        }
        let promise = match self.table.hold(key, flow.original_dst, socket_cookie, Some(syn.isn())) {
            Ok(promise) => promise,
            Err(HoldError::Already) => return,
            Err(HoldError::Full) => {
                let report =
                    let_through_undialled(&key, socket_cookie, &syn, &*self.verdicts, &*ground.answers);
                return self.say(&flow, &prospect.state, report, HoldOutcome::Passed, &Course::default());
            }
        };
        let holding = Holding { key, dst: flow.original_dst, socket_cookie, syn: Some(syn), promise };
        let (this, answers) = (Arc::clone(self), Arc::clone(&ground.answers));
        let mut served = Box::pin(async move {
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
        if (&mut served).now_or_never().is_none() {
            tokio::spawn(served);
        }
    }

    /// Says how it ended; a connection that no flow will speak of has its line here.
    fn say(&self, flow: &Flow, state: &RouteState, report: Report, outcome: HoldOutcome, course: &Course) {
        let destination = state.destination(flow.original_dst);
        let telemetry = &self.context.telemetry;
        telemetry.emit(&ConnectHeld { destination: destination.clone(), outcome, held: report.held }.into());
        let error = match report.outcome {
            Outcome::Answered(Answer::Refuse) => course.rejected().unwrap_or(ErrorType::ConnectRefused),
            Outcome::Answered(_) => ErrorType::ConnectUnreachable,
            Outcome::Abandoned => course.abandoned(),
            _ => return,
        };
        if error == ErrorType::ConnectUnanswered {
            let (destination, error) = (destination.clone(), Some(error));
            telemetry.emit(&ConnectFinished { destination, duration: report.held, error }.into());
        }
        telemetry.emit(
            &FlowFinished {
                route: Arc::clone(&state.route.name),
                destination,
                protocol: Protocol::Opaque.into(),
                sni: None,
                alpn: None,
                error: Some(error),
                duration: report.held,
                attempts: course.attempts(),
                rescued: false,
                given_up: course.given_up(),
                shadow: course.shadow.all(),
                bytes_sent: 0,
                bytes_received: 0,
                caller: (&flow.app).into(),
            }
            .into(),
        );
    }
}

fn outcome_of(outcome: Outcome) -> HoldOutcome {
    match outcome {
        Outcome::Allowed | Outcome::Lied(_) => HoldOutcome::Allowed,
        Outcome::NotAllowed => HoldOutcome::Failed,
        Outcome::Answered(Answer::Refuse) => HoldOutcome::Refused,
        Outcome::Answered(_) => HoldOutcome::Unreachable,
        Outcome::Silent(_) => HoldOutcome::Silent,
        Outcome::Abandoned => HoldOutcome::Abandoned,
    }
}

/// How often the table is swept.
const SWEEP: Duration = Duration::from_secs(5);
