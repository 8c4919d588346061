// SPDX-License-Identifier: Apache-2.0
//! The dials of one held connection, as policy has them.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::time::{Instant, sleep};

use super::{
    Held,
    prospect::{Certainty, SynProspect},
};
use crate::{
    clock,
    message::{facts, flow::Flow},
    net::{
        dial::{DialError, DialFailure},
        syn::answer::Answer,
    },
    policy::{
        bulkhead::Permit,
        classify::AttemptOutcome,
        deadline::Deadline,
        pushback::Pushback,
        retry::{Attempt, GiveUp, RequestFacts, RetryDecision, Shared, decide},
    },
    telemetry::{
        event::{ConnectFinished, Retried, RetryGivenUp},
        labels::{ErrorType, GivenUpReason, RejectReason, RetryOutcome, ShadowDecision},
        shadow::SharedShadow,
    },
    upstream::{admission::Asker, state::RouteState},
};

/// What has become of the dials of one held connection so far.
#[derive(Default)]
pub(super) struct Course {
    attempts: AtomicU32,
    rejected: OnceLock<ErrorType>,
    given_up: OnceLock<GivenUpReason>,
    answered: AtomicBool,
    /// Among `connectionPool.maxRetries`, once it has needed one.
    places: OnceLock<Vec<Permit>>,
    /// What mode shadow did not do.
    pub(super) shadow: SharedShadow,
}

impl Course {
    /// Dials that were made.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Why the last one was refused here, if it was.
    pub(super) fn rejected(&self) -> Option<ErrorType> {
        self.rejected.get().copied()
    }

    /// Why there was no further dial that its route asks for.
    pub(super) fn given_up(&self) -> Option<GivenUpReason> {
        self.given_up.get().copied()
    }

    /// Why it failed, if the program gave it up now.
    pub(super) fn abandoned(&self) -> ErrorType {
        if self.answered.load(Ordering::Relaxed) {
            ErrorType::ClientGone
        } else {
            ErrorType::ConnectUnanswered
        }
    }

    /// It has, or now takes, a place for its further dials.
    fn has_place(&self, state: &RouteState) -> bool {
        if self.places.get().is_none()
            && let Some(places) = state.retry_places()
        {
            // Nobody else sets it: its dials come one after the other.
            let _ = self.places.set(places);
        }
        self.places.get().is_some()
    }

    /// There is no further dial, though its route asks for one.
    fn give_up(&self, why: GivenUpReason) {
        // It is given up once.
        let _ = self.given_up.set(why);
    }

    /// It is refused here.
    pub(super) fn reject(&self, why: ErrorType) {
        // Whoever was first stays: there is no dial after it.
        let _ = self.rejected.set(why);
    }
}

impl Held {
    /// The dials of one held connection, each with its result, until policy has had enough. Silence and failures of
    /// this machine say nothing about the destination: they are tried again for as long as the program waits.
    pub(super) fn attempts(
        self: &Arc<Self>,
        flow: Arc<Flow>,
        prospect: SynProspect,
        course: Arc<Course>,
    ) -> impl Stream<Item = Result<TcpStream, DialError>> + use<> {
        let this = Arc::clone(self);
        stream::unfold(Some(1), move |number: Option<u32>| {
            let (this, flow, prospect) = (Arc::clone(&this), Arc::clone(&flow), prospect.clone());
            let course = Arc::clone(&course);
            async move {
                let number = number?;
                let result = this.dial(&flow, &prospect, &course).await;
                let next = match &result {
                    Ok(_) => None,
                    Err(error) => this.next_attempt(error, &prospect.state, &course, number).await,
                };
                Some((result, next))
            }
        })
    }

