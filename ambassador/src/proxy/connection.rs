// SPDX-License-Identifier: Apache-2.0
//! One intercepted connection, from its original destination to the arm of its protocol.
//!
//! The dial to the original destination begins at once and races the program's first bytes, so that no protocol waits
//! for detection. Nothing is guessed: a connection whose destination the kernel does not know is reset.

use std::{
    cell::RefCell, collections::HashMap, io, net::SocketAddr, os::fd::AsFd, sync::Arc, time::Duration,
};

use foldhash::fast::RandomState;
use futures_util::FutureExt;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    context::Context,
    http1::{self, relayed::Unread, server::FlowEnd},
    http2, leeway,
    opaque::{self, OpaqueFlow},
    tls::{self, Hello},
};
use crate::{
    kernel::detach_filter,
    message::{ahead::Places, flow::Flow},
    net::{
        accept::is_reset,
        copy::{ResetUnlessDone, reset_on_close},
        detect::{Detected, Spare, detect},
        dial::{DialError, DialFailure, Sockets},
        syn::Claim,
    },
    policy::{facts::L7Facts, matcher::Protocol, route::ByDestination},
    telemetry::{
        event::{ConnectLied, Destination, MissingDestination},
        labels::RejectReason,
    },
    upstream::{connection::Key, places, pool, state::RouteState},
};

