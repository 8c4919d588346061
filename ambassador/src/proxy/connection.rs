// SPDX-License-Identifier: Apache-2.0
//! One intercepted connection, from its original destination to the arm of its protocol.
//!
//! The dial to the original destination begins at once and races the program's first bytes, so that no protocol waits
//! for detection. Nothing is guessed: a connection whose destination the kernel does not know is reset.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    http1::{self, server::FlowEnd},
    http2,
    opaque::{self, OpaqueFlow},
    stack,
    tls::{self, Hello},
};
use crate::{
    message::{
        Stack,
        flow::{Flow, FlowId},
    },
    net::{
        copy::reset_on_close,
        detect::{Detected, Spare, detect},
        dial::{Dialer, Sockets},
        orig_dst::{OrigDstSource, Origin},
    },
    policy::{
        facts::{L4Facts, L7Facts},
        matcher::Protocol,
        route::{ByDestination, RouteTable},
    },
    telemetry::{
        Telemetry,
        event::{MissingDestination, Rejected},
        labels::{Enforcement, RejectReason},
    },
    upstream::{
        endpoints::Endpoints,
        pool::{self, Key},
        state::{RouteState, States},
    },
};

/// What all connections of all workers share.
pub struct Context {
    table: Arc<RouteTable>,
    origins: Arc<dyn OrigDstSource>,
    dialer: Dialer,
    states: Arc<States>,
    /// The addresses of configured names.
    pub endpoints: Arc<Endpoints>,
    /// Where facts are said.
    pub telemetry: Telemetry,
    stack: Stack,
    next_flow: AtomicU64,
}

impl Context {
    /// Serves connections by `table`, whose origins `origins` knows.
    pub fn new(
        table: RouteTable,
        origins: Arc<dyn OrigDstSource>,
        dialer: Dialer,
        telemetry: Telemetry,
    ) -> Self {
        let table = Arc::new(table);
        let states = Arc::new(States::new(telemetry.clone()));
        let endpoints = Arc::new(Endpoints::new(&table));
        let stack = stack::build(&table, &states, &endpoints, &telemetry);
        Self { table, origins, dialer, states, endpoints, telemetry, stack, next_flow: AtomicU64::new(1) }
    }

    /// Counts what is refused before it comes to the stages.
    fn reject(&self, route: Arc<str>, reason: RejectReason) {
        self.telemetry.emit(&Rejected { route, reason, enforcement: Enforcement::Enforce }.into());
    }

    fn flow(&self, client: &TcpStream, sockets: Arc<dyn Sockets>) -> Option<Flow> {
        let peer = client.peer_addr().ok()?;
        match self.origins.origin(client.as_fd()) {
            Ok(Some(Origin { dst, app, netns_cookie })) => Some(Flow {
                id: FlowId(self.next_flow.fetch_add(1, Ordering::Relaxed)),
                original_dst: dst,
                client: peer,
                app,
                netns_cookie,
                sockets,
                dialer: self.dialer.clone(),
            }),
            unknown => {
                if let Err(error) = unknown {
                    tracing::error!(%error, "cannot ask the kernel for an original destination");
                }
                self.telemetry.emit(&MissingDestination { client: peer }.into());
                None
            }
        }
    }
}

/// Serves one accepted connection to its end.
pub async fn serve(client: TcpStream, sockets: Arc<dyn Sockets>, context: Arc<Context>) {
    let arrived = Instant::now();
    let Some(flow) = context.flow(&client, sockets) else { return reset_on_close(&client) };
    let _ = client.set_nodelay(true);
    Connection { client, flow: Arc::new(flow), context, arrived }.serve().await;
}

/// A connection whose destination is known.
struct Connection {
    client: TcpStream,
    flow: Arc<Flow>,
    context: Arc<Context>,
    arrived: Instant,
}

/// What the dialled address alone says of a flow.
struct Prospect {
    /// The state of its route, if the address decides it.
    decided: Option<Arc<RouteState>>,
    /// The protocol that the route declares.
    declared: Option<Protocol>,
    /// Where to dial while the first bytes are awaited: an endpoint of the route, or the original destination.
    target: SocketAddr,
    /// How long a dial may take.
    connect: Duration,
    /// How long the program's first bytes are awaited without a connection that could speak first, so that HTTP can
    /// be answered in HTTP.
    patience: Duration,
    /// No route matches a flow that says nothing, and that is refused.
    denied: bool,
}

impl Connection {
    async fn serve(self) {
        let prospect = self.prospect();
        let spare = self.spare(&prospect).await;
        let Ok(mut detected) = detect(&self.client, spare, prospect.declared, prospect.patience).await else {
            return;
        };
        learn((self.flow.netns_cookie, self.flow.original_dst), detected.protocol);
        match detected.protocol {
            Protocol::Http1 | Protocol::Http2 => self.serve_http(detected, prospect.target).await,
            Protocol::Tls => {
                let hello =
                    tls::read_hello(&self.client, &mut detected.from_client).await.unwrap_or_default();
                self.serve_opaque(detected, prospect.target, hello).await;
            }
            Protocol::Opaque => self.serve_opaque(detected, prospect.target, Hello::default()).await,
        }
    }

