// SPDX-License-Identifier: Apache-2.0
//! What all connections of all workers share, and how one of them becomes a flow.

use std::{
    net::SocketAddr,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpStream;

use super::{sentinel::Sentinel, stack};
use crate::{
    message::{
        Stack,
        ahead::Ahead,
        flow::{Flow, FlowId},
    },
    net::{
        dial::{Dialer, Sockets},
        orig_dst::{OrigDstSource, Origin},
        presence::Presence,
        source::Source,
        syn::{Claim, FlowKey, dialling::Verdicts, table::Table},
    },
    policy::route::RouteTable,
    telemetry::{
        Telemetry,
        event::Rejected,
        labels::{Enforcement, RejectReason},
    },
    upstream::{endpoints::Endpoints, state::States},
};

/// What all connections of all workers share.
pub struct Context {
    pub(super) table: Arc<RouteTable>,
    origins: Arc<dyn OrigDstSource>,
    dialer: Dialer,
    pub(super) holds: Option<Holds>,
    pub(super) sentinel: Arc<Sentinel>,
    pub(super) states: Arc<States>,
    /// The addresses of configured names.
    pub endpoints: Arc<Endpoints>,
    /// Where facts are said.
    pub telemetry: Telemetry,
    pub(super) stack: Stack,
    next_flow: AtomicU64,
}

/// How held connections and accepted ones find each other.
#[derive(Clone)]
pub struct Holds {
    /// The connections that are held.
    pub table: Arc<Table>,
    /// Who lets them in.
    pub verdicts: Arc<dyn Verdicts>,
}

impl Context {
    /// Serves connections by `table`, whose origins `origins` knows; `holds` where connects are held.
    pub fn new(
        table: RouteTable,
        origins: Arc<dyn OrigDstSource>,
        dialer: Dialer,
        holds: Option<Holds>,
        telemetry: Telemetry,
    ) -> Self {
        let table = Arc::new(table);
        let states = Arc::new(States::new(telemetry.clone()));
        let endpoints = Arc::new(Endpoints::new(&table));
        let stack = stack::build(&table, &states, &endpoints, &telemetry);
        let next_flow = AtomicU64::new(1);
        let sentinel = Arc::default();
        Self { table, origins, dialer, holds, sentinel, states, endpoints, telemetry, stack, next_flow }
    }

    /// The same, which answers the probes of `sentinel`.
    #[must_use]
    pub fn answering(self, sentinel: Arc<Sentinel>) -> Self {
        Self { sentinel, ..self }
    }

    /// Counts what is refused before it comes to the stages.
    pub(super) fn reject(&self, route: Arc<str>, reason: RejectReason) {
        self.telemetry.emit(&Rejected { route, reason, enforcement: Enforcement::Enforce }.into());
    }

    /// A flow of `client` that `origin` tells of.
    pub(super) fn flow_from(
        &self,
        client: SocketAddr,
        listener: SocketAddr,
        origin: Origin,
        sockets: Arc<dyn Sockets>,
    ) -> Flow {
        let source = Source::new(client, origin.netns_cookie);
        if origin.bound {
            source.spend_port();
        }
        let key = FlowKey::new(client, listener, origin.netns_cookie);
        let verdicts = self.holds.as_ref().map(|holds| Arc::clone(&holds.verdicts));
        Flow {
            id: FlowId(self.next_flow.fetch_add(1, Ordering::Relaxed)),
            original_dst: origin.dst,
            source,
            app: origin.app,
            netns_cookie: origin.netns_cookie,
            sockets,
            dialer: self.dialer.clone(),
            ahead: Ahead::default(),
            verdicts: verdicts.clone(),
            program: Arc::new(Presence::new(key, origin.ticket, verdicts)),
        }
    }

    /// Learns who this process is from the origin of a probe, which nobody else can connect.
    pub(super) fn learn_pid(&self, origin: &Origin) {
        self.dialer.learn_pid(origin.app.pid);
    }

    /// Asks the kernel where an accepted connection was going.
    pub(super) fn origin(&self, client: &TcpStream) -> Option<Origin> {
        self.origins.origin(client.as_fd()).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot ask the kernel for an original destination");
            None
        })
    }

    /// The dial that was made for an accepted connection while its SYN was held.
    pub(super) async fn claim(
        &self,
        peer: SocketAddr,
        listener: SocketAddr,
        origin: &Origin,
    ) -> Option<Claim> {
        let holds = self.holds.as_ref().filter(|_| origin.announced)?;
        holds.verdicts.settled(origin.ticket);
        let key = FlowKey::new(peer, listener, origin.netns_cookie);
        holds.table.take_for_accept(&key, origin.dst, Duration::ZERO).await
    }
}
