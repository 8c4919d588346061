// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 to the upstream: one connection for each flow and destination, shared by the flow's streams.
//!
//! Streams that the upstream provably did not process (refused, or beyond the last one of its GOAWAY) are told from
//! those that failed, because only the former may be sent again whatever their method.

use std::{error::Error, sync::Arc, time::Duration};

use h2::Reason;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{sync::OnceCell, task::JoinHandle, time::Instant};

use super::{exchange, pool};
use crate::message::{AttemptInfo, Request, Response, ResponseHead, body::Body, error::ProxyError};

/// A flow's HTTP/2 connection to one destination, dialled by the first stream that needs it.
#[derive(Clone, Default)]
pub(crate) struct Multiplexed(Arc<OnceCell<Open>>);

struct Open {
    sender: SendRequest<Body>,
    connect: Duration,
    /// Runs the connection; ended with it.
    task: JoinHandle<()>,
}

impl Multiplexed {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a request as one stream.
pub(super) async fn exchange(
    mut request: Request,
    parts: Arc<http::request::Parts>,
) -> Result<Response, ProxyError> {
    let destination = request.destination();
    let body = std::mem::take(&mut request.body);
    let mut message = http::Request::from_parts(Arc::unwrap_or_clone(parts), body);
    // A connection that ended between two streams hands the unsent message back: once is enough for a new one.
    let mut again = true;
    loop {
        let connection = pool::multiplexed(request.flow.id, destination);
        let reused = connection.0.initialized();
        let open = connection.0.get_or_try_init(|| dial(&request)).await?;
        let outcome = open.sender.clone().try_send_request(message).await;
        let mut failure = match outcome {
            Ok(reply) => {
                let (head, incoming) = reply.into_parts();
                let head = ResponseHead::Http2(Box::new(head));
                let mut response = Response::new(head, Body::http2(incoming));
                let connect = (!reused).then_some(open.connect);
                response.attempt = Some(AttemptInfo { endpoint: destination, reused, connect });
                return Ok(response);
            }
            Err(failure) => failure,
        };
        let unsent = failure.take_message();
        let error = failure.into_error();
        if unsent.is_some() || is_goaway(&error) || open.sender.is_closed() {
            pool::forget(request.flow.id, destination, &connection);
        }
        match unsent {
            Some(unsent) if again => {
                again = false;
                message = unsent;
            }
            Some(_) => return Err(ProxyError::RefusedStream(error)),
            None => return Err(classify(error)),
        }
    }
}

async fn dial(request: &Request) -> Result<Open, ProxyError> {
    let started = Instant::now();
    let spare = pool::take_spare(request.flow.id, request.destination());
    let (stream, places) = exchange::open(request, spare).await?;
    let connect = started.elapsed();
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_send_buf_size(SEND_BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ProxyError::Http2)?;
    let task = tokio::spawn(async move {
        // Each stream reports the failure that it sees.
        let _ = connection.await;
        drop(places);
    });
    Ok(Open { sender, connect, task })
}

/// Tells what the upstream provably did not process (RFC 9113 §8.7) from everything else.
fn classify(error: hyper::Error) -> ProxyError {
    let refused = h2_error(&error).is_some_and(|cause| {
        cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(Reason::REFUSED_STREAM))
    });
    if refused { ProxyError::RefusedStream(error) } else { ProxyError::Http2(error) }
}

fn is_goaway(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(h2::Error::is_go_away)
}

/// The h2 error that caused `error`.
pub(crate) fn h2_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e h2::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// How much of one reply may wait for its reader, in bytes.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
/// How much of all replies of a connection may wait, in bytes.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The most bytes of header fields in one message.
pub(crate) const HEADER_LIST_MAX: u32 = 64 * 1024;
/// How much of one body may wait to be sent, in bytes.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;
