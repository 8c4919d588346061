// SPDX-License-Identifier: Apache-2.0
//! The program's side of an HTTP/2 flow with prior knowledge: each stream through the stack and back.
//!
//! hyper carries the frames. Bodies, trailers and resets pass in both directions as they come, at the pace of the
//! slower side; no header is added. Limits on streams and headers are generous but finite.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use futures_util::{future::BoxFuture, task::AtomicWaker};
use h2::Reason;
use hyper::{body::Incoming, server::conn::http2::Builder};
use hyper_util::rt::{TokioExecutor, TokioIo};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tower::{Service, ServiceExt};

use super::http1::server::FlowEnd;
use crate::{
    http1::{peer::InterimSink, wire},
    message::{
        Request, RequestHead, Response, ResponseHead, Stack, body::Body, error::ProxyError, flow::Flow,
    },
    upstream::{
        http2::{CONNECTION_WINDOW, HEADER_LIST_MAX, SEND_BUFFER, STREAM_WINDOW, h2_error},
        pool::{FlowConnections, Spare},
    },
};

/// Serves the streams of a flow whose first bytes, `prefix`, have been read; `spare` is a connection to its
/// original destination that was dialled in advance.
pub async fn serve(
    stream: TcpStream,
    prefix: BytesMut,
    flow: Arc<Flow>,
    stack: Stack,
    spare: Option<(SocketAddr, Spare)>,
) -> FlowEnd {
    let connections = FlowConnections::open(&flow, spare);
    let kill = Arc::new(Kill::default());
    let io = Socket { stream, prefix, kill: kill.clone() };
    let service = Streams { flow, stack, kill: kill.clone() };
    let served = Builder::new(TokioExecutor::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_send_buf_size(SEND_BUFFER)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(io), service);
    let mut served = pin!(served);
    let end = poll_fn(|cx| {
        kill.waker.register(cx.waker());
        if kill.asked.load(Ordering::Relaxed) {
            return Poll::Ready(FlowEnd::Cut);
        }
        served.as_mut().poll(cx).map(|end| if end.is_ok() { FlowEnd::Closed } else { FlowEnd::ClientGone })
    })
    .await;
    drop(connections);
    end
}

/// Asks for the reset of the whole connection.
#[derive(Default)]
struct Kill {
    asked: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Clone)]
struct Streams {
    flow: Arc<Flow>,
    stack: Stack,
    kill: Arc<Kill>,
}

impl hyper::service::Service<http::Request<Incoming>> for Streams {
    type Response = http::Response<Body>;
    type Error = StreamReset;
    type Future = BoxFuture<'static, Result<Self::Response, StreamReset>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let Self { flow, mut stack, kill } = self.clone();
        Box::pin(async move {
            let (parts, incoming) = request.into_parts();
            let head = RequestHead::Http2(Arc::new(parts));
            let grpc = head.is_grpc();
            let request = Request::new(head, Body::http2(incoming), flow, InterimSink::none());
            let outcome = match stack.ready().await {
                Ok(stack) => stack.call(request).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(response) => reply(response, grpc),
                Err(error) => Err(StreamReset::of(&error, &kill)),
            }
        })
    }
}

fn reply(response: Response, grpc: bool) -> Result<http::Response<Body>, StreamReset> {
    match response.head {
        ResponseHead::Http2(parts) => Ok(http::Response::from_parts(*parts, response.body)),
        // The hooks of its (empty) body run when it is dropped here.
        ResponseHead::Local(reply) => Ok(reply.http2(grpc)),
        ResponseHead::Http1(_) | ResponseHead::Unread(_) => Err(StreamReset(Reason::INTERNAL_ERROR.into())),
    }
}

/// A stream that is reset because no layer made a reply of its failure.
#[derive(Debug, Error)]
#[error("the stream is reset")]
struct StreamReset(#[source] h2::Error);

impl StreamReset {
    fn of(error: &ProxyError, kill: &Kill) -> Self {
        let reason = match error {
            ProxyError::Connect(_) => {
                // Without a proxy there would be no connection at all.
                kill.asked.store(true, Ordering::Relaxed);
                kill.waker.wake();
                Reason::REFUSED_STREAM
            }
            ProxyError::RefusedStream(_) => Reason::REFUSED_STREAM,
            error => h2_error(error).and_then(h2::Error::reason).unwrap_or(Reason::INTERNAL_ERROR),
        };
        Self(reason.into())
    }
}

/// The program's socket, with what detection has read of it in front.
struct Socket {
    stream: TcpStream,
    prefix: BytesMut,
    kill: Arc<Kill>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.kill.asked.load(Ordering::Relaxed) {
            wire::reset_on_close(&self.stream);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..count]);
        self.prefix.advance(count);
        if self.prefix.is_empty() {
            self.prefix = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The most streams of a program's connection at a time.
const STREAMS_MAX: u32 = 256;
