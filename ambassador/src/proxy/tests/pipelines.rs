// SPDX-License-Identifier: Apache-2.0
//! Reading along on a connection of pipelined requests: what is told of them, however the bytes come, and how much of
//! them is kept.

use std::sync::Mutex;

use super::{
    http1::pipeline::{OPEN_MAX, Pipeline},
    *,
};
use crate::{
    http1::head::RequestHead,
    message::{
        Pipelined, ReplyAt, Request,
        body::{Body, BodyEnd, BodyErrorKind},
        error::ProxyError,
        stage::{Outcome, Serve},
    },
    net::copy::{RelayEnd, Watch as _},
};

/// What was told of one request: its target, the status, bytes of both bodies, how it ended.
type Told = (String, Option<u16>, u64, u64, Result<(), BodyErrorKind>);

/// Writes down what the stages of a stack would be told.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Told>>>);

impl Recorder {
    fn told(&self) -> Vec<Told> {
        self.0.lock().expect("no panic").clone()
    }

    fn hook(
        &self,
        target: String,
        status: Option<u16>,
    ) -> Box<dyn FnOnce(BodyEnd) + std::marker::Send + Sync> {
        let told = self.clone();
        Box::new(move |end| {
            let status = status.or(end.status);
            told.0.lock().expect("no panic").push((target, status, end.sent, end.bytes, end.clean));
        })
    }
}

impl Serve for Recorder {
    async fn serve(&self, mut request: Box<Request>) -> Outcome {
        let mut reply = request.replied.take().ok_or(ProxyError::Denied)?;
        let status = reply.status();
        reply.body.on_end(self.hook(request.head.path().to_owned(), status));
        Ok(reply)
    }
}

/// Reads along from the point where `/0` has been sent.
async fn pipeline(recorder: &Recorder) -> Pipeline {
    let (_, flow) = accepted(([127, 0, 0, 1], 1).into()).await;
    let head = RequestHead::parse(b"GET /0 HTTP/1.1\r\n\r\n").expect("good").expect("whole");
    let mut body = Body::empty();
    body.on_end(recorder.hook("/0".to_owned(), None));
    let under_way = Pipelined { head: Arc::new(head), reply: ReplyAt::Head };
    Pipeline::new(under_way, body, flow, Stack::new(recorder.clone()))
}

#[tokio::test]
async fn requests_and_replies_are_told_apart_however_their_bytes_come() {
    let requests = b"HEAD /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nGET\
        \r\nPOST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\n\r\nGET /4 HTTP/1.1\r\n\r\n";
    let replies = b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nHTTPHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
        HTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end";
    let told =
        |target: &str, status, sent, received| (target.to_owned(), Some(status), sent, received, Ok(()));
    let want = [
        told("/0", 404, 0, 42),
        told("/1", 200, 0, 0),
        told("/2", 201, 3, 25 + 11),
        told("/3", 204, 12, 0),
        told("/4", 200, 0, 10),
    ];
    for size in [1, 2, 3, 7, 64, 4096] {
        let recorder = Recorder::default();
        let mut pipeline = pipeline(&recorder).await;
        requests.chunks(size).for_each(|bytes| pipeline.client_sent(bytes));
        replies.chunks(size).for_each(|bytes| pipeline.upstream_sent(bytes));
        pipeline.end(RelayEnd::Closed);
        assert_eq!(recorder.told(), want, "in pieces of {size} bytes");
    }
}

#[tokio::test]
async fn requests_beyond_the_bound_are_not_kept_and_those_within_it_are_told_of() {
    let recorder = Recorder::default();
    let mut pipeline = pipeline(&recorder).await;
    for _ in 0..OPEN_MAX + 9 {
        pipeline.client_sent(b"GET /x HTTP/1.1\r\n\r\n");
    }
    for _ in 0..OPEN_MAX + 9 {
        pipeline.upstream_sent(b"HTTP/1.1 204 None\r\n\r\n");
    }
    pipeline.end(RelayEnd::Closed);
    assert_eq!(recorder.told().len(), OPEN_MAX);
    assert!(recorder.told().iter().all(|(_, status, ..)| *status == Some(204)));
}

#[tokio::test]
async fn large_heads_are_kept_within_a_bound_of_bytes() {
    let recorder = Recorder::default();
    let mut pipeline = pipeline(&recorder).await;
    let large = format!("GET /x HTTP/1.1\r\nX-A: {}\r\n\r\n", "a".repeat(60_000));
    (0..20).for_each(|_| pipeline.client_sent(large.as_bytes()));
    pipeline.end(RelayEnd::UpstreamReset);
    let cut = Err(BodyErrorKind::Reset);
    assert_eq!(recorder.told().iter().filter(|(.., clean)| *clean == cut).count(), 1 + 4);
}
