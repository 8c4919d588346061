// SPDX-License-Identifier: Apache-2.0
//! Keeps events instead of showing them, so that a test of the data path can ask what was said.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::telemetry::event::{
    AttemptFinished, BreakerTransition, Event, FlowFinished, HostMismatch, RequestFinished,
};

/// What a recording [`crate::telemetry::Telemetry`] has been told.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Event<'static>>>>);

impl Recorder {
    /// Takes the events recorded until now, oldest first.
    pub fn take(&self) -> Vec<Event<'static>> {
        std::mem::take(&mut *self.events())
    }

    pub(crate) fn push(&self, event: &Event<'_>) {
        self.events().push(into_owned(event.clone()));
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event<'static>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same event without borrowed text, to be kept.
fn into_owned(event: Event<'_>) -> Event<'static> {
    fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
        Cow::Owned(text.into_owned())
    }
    match event {
        Event::RequestFinished(fact) => Event::RequestFinished(RequestFinished {
            route: owned(fact.route),
            method: owned(fact.method),
            host: owned(fact.host),
            path: owned(fact.path),
            ..fact
        }),
        Event::FlowFinished(fact) => {
            Event::FlowFinished(FlowFinished { sni: fact.sni.map(owned), alpn: fact.alpn.map(owned), ..fact })
        }
        Event::BreakerTransition(fact) => {
            Event::BreakerTransition(BreakerTransition { host: fact.host.map(owned), ..fact })
        }
        Event::HostMismatch(fact) => Event::HostMismatch(HostMismatch { host: owned(fact.host), ..fact }),
        Event::AttemptFinished(fact) => {
            Event::AttemptFinished(AttemptFinished { route: owned(fact.route), ..fact })
        }
        Event::ConnectFinished(fact) => Event::ConnectFinished(fact),
        Event::BreakerCreated(fact) => Event::BreakerCreated(fact),
        Event::Rejected(fact) => Event::Rejected(fact),
        Event::ConnectHeld(fact) => Event::ConnectHeld(fact),
        Event::ConnectLied(fact) => Event::ConnectLied(fact),
        Event::SelfTested(fact) => Event::SelfTested(fact),
        Event::Retried(fact) => Event::Retried(fact),
        Event::RetryGivenUp(fact) => Event::RetryGivenUp(fact),
        Event::MissingDestination(fact) => Event::MissingDestination(fact),
    }
}
