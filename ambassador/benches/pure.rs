// SPDX-License-Identifier: Apache-2.0
//! The pure parts that every request or connection passes, each so many times: `cargo xtask bench pure` counts their
//! instructions, which do not depend on what else the machine does.
//!
//! Arguments: NAME ITERATIONS. Without them everything runs once, and nothing is measured.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ambassador::http1::chunked::Chunked;
use ambassador::http1::head::{RequestHead, ResponseHead};
use ambassador::policy::breaker::{Admission, Breaker, BreakerPolicy, CallOutcome};
use ambassador::policy::budget::{Budget, BudgetPolicy};
use ambassador::policy::clock::Now;
use ambassador::policy::facts::{L4Facts, L7Facts, Names};
use ambassador::policy::matcher::{Match, Protocol};
use ambassador::policy::route::{Route, RouteTable};

/// A name, and the work behind it, so many times.
type Work = (&'static str, fn(u32));

const WORK: [Work; 7] = [
    ("request-head", request_head),
    ("reply-head", reply_head),
    ("header", header),
    ("chunked", chunked),
    ("route", route),
    ("breaker", breaker),
    ("budget", budget),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let iterations = arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(1);
    let wanted = |name: &str| arguments.first().is_none_or(|wanted| wanted == name);
    for (_, work) in WORK.iter().filter(|(name, _)| wanted(name)) {
        work(iterations);
    }
}

/// The head of a browser's request is parsed.
fn request_head(iterations: u32) {
    for _ in 0..iterations {
        assert!(RequestHead::parse(black_box(REQUEST)).is_ok_and(|head| black_box(head).is_some()));
    }
}

/// The head of an ordinary reply is parsed.
fn reply_head(iterations: u32) {
    for _ in 0..iterations {
        assert!(ResponseHead::parse(black_box(REPLY), "GET").is_ok_and(|head| black_box(head).is_some()));
    }
}

/// A header line is looked for that is not there.
fn header(iterations: u32) {
    let head = ResponseHead::parse(REPLY, "GET").ok().flatten();
    for _ in 0..iterations {
        assert!(
            black_box(&head).as_ref().is_some_and(|head| head.header(black_box("grpc-status")).is_none())
        );
    }
}

/// A body of sixteen chunks of 1 KiB is followed to its end.
fn chunked(iterations: u32) {
    let mut body = Vec::new();
    for _ in 0..16 {
        body.extend_from_slice(b"400\r\n");
        body.extend_from_slice(&[b'x'; 1024]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    for _ in 0..iterations {
        let mut chunks = Chunked::default();
        assert_eq!(chunks.advance(black_box(&body)), Ok(body.len()));
    }
}

/// The last of eight routes matches.
fn route(iterations: u32) {
    let routes = (0..8).map(|number| {
        let hosts = format!("service-{number}.example").parse().into_iter().collect();
        Arc::new(Route { matcher: Match { hosts, ..Match::default() }, ..Route::default() })
    });
    let table = RouteTable { routes: routes.collect(), ..RouteTable::default() };
    let l4 = L4Facts { destination: ([192, 0, 2, 1], 80).into(), app: "curl" };
    let host = Some("service-7.example");
    let l7 = L7Facts { host, method: Some("GET"), path: Some("/"), ..L7Facts::of(Protocol::Http1) };
    let names = Names::default();
    for _ in 0..iterations {
        let selection = table.select(black_box(&l4), black_box(&l7), &names);
        assert!(Arc::ptr_eq(selection.route, &table.routes[7]));
    }
}

/// A closed breaker admits a call, which succeeds.
fn breaker(iterations: u32) {
    let breaker = Arc::new(Breaker::new(BreakerPolicy::consecutive(5)));
    for number in 0..u64::from(iterations) {
        let now = Now::from_nanos(number * 1000);
        if let Admission::Admitted(permit) = black_box(&breaker).admit(now) {
            permit.sample(&breaker, now, CallOutcome::Success, Duration::from_millis(1));
        }
    }
}

/// A request pays into the budget of its retries.
fn budget(iterations: u32) {
    let budget = Budget::new(&BudgetPolicy::default());
    for number in 0..u64::from(iterations) {
        black_box(&budget).deposit(Now::from_nanos(number * 1000));
    }
}

const REQUEST: &[u8] = b"GET /cart/items?page=2 HTTP/1.1\r\nHost: shop.internal:8080\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n\
Content-Type: text/plain\r\nContent-Length: 22\r\nConnection: keep-alive\r\n\r\n";