    fn prospect(&self) -> Prospect {
        let names = self.context.endpoints.names();
        let (original_dst, table) = (self.flow.original_dst, &self.context.table);
        match table.for_destination(&self.l4(), &names) {
            ByDestination::Decided(selection) => {
                let state = self.context.states.of(selection.route, original_dst);
                let answers = selection.denied || !selection.route.transparent && selection.route.mode.acts();
                Prospect {
                    target: self.context.endpoints.pick(&state, original_dst, None),
                    decided: Some(state),
                    declared: selection.route.declared_protocol,
                    connect: selection.route.timeouts.connect,
                    patience: if answers { PATIENCE } else { Duration::ZERO },
                    denied: selection.denied && selection.route.mode.acts(),
                }
            }
            ByDestination::Undecided { first } => {
                // Only first bytes may still allow it: a denied destination must not even be dialled before them.
                let silent = table.select(&self.l4(), &L7Facts::of(Protocol::Opaque), &names);
                let denied = silent.denied && silent.route.mode.acts();
                Prospect {
                    decided: None,
                    declared: None,
                    target: original_dst,
                    connect: first.timeouts.connect,
                    patience: if denied { SILENCE } else { PATIENCE },
                    denied,
                }
            }
        }
    }

    /// Begins the dial, unless it would be in vain.
    async fn spare(&self, prospect: &Prospect) -> Spare {
        if prospect.denied || prospect.decided.as_ref().is_some_and(|state| !state.is_closed()) {
            return Spare::NotDialled;
        }
        let key = Key { netns_cookie: self.flow.netns_cookie, destination: prospect.target };
        let speaks_first = learnt((key.netns_cookie, self.flow.original_dst)) == Some(Protocol::Http1);
        // A destination that spoke HTTP will again, and an idle connection can carry it; but not for longer than a
        // moment: another program may speak another protocol to the same port.
        if speaks_first
            && pool::has_shared(key)
            && timeout(LEARNT_PATIENCE, self.client.readable()).await.is_ok()
        {
            return Spare::NotDialled;
        }
        let (flow, target, limit) = (Arc::clone(&self.flow), prospect.target, prospect.connect);
        Spare::Dialling(Box::pin(async move { flow.dial(target, limit).await }))
    }

    async fn serve_http(self, detected: Detected, dialled: SocketAddr) {
        let Detected { protocol, from_client, spare } = detected;
        let _active = self.context.telemetry.connection(protocol.into());
        let spare = match spare {
            Spare::NotDialled => None,
            Spare::Dialling(dial) => Some((dialled, dial)),
            Spare::Dialled(result) => Some((dialled, std::future::ready(result).boxed())),
        };
        let stack = self.context.stack.clone();
        let end = match protocol {
            Protocol::Http2 => http2::serve(self.client, from_client, self.flow, stack, spare).await,
            _ => http1::server::serve(self.client, from_client, self.flow, stack, spare).await,
        };
        if end == FlowEnd::Refused {
            // What could not be read as a request never came to a route.
            let route = Arc::clone(&self.context.table.default_route.name);
            self.context.reject(route, RejectReason::Malformed);
        }
    }

    async fn serve_opaque(self, detected: Detected, dialled: SocketAddr, hello: Hello) {
        let names = self.context.endpoints.names();
        let l7 = L7Facts { sni: hello.sni.as_deref(), ..L7Facts::of(detected.protocol) };
        let selection = self.context.table.select(&self.l4(), &l7, &names);
        let state = self.context.states.of(selection.route, self.flow.original_dst);
        let opaque = OpaqueFlow {
            flow: &self.flow,
            state: &state,
            context: &self.context,
            arrived: self.arrived,
            hello,
            dialled,
            denied: selection.denied,
        };
        opaque::serve(self.client, detected, opaque).await;
    }

    fn l4(&self) -> L4Facts<'_> {
        L4Facts { destination: self.flow.original_dst, app: &self.flow.app.comm }
    }
}

/// How long a program may take to say its first bytes after its dial has failed, before it is reset.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long a program may take to say its first bytes where only they can allow what is denied otherwise: programs
/// open connections ahead of their requests.
const SILENCE: Duration = Duration::from_mins(1);

/// How long a program may be silent towards a destination that used to speak HTTP, before it is dialled all the same.
const LEARNT_PATIENCE: Duration = Duration::from_secs(1);

/// Destinations whose protocol a worker remembers.
const MAX_LEARNT: usize = 4096;

/// A destination as seen from a network namespace.
type Place = (u64, SocketAddr);

thread_local! {
    static LEARNT: RefCell<HashMap<Place, Protocol>> = RefCell::default();
}

fn learnt(place: Place) -> Option<Protocol> {
    LEARNT.with_borrow(|learnt| learnt.get(&place).copied())
}

fn learn(place: Place, protocol: Protocol) {
    LEARNT.with_borrow_mut(|learnt| {
        if learnt.len() >= MAX_LEARNT {
            learnt.clear();
        }
        learnt.insert(place, protocol);
    });
}
