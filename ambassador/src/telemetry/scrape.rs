// SPDX-License-Identifier: Apache-2.0
//! The HTTP server beside the data path: `/metrics` for Prometheus, `/livez`, `/readyz` and `/healthz` for probes.
//!
//! It must never get in the way of traffic: connections are bounded in number and in time, one request each, and no
//! request has a body that is read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time;

use crate::telemetry::Telemetry;
use crate::telemetry::readiness::{Phase, Readiness};

/// Serves scrapes and probes on `listener` for ever; its connections end with it.
pub async fn serve(listener: &TcpListener, telemetry: Telemetry, readiness: Arc<Readiness>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (telemetry, readiness) = (telemetry.clone(), Arc::clone(&readiness));
                connections.spawn(async move {
                    let _permit = permit;
                    let _ = time::timeout(CONNECTION_LIMIT, connection(stream, telemetry, readiness)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept of a metrics connection failed");
                time::sleep(ACCEPT_PAUSE).await; // e.g. no free file descriptor: accept fails at once, again and again
            }
        }
    }
}

async fn connection(stream: TcpStream, telemetry: Telemetry, readiness: Arc<Readiness>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = answer(request.method(), request.uri().path(), &telemetry, &readiness);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "metrics connection ended early");
    }
}

fn answer(
    method: &Method,
    path: &str,
    telemetry: &Telemetry,
    readiness: &Readiness,
) -> Response<Full<Bytes>> {
    if !matches!(path, "/metrics" | "/livez" | "/readyz" | "/healthz") {
        return plain(StatusCode::NOT_FOUND, "try /metrics, /livez, /readyz or /healthz\n");
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => metrics(telemetry),
        "/livez" => plain(StatusCode::OK, "ok\n"),
        _ => match readiness.phase() {
            Phase::Ready => plain(StatusCode::OK, "ok\n"),
            phase => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{phase}\n")),
        },
    }
}

fn metrics(telemetry: &Telemetry) -> Response<Full<Bytes>> {
    match telemetry.metrics_page() {
        Ok(page) => {
            let mut response = plain(StatusCode::OK, page);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROMETHEUS_TEXT));
            response
        }
        Err(error) => {
            tracing::error!(%error, "metrics could not be rendered");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be rendered; see the log\n")
        }
    }
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const MAX_CONNECTIONS: usize = 64;
const MAX_HEAD: usize = 16 * 1024;
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
