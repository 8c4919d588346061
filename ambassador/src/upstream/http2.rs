// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 to the upstream: one connection for each flow and destination, shared by the flow's streams.
//!
//! Streams that the upstream provably did not process (refused, or beyond the last one of its GOAWAY) are told from
//! those that failed, because only the former may be sent again whatever their method. A reset passes in either
//! direction with its code.

use std::{
    future::{Future, poll_fn, ready},
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::{Reason, client::SendRequest};
use tokio::{
    net::TcpStream,
    sync::{OnceCell, oneshot},
    time::{Instant, timeout},
};

use super::{
    exchange::{self, Opened},
    http2_socket::Socket,
    http2_stream::Exchange,
    pool, unattended,
};
use crate::{
    http2::{
        ending::Wish,
        heard_out::HeardOut,
        incoming::lost,
        limits,
        link::Link,
        tapped::Tapped,
        upstream_tap::UpstreamTap,
        windows::{self, Windows},
    },
    message::{
        AttemptInfo, Request, Response,
        error::{ProxyError, Sent},
        flow::Flow,
    },
    policy::bulkhead::Permit,
};

/// A flow's HTTP/2 connection to one destination, dialled by the first stream that needs it, or [greeted](greet).
#[derive(Clone, Default)]
pub(crate) struct Multiplexed(Arc<OnceCell<Open>>);

struct Open {
    sender: SendRequest<Bytes>,
    /// A stream has been opened on it, or waits to be.
    asked: AtomicBool,
    /// Dropped with this: the connection ends when its streams have.
    _wanted: oneshot::Sender<()>,
}

impl Multiplexed {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Sends a request as one stream.
pub(super) async fn exchange(
    mut request: Box<Request>,
    parts: Arc<http::request::Parts>,
) -> Result<Box<Response>, ProxyError> {
    let destination = request.destination();
    let body = std::mem::take(&mut request.body);
    // A connection that ended between two streams takes no more: once is enough for a new one.
    let mut again = true;
    loop {
        let connection = pool::multiplexed(request.flow.id, destination);
        let started = Instant::now();
        let open = connection.0.get_or_try_init(|| dial(&request)).await?;
        let connect = started.elapsed();
        // Asked of what is there: another stream, or the greeting, may have opened it meanwhile.
        let reused = open.asked.swap(true, Ordering::Relaxed);
        // From here on the stream may be on its way at any time.
        request.progress.note(Sent::Fully);
        match open.sender.clone().send_request(head(&parts), body.is_empty()) {
            Ok((reply, stream)) => {
                let interim = request.interim.clone();
                let exchange = Exchange::new(reply, stream, body, interim, connection.clone());
                let mut response = exchange.reply().await.map_err(|failed| {
                    if failed.error.is_go_away() {
                        pool::forget(request.flow.id, destination, &connection);
                    }
                    failure(failed.error, reused, failed.replied)
                })?;
                let connect = (!reused).then_some(connect);
                response.attempt = Some(AttemptInfo { endpoint: destination, reused, connect });
                return Ok(response);
            }
            Err(error) => {
                pool::forget(request.flow.id, destination, &connection);
                if !again {
                    return Err(ProxyError::GoneAway(error));
                }
                again = false;
            }
        }
    }
}

/// The head as `h2` sends it. Without an authority, `Host` alone stands for it, which `h2` takes only as HTTP/1.1.
fn head(parts: &http::request::Parts) -> http::Request<()> {
    let mut parts = parts.clone();
    if parts.uri.authority().is_none() {
        parts.version = http::Version::HTTP_11;
    }
    http::Request::from_parts(parts, ())
}

/// Begins the connection that was dialled in advance to where the program of `flow` has dialled, as the program has
/// begun its own: its upstream hears of it, and may end it, before it is asked anything.
pub(crate) async fn greet(flow: Arc<Flow>) {
    let destination = flow.original_dst;
    let link = pool::link(flow.id).unwrap_or_default();
    let Some(spare) = pool::take_spare(flow.id, destination) else { return link.await_nobody() };
    let begun = async {
        let stream = match spare.await {
            Ok(stream) => stream,
            Err(error) => {
                // The first stream is to fail by it.
                pool::return_spare(flow.id, destination, ready(Err(error)).boxed());
                return Err(());
            }
        };
        begin(stream, &flow, destination, Vec::new(), AtomicBool::new(false)).await.map_err(drop)
    };
    if pool::multiplexed(flow.id, destination).0.get_or_try_init(|| begun).await.is_err() {
        link.await_nobody();
    }
}

async fn dial(request: &Request) -> Result<Open, ProxyError> {
    let (flow, destination) = (&request.flow, request.destination());
    let spare = pool::take_spare(flow.id, destination);
    let Opened { stream, places, .. } = exchange::open(request, spare).await?;
    let begun = begin(stream, flow, destination, places, AtomicBool::new(false)).await;
    begun.map_err(|error| failure(error, false, false))
}

async fn begin(
    stream: TcpStream,
    flow: &Flow,
    destination: SocketAddr,
    places: Vec<Permit>,
    asked: AtomicBool,
) -> Result<Open, h2::Error> {
    let _ = stream.set_nodelay(true);
    // What another endpoint's connection says of itself says nothing of the address that the program dialled.
    let link = pool::link(flow.id).filter(|_| destination == flow.original_dst);
    let socket = Socket::new(stream, link.clone());
    let socket = UpstreamTap::tap(HeardOut::new(socket), link.clone());
    let windows = windows::ALL.take();
    let (sender, connection) = limits::client(&windows).handshake(socket).await?;
    let (wanted, unwanted) = oneshot::channel();
    let held = (places, windows);
    unattended::spawn(run(connection, sender.clone(), unwanted, link, held));
    Ok(Open { sender, asked, _wanted: wanted })
}

/// Runs a connection while it is wanted, and a little longer, so that what was said last still arrives.
async fn run(
    connection: h2::client::Connection<Tapped<HeardOut<Socket>, UpstreamTap>, Bytes>,
    mut sender: SendRequest<Bytes>,
    mut unwanted: oneshot::Receiver<()>,
    link: Option<Arc<Link>>,
    held: (Vec<Permit>, Windows),
) {
    let mut connection = pin!(connection);
    let mut leaving = false;
    let ended = poll_fn(|cx| {
        let ended = connection.as_mut().poll(cx).is_ready();
        // Each stream reports the failure that it sees; here it matters only that no more can follow.
        if !leaving && (ended || matches!(sender.poll_ready(cx), Poll::Ready(Err(_)))) {
            leaving = true;
            if let Some(link) = &link {
                link.ending.ask(Wish::Leave);
            }
        }
        if ended {
            return Poll::Ready(true);
        }
        pin!(&mut unwanted).poll(cx).map(|_| false)
    })
    .await;
    drop(sender);
    // To one that is reset nothing more is said.
    if !ended && !link.is_some_and(|link| link.is_reset_by_program()) {
        let _ = timeout(LINGER, connection).await;
    }
    drop(held);
}

/// Tells what the upstream provably did not process (RFC 9113 §8.7) from everything else. `h2` fails a stream with the
/// peer's GOAWAY only if it is beyond the last one that this names.
///
/// A lost connection counts as `Fully` sent: how much of a stream the upstream has read is not known.
fn failure(error: h2::Error, reused: bool, replied: bool) -> ProxyError {
    match lost(error) {
        Ok(source) => ProxyError::Disconnected { reused, sent: Sent::Fully, replied, source },
        Err(error) if error.is_remote() && error.is_go_away() => ProxyError::GoneAway(error),
        Err(error) if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) => {
            ProxyError::RefusedStream(error)
        }
        Err(error) => ProxyError::Http2(error),
    }
}

/// How long a connection that nobody wants any more may take to end.
const LINGER: Duration = Duration::from_secs(1);
