// SPDX-License-Identifier: Apache-2.0
//! [`FlowLine`]: what is said of a flow that is relayed as bytes, once, however it ends.
//!
//! It exists because a flow may be dropped in the middle, when ambassador ends before its server does: that it was there
//! must be told all the same, with what it has carried.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    net::{
        copy::{RelayEnd, Relayed, Watch},
        presence::Presence,
    },
    telemetry::{Telemetry, event::FlowFinished, labels::ErrorType},
};

/// Tells of its flow when it is dropped.
pub(super) struct FlowLine {
    /// What is known so far.
    pub(super) finished: FlowFinished<'static>,
    arrived: Instant,
    program: Arc<Presence>,
    telemetry: Telemetry,
    is_over: bool,
}

impl FlowLine {
    /// Of a flow of `program` that was accepted when it `arrived`.
    pub(super) fn new(
        finished: FlowFinished<'static>,
        arrived: Instant,
        program: Arc<Presence>,
        telemetry: Telemetry,
    ) -> Self {
        Self { finished, arrived, program, telemetry, is_over: false }
    }

    /// The flow has ended with `error`, or in order.
    pub(super) fn end(mut self, error: Option<ErrorType>) {
        self.finished.error = error;
        self.is_over = true;
    }

    /// The flow was carried so far.
    pub(super) fn relayed(mut self, relayed: Relayed) {
        (self.finished.bytes_sent, self.finished.bytes_received) = (relayed.sent, relayed.received);
        let error = match relayed.end {
            RelayEnd::Closed => None,
            RelayEnd::ClientLeft => self.left(),
            RelayEnd::ClientReset => Some(ErrorType::ClientGone),
            RelayEnd::UpstreamReset => Some(ErrorType::Reset),
            RelayEnd::Idle => Some(ErrorType::TimeoutIdle),
        };
        self.end(error);
    }

    /// A program that closes first ends its flow in order, unless its server has not said anything.
    fn left(&self) -> Option<ErrorType> {
        let is_in_order = self.program.is_half_closed() && self.finished.bytes_received > 0;
        (!is_in_order).then_some(ErrorType::ClientGone)
    }
}

impl Watch for FlowLine {
    fn client_sent(&mut self, bytes: &[u8]) {
        self.finished.bytes_sent += bytes.len() as u64;
    }

    fn upstream_sent(&mut self, bytes: &[u8]) {
        self.finished.bytes_received += bytes.len() as u64;
    }
}

impl Drop for FlowLine {
    fn drop(&mut self) {
        if !self.is_over {
            self.finished.error = self.left();
        }
        self.finished.duration = self.arrived.elapsed();
        self.telemetry.emit(&self.finished.clone().into());
    }
}
