// SPDX-License-Identifier: Apache-2.0
//! The program's side of an HTTP/2 flow with prior knowledge: each stream through the stack and back.
//!
//! Bodies, trailers, interim replies and resets pass in both directions as they come, at the pace of the slower side;
//! no header is added. The connection lives as long as its upstream's, as if they were one.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, server};
use http::StatusCode;
use tokio::{
    net::TcpStream,
    task::{JoinSet, yield_now},
    time::{Sleep, sleep},
};

use super::{
    http1::server::FlowEnd,
    http2_socket::Socket,
    http2_stream::{self, Arriving},
};
use crate::{
    http2::{
        ending::Wish,
        heads::{self, Heads},
        heard_out::HeardOut,
        limits,
        link::Link,
        program_tap::ProgramTap,
        stream::ProgramStream,
        tapped::Tapped,
        windows,
    },
    message::{Stack, flow::Flow},
    telemetry::WireBytes,
    upstream::{
        http2 as upstream,
        pool::{self, FlowConnections, Spare},
    },
};

/// When the upstream hears of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// At once, as it would without a proxy: nothing that requests say can change where they go, or whether they may.
    AtOnce,
    /// With the first stream.
    WithStream,
}

/// Serves the streams of a flow whose first bytes, `prefix`, have been read; `spare` is a connection to its
/// original destination that was dialled in advance. What the program's connection carries is counted in `bytes`.
pub async fn serve(
    stream: TcpStream,
    prefix: BytesMut,
    flow: Arc<Flow>,
    stack: Stack,
    spare: Option<(SocketAddr, Spare)>,
    bytes: WireBytes,
    greeting: Greeting,
) -> FlowEnd {
    let connections = FlowConnections::open(&flow, spare);
    let link = pool::link(flow.id).unwrap_or_default();
    let greets = greeting == Greeting::AtOnce && pool::spare_destination(flow.id) == Some(flow.original_dst);
    if greets {
        link.await_upstream();
    }
    let (socket, farewell) = Socket::new(stream, prefix, Arc::clone(&link), bytes);
    let socket = ProgramTap::tap(HeardOut::new(socket), Arc::clone(&link));
    let windows = windows::ALL.take();
    let end = match limits::server(&windows).handshake(socket).await {
        Ok(connection) => {
            let mut streams = JoinSet::new();
            if greets {
                streams.spawn(upstream::greet(Arc::clone(&flow)));
            }
            let heads = heads::ALL.connection();
            Server { connection, streams, flow, stack, link, heads, wish: None, patience: None }.run().await
        }
        Err(error) => end_of(&error),
    };
    drop(connections);
    farewell.take().await;
    end
}

struct Server {
    connection: server::Connection<Tapped<HeardOut<Socket>, ProgramTap>, Bytes>,
    /// A task for each stream; they end with the connection.
    streams: JoinSet<()>,
    flow: Arc<Flow>,
    stack: Stack,
    link: Arc<Link>,
    heads: Arc<Heads>,
    /// What has been done of what the link's ending asks.
    wish: Option<Wish>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Server {
    async fn run(mut self) -> FlowEnd {
        let end = poll_fn(|cx| self.poll(cx)).await;
        // Streams that were reset just before the end have been woken: each passes its code on.
        yield_now().await;
        let error = match end {
            Ok(end) => return end,
            Err(error) => error,
        };
        if error.get_io().is_some_and(|source| source.kind() == io::ErrorKind::ConnectionReset) {
            // What they have said goes out before the upstream's connection is reset.
            yield_now().await;
            self.link.program_resets();
        }
        end_of(&error)
    }

    /// Serves until the end, or until the program's connection fails.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<FlowEnd, h2::Error>> {
        loop {
            // Frames first: what streams have said before the end must have gone out by then.
            while let Poll::Ready(accepted) = self.connection.poll_accept(cx) {
                match accepted {
                    Some(Ok((request, respond))) => self.start(request, respond),
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(FlowEnd::Closed)),
                }
            }
            self.link.turn();
            while let Poll::Ready(Some(_)) = self.streams.poll_join_next(cx) {}
            let Poll::Ready(wish) = self.link.ending.poll_beyond(cx, self.wish) else {
                return self.poll_abandoned(cx).map(|()| Ok(FlowEnd::Cut));
            };
            if wish == Wish::Close && self.link.is_unheard() {
                // Written with the frames, as the program takes it.
                return Poll::Pending;
            }
            self.wish = Some(wish);
            match wish {
                // As it has ended for the upstream: before anything was said.
                Wish::Leave if self.streams.is_empty() && self.link.has_ended_silently() => {
                    return Poll::Ready(Ok(FlowEnd::Cut));
                }
                Wish::Leave => {
                    self.link.await_nobody();
                    self.connection.graceful_shutdown();
                }
                Wish::Close | Wish::Reset => {
                    self.link.say_farewell();
                    // It is written before anything is read.
                    let _ = self.connection.poll_accept(cx);
                    return Poll::Ready(Ok(FlowEnd::Cut));
                }
            }
        }
    }

    /// Waits until a program whose upstream is gone has had the time to say that it knows. One that speaks HTTP/2 ends
    /// its connection before.
    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_needed = self.link.is_connected() || !self.streams.is_empty() || self.link.is_unheard();
        if self.wish.is_none() || is_needed {
            self.patience = None;
            return Poll::Pending;
        }
        self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE))).as_mut().poll(cx)
    }

    fn start(&mut self, request: http::Request<RecvStream>, mut respond: server::SendResponse<Bytes>) {
        // Here, so that a head which is too much takes no room while others are read.
        if request.headers().len() > limits::FIELDS_MAX {
            let mut reply = http::Response::new(());
            *reply.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let _ = respond.send_response(reply, true);
            return;
        }
        let (head, body) = request.into_parts();
        let Some(place) = self.heads.keep(&head) else { return respond.send_reset(Reason::REFUSED_STREAM) };
        let request = Arriving { head, body, place };
        let program = Arc::new(ProgramStream::new(respond));
        let (flow, stack, link) = (self.flow.clone(), self.stack.clone(), self.link.clone());
        self.streams.spawn(http2_stream::serve(request, program, flow, stack, link));
    }
}

/// How long a connection may last without a stream and without an upstream, after its program was told to go.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection that `h2` ended itself was the program's fault, or an attack.
fn end_of(error: &h2::Error) -> FlowEnd {
    if error.is_library() { FlowEnd::Refused } else { FlowEnd::ClientGone }
}
