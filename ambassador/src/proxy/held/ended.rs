// SPDX-License-Identifier: Apache-2.0
//! What is said of a held connection when it has ended.

use std::sync::Arc;

use super::{Held, attempts::Course};
use crate::{
    message::flow::Flow,
    net::syn::{
        answer::Answer,
        dialling::{Outcome, Report},
    },
    policy::matcher::Protocol,
    telemetry::{
        event::{ConnectFinished, ConnectHeld, FlowFinished},
        labels::{ErrorType, HoldOutcome},
    },
    upstream::state::RouteState,
};

impl Held {
    /// Says how it ended; a connection that no flow will speak of has its line here.
    pub(super) fn say(
        &self,
        flow: &Flow,
        state: &RouteState,
        report: Report,
        outcome: HoldOutcome,
        course: &Course,
    ) {
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

/// How a report is counted.
pub(super) fn outcome_of(outcome: Outcome) -> HoldOutcome {
    match outcome {
        Outcome::Allowed | Outcome::Lied(_) => HoldOutcome::Allowed,
        Outcome::NotAllowed => HoldOutcome::Failed,
        Outcome::Answered(Answer::Refuse) => HoldOutcome::Refused,
        Outcome::Answered(_) => HoldOutcome::Unreachable,
        Outcome::Silent(_) => HoldOutcome::Silent,
        Outcome::Abandoned => HoldOutcome::Abandoned,
    }
}
