// SPDX-License-Identifier: Apache-2.0
//! A flow that stops being HTTP/1 and is relayed as it is: after an upgrade, or where it cannot be read any further.
//!
//! What was read and not passed on comes first, so that no byte is lost or goes out twice. It must be the only holder of
//! the program's end: whoever else had it would write between the bytes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::net::TcpStream;

use super::{inbound::Inbound, pipeline::Pipeline, server::FlowEnd};
use crate::{
    http1::peer::Peer,
    message::{
        Stack, Upgrade,
        body::{Body, BodyErrorKind},
        flow::Flow,
    },
    net::copy::{RelayEnd, Watch as _, relay, relay_watched},
    upstream::pool::{self, Spare},
};

/// A flow whose next bytes are not HTTP/1 as it can be read without a guess: to be relayed as it is.
pub struct Unread {
    /// The program's end.
    pub client: TcpStream,
    /// What it has sent and nobody has got.
    pub from_client: BytesMut,
    /// Where its own connection, or the one that was dialled in advance, leads, and that connection.
    pub upstream: Option<(SocketAddr, Spare)>,
}

impl Unread {
    /// The rest of `flow` between two requests, with the connection that the next one would have used.
    pub(super) fn rest_of(flow: &Flow, peer: Arc<Peer>, mut inbound: Inbound) -> Option<Self> {
        let from_client = inbound.take_ahead();
        drop(inbound);
        let upstream = pool::take_for_relay(flow);
        // Between two requests nobody else holds the program's end.
        let client = Arc::into_inner(peer)?.stream;
        Some(Self { client, from_client, upstream })
    }
}

/// A connection that is relayed as it is from here on, and the body at whose end that is told.
pub(super) struct Relayed {
    pub(super) upgrade: Box<Upgrade>,
    pub(super) body: Body,
    pub(super) idle: Option<Duration>,
}

impl Relayed {
    /// Relays both ways until both have ended.
    pub(super) async fn run(
        self,
        peer: Arc<Peer>,
        mut inbound: Inbound,
        flow: Arc<Flow>,
        stack: Stack,
    ) -> FlowEnd {
        let Self { mut upgrade, body, idle } = self;
        let ahead = inbound.take_ahead();
        drop(inbound);
        // Whoever else still holds the program's end would only write interim replies, of which there are no more.
        let Some(peer) = Arc::into_inner(peer) else { return FlowEnd::Cut };
        let program = Arc::clone(&flow.program);
        let unwritten = upgrade.unwritten.len() as u64;
        let mut received = BytesMut::from(&upgrade.unwritten[..]);
        received.extend_from_slice(&upgrade.received);
        let unsent = upgrade.unsent.len() as u64;
        let pipelined = upgrade.pipelined.take();
        let mut sent = BytesMut::from(&upgrade.unsent[..]);
        if let Some(pipelined) = pipelined {
            let mut pipeline = Pipeline::new(pipelined, body, flow, stack);
            pipeline.client_sent(&ahead);
            pipeline.upstream_sent(&upgrade.received);
            sent.unsplit(ahead);
            let (client, upstream) = (peer.stream, upgrade.upstream);
            let relayed = relay_watched(
                client,
                upstream,
                sent.freeze(),
                received.freeze(),
                idle,
                &program,
                &mut pipeline,
            )
            .await;
            pipeline.end(relayed.end);
            drop(upgrade.places);
            return FlowEnd::Upgraded;
        }
        sent.unsplit(ahead);
        let relayed =
            relay(peer.stream, upgrade.upstream, sent.freeze(), received.freeze(), idle, &program).await;
        let clean = match relayed.end {
            RelayEnd::Closed | RelayEnd::ClientLeft => Ok(()),
            RelayEnd::ClientReset => Err(BodyErrorKind::Abandoned),
            RelayEnd::UpstreamReset => Err(BodyErrorKind::Reset),
            RelayEnd::Idle => Err(BodyErrorKind::Idle),
        };
        // What was unsent or unwritten has been counted before.
        body.end_relayed(
            relayed.sent.saturating_sub(unsent),
            relayed.received.saturating_sub(unwritten),
            clean,
        );
        drop(upgrade.places);
        FlowEnd::Upgraded
    }
}