    async fn dial(
        &self,
        flow: &Flow,
        prospect: &SynProspect,
        course: &Course,
    ) -> Result<TcpStream, DialError> {
        let (dst, telemetry, state) = (flow.original_dst, &self.context.telemetry, &prospect.state);
        let asker = Asker { flow, head: None };
        let permits = match (state.admit(clock::now(), dst, asker), prospect.certainty) {
            (Ok(permits), _) => Some(permits),
            (Err(_), Certainty::Likely) => None,
            (Err(_), Certainty::Decided) => {
                self.context.reject(Arc::clone(&state.route.name), RejectReason::CircuitOpen);
                course.reject(ErrorType::CircuitOpen);
                return Err(refusal(dst));
            }
        };
        course.attempts.fetch_add(1, Ordering::Relaxed);
        let acts = state.route.mode.acts() && !state.route.transparent;
        let limit = if acts { state.route.timeouts.connect } else { UNLIMITED };
        let started = Instant::now();
        let result = flow.dialer.dial_or_tell(&*flow.sockets, &flow.source, dst, limit).await;
        let duration = started.elapsed();
        if let Err(error) = &result {
            if matches!(error.failure, DialFailure::Refused | DialFailure::Unreachable) {
                course.answered.store(true, Ordering::Relaxed);
            }
            // A success is told by the flow that uses the connection: it is one call, not two.
            if let Some(permits) = permits {
                if permits.were_refused() && prospect.certainty == Certainty::Decided {
                    course.shadow.add(ShadowDecision::CircuitOpen);
                    state.would_reject(RejectReason::CircuitOpen);
                }
                state.sample(permits, dial_outcome(error), (clock::now(), duration), dst, asker);
            }
            let error = Some(error.into());
            telemetry.emit(&ConnectFinished { destination: state.destination(dst), duration, error }.into());
        }
        result
    }

    /// Waits for the time of the next attempt, and tells its number; `None` if there is to be none.
    async fn next_attempt(
        &self,
        error: &DialError,
        state: &RouteState,
        course: &Course,
        number: u32,
    ) -> Option<u32> {
        if Answer::from(error) == Answer::Silence {
            sleep(LOCAL_PAUSE).await;
            // What waited in vain has been tried: a refusal that comes after it is not asked for all over again.
            return Some(number + u32::from(error.failure == DialFailure::TimedOut));
        }
        if !state.route.mode.decides() {
            return None;
        }
        let attempt =
            Attempt { number, outcome: dial_outcome(error), pushback: Pushback::None, stale_retried: false };
        let shared = Shared { budget: state.budget(), breakers: &state.breakers };
        let (policy, rng) = (&state.route.retry, &mut fastrand::Rng::new());
        match decide(policy, &RequestFacts::DIAL, &attempt, shared, clock::now(), Deadline::NONE, rng) {
            RetryDecision::Retry { .. } if !state.route.mode.acts() => {
                course.shadow.add(ShadowDecision::Retry);
                let (route, outcome) = (Arc::clone(&state.route.name), RetryOutcome::Shadow);
                self.context.telemetry.emit(&Retried { route, outcome }.into());
                None
            }
            RetryDecision::Retry { after, .. } => {
                if course.has_place(state) {
                    sleep(after).await;
                    return Some(number + 1);
                }
                self.give_up(GiveUp::TooManyRetries, state, course);
                None
            }
            RetryDecision::GiveUp(reason) => {
                self.give_up(reason, state, course);
                None
            }
        }
    }

    fn give_up(&self, reason: GiveUp, state: &RouteState, course: &Course) {
        if let Some(reason) = facts::given_up_reason_of(reason) {
            let route = Arc::clone(&state.route.name);
            self.context.telemetry.emit(&RetryGivenUp { route, reason }.into());
            course.give_up(reason);
        }
    }
}

fn dial_outcome(error: &DialError) -> AttemptOutcome {
    facts::dial_outcome(error.failure)
}

/// What an open circuit breaker makes of a dial.
fn refusal(dst: SocketAddr) -> DialError {
    let source = io::Error::from_raw_os_error(libc::ECONNREFUSED);
    DialError { dst, failure: DialFailure::Refused, source }
}

/// The program's own timers end a dial that nothing else does; Linux gives up after some two minutes by default.
const UNLIMITED: Duration = Duration::from_hours(1);

/// Between attempts that say nothing about the destination.
const LOCAL_PAUSE: Duration = Duration::from_millis(100);