/// Serves one connection of `peer` that was accepted at `listener` to its end. The listener has told the kernel not to
/// delay small segments.
pub async fn serve(
    client: TcpStream,
    peer: SocketAddr,
    listener: SocketAddr,
    sockets: Arc<dyn Sockets>,
    context: Arc<Context>,
) {
    let arrived = Instant::now();
    if let Err(error) = detach_filter(client.as_fd()) {
        tracing::warn!(%error, "an accepted connection keeps the filter of its listener");
    }
    let Some(origin) = context.origin(&client) else {
        // What the kernel knew of it went with the program's socket, if that was reset as the handshake ended.
        if !is_reset(&client).await {
            context.telemetry.emit(&MissingDestination { client: peer }.into());
        }
        return reset_on_close(&client);
    };
    if context.sentinel.knows(origin.ticket.socket_cookie) {
        context.learn_pid(&origin);
        return context.sentinel.answer(client).await;
    }
    let claim = context.claim(peer, listener, &origin).await;
    let flow = Arc::new(context.flow_from(peer, listener, origin, sockets));
    Connection { client, flow, context, arrived }.serve(claim).await;
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

impl Prospect {
    /// The state of its route, if that allows only so many connections.
    fn limited(&self) -> Option<&Arc<RouteState>> {
        let acts = |state: &&Arc<RouteState>| state.route.mode.acts();
        self.decided.as_ref().filter(acts).filter(|state| places::are_limited(&state.bulkheads))
    }

    /// How long the program's first bytes are awaited where no connection may be opened for it.
    fn patience(&self, learnt: Option<Protocol>) -> Duration {
        match (self.limited(), learnt) {
            // Programs open connections ahead of their requests.
            (Some(_), Some(Protocol::Http1 | Protocol::Http2)) => self.patience.max(SILENCE),
            (Some(_), _) => self.patience.max(LEARNT_PATIENCE),
            (None, _) => self.patience,
        }
    }
}

/// What is said of a dial that had no place among `maxConnections`; only its places tell why.
fn not_dialled(dst: SocketAddr) -> DialError {
    DialError { dst, failure: DialFailure::Local, source: io::ErrorKind::QuotaExceeded.into() }
}

impl Connection {
    async fn serve(self, claim: Option<Claim>) {
        // Each part is boxed and gone when it is over: an idle flow keeps room only for what it waits in.
        let Some((detected, target)) = Box::pin(self.detect(claim)).await else { return };
        match detected.protocol {
            Protocol::Http1 | Protocol::Http2 => Box::pin(self.serve_http(detected, target)).await,
            Protocol::Tls => Box::pin(self.serve_tls(detected, target)).await,
            Protocol::Opaque => Box::pin(self.serve_opaque(detected, target, Hello::default())).await,
        }
    }

    /// Dials, finds out what is spoken, and tells where the dial leads. `None` if the program is gone.
    async fn detect(&self, claim: Option<Claim>) -> Option<(Detected, SocketAddr)> {
        let unfinished = ResetUnlessDone::new(&self.client);
        let prospect = self.prospect();
        let spare = self.spare(&prospect, claim).await;
        let patience = prospect.patience(learnt((self.flow.netns_cookie, self.flow.original_dst)));
        let detected = detect(&self.client, spare, prospect.declared, patience).await;
        unfinished.done();
        let detected = detected.ok()?;
        learn((self.flow.netns_cookie, self.flow.original_dst), detected.protocol);
        Some((detected, prospect.target))
    }

    fn prospect(&self) -> Prospect {
        let names = self.context.endpoints.names();
        let (original_dst, table) = (self.flow.original_dst, &self.context.table);
        match table.for_destination(&self.flow.l4(), &names) {
            ByDestination::Decided(selection) => {
                let state = self.context.states.of(selection.route, original_dst);
                let answers = selection.denied || !selection.route.transparent && selection.route.mode.acts();
                Prospect {
                    target: self.context.endpoints.pick(&state, original_dst, None),
                    decided: Some(state),
                    declared: selection.route.declared_protocol,
                    connect: selection.route.connect_limit(),
                    patience: if answers { PATIENCE } else { Duration::ZERO },
                    denied: selection.denied && selection.route.mode.acts(),
                }
            }
            ByDestination::Undecided { first } => {
                // Only first bytes may still allow it: a denied destination must not even be dialled before them.
                let silent = table.select(&self.flow.l4(), &L7Facts::of(Protocol::Opaque), &names);
                let denied = silent.denied && silent.route.mode.acts();
                Prospect {
                    decided: None,
                    declared: None,
                    target: original_dst,
                    connect: first.connect_limit(),
                    patience: if denied { SILENCE } else { PATIENCE },
                    denied,
                }
            }
        }
    }

    /// Begins the dial, unless it would be in vain.
    async fn spare(&self, prospect: &Prospect, claim: Option<Claim>) -> Spare {
        let (flow, target, limit) = (Arc::clone(&self.flow), prospect.target, prospect.connect);
        if claim.is_some() {
            flow.source.spend_port();
        }
        if let Some(claim) = claim.filter(|_| target == flow.original_dst) {
            return Spare::Dialling(Box::pin(async move {
                let (stream, places) = match claim.finish().await {
                    Some(dialled) => dialled?,
                    None => return flow.dial(target, limit).await,
                };
                if !places.is_empty() {
                    flow.ahead.put(Places::Given(places, Instant::now()));
                }
                Ok(stream)
            }));
        }
        if prospect.denied || prospect.decided.as_ref().is_some_and(|state| !state.is_closed()) {
            self.flow.doubt(self.flow.original_dst);
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
        let lied = self.lie(target);
        let limited = prospect.limited().map(Arc::clone);
        Spare::Dialling(Box::pin(async move {
            if let Some(state) = limited {
                let Ok(places) = places::enter(&state.bulkheads).await else {
                    flow.ahead.put(Places::Refused);
                    return Err(not_dialled(target));
                };
                flow.ahead.put(Places::Given(places, Instant::now()));
            }
            flow.dial(target, limit).await.inspect_err(|_| lied())
        }))
    }

    /// Says that `connect()` had succeeded in vain, if it should not have.
    fn lie(&self, target: SocketAddr) -> impl FnOnce() + Send + use<> {
        let held = self.context.holds.is_some() && target == self.flow.original_dst;
        let telemetry = self.context.telemetry.clone();
        move || {
            if held {
                let destination = Destination { upstream: None, endpoint: target };
                telemetry.emit(&ConnectLied { destination }.into());
            }
        }
    }

    async fn serve_http(self, detected: Detected, dialled: SocketAddr) {
        let Detected { protocol, from_client, spare, .. } = detected;
        let active = self.context.telemetry.connection(protocol.into());
        let spare = match spare {
            Spare::NotDialled => None,
            Spare::Dialling(dial) => Some((dialled, dial)),
            Spare::Dialled(result) => Some((dialled, std::future::ready(result).boxed())),
        };
        let stack = self.context.stack.clone();
        let Self { client, flow, context, .. } = self;
        let served = if protocol == Protocol::Http2 {
            let bytes = context.telemetry.wire_bytes(protocol.into());
            let greeting = leeway::greeting(&context, &flow);
            Ok(Box::pin(http2::serve(client, from_client, flow, stack, spare, bytes, greeting)).await)
        } else {
            let unclear = leeway::unclear(&context, &flow);
            let (pipelines, same) = (leeway::pipelines(&context, &flow), Arc::clone(&flow));
            let served =
                http1::server::serve(client, from_client, same, stack, spare, unclear, pipelines).await;
            served.map_err(|unread| (unread, flow))
        };
        drop(active);
        match served {
            Ok(FlowEnd::Refused) => {
                // What could not be read as a request never came to a route.
                let route = Arc::clone(&context.table.default_route.name);
                context.reject(route, RejectReason::Malformed);
            }
            Ok(_) => {}
            Err((Unread { client, from_client, upstream }, flow)) => {
                let (dialled, spare) = upstream
                    .map_or((flow.original_dst, Spare::NotDialled), |(to, spare)| {
                        (to, Spare::Dialling(spare))
                    });
                let unread = Self { client, flow, context, arrived: Instant::now() };
                let detected = Detected::new(protocol, from_client, spare);
                Box::pin(unread.serve_opaque(detected, dialled, Hello::default())).await;
            }
        }
    }

    async fn serve_tls(self, mut detected: Detected, dialled: SocketAddr) {
        let hello = tls::read_hello(&self.client, &mut detected.from_client).await.unwrap_or_default();
        self.serve_opaque(detected, dialled, hello).await;
    }

    async fn serve_opaque(self, detected: Detected, dialled: SocketAddr, hello: Hello) {
        let names = self.context.endpoints.names();
        let l7 = L7Facts { sni: hello.sni.as_deref(), ..L7Facts::of(detected.protocol) };
        let selection = self.context.table.select(&self.flow.l4(), &l7, &names);
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
    static LEARNT: RefCell<HashMap<Place, Protocol, RandomState>> = RefCell::default();
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
