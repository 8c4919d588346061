// SPDX-License-Identifier: Apache-2.0
//! Relays bytes between the two sockets of a flow, untouched.
//!
//! What either side does is done to the other: a half-close becomes a half-close, a reset a reset, a slow reader
//! slows the writer down. A relay never turns a reset into an orderly end, and never drops bytes that one side sent
//! before the other went away.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, sleep_until},
};

use direction::{Broken, Direction};
use watch::Unwatched;

use super::presence::Presence;

pub use watch::Watch;

mod direction;
mod watch;

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// Both sides closed in order.
    Closed,
    /// The program reset its connection; the upstream was reset too.
    ClientReset,
    /// The program closed its connection when all that it had sent had gone on, and its server does not end.
    ClientLeft,
    /// The upstream reset its connection; the program was reset too.
    UpstreamReset,
    /// Nothing moved for the idle timeout; both sides were reset.
    Idle,
}

/// What a relay carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes from the program to the upstream.
    pub sent: u64,
    /// Bytes from the upstream to the program.
    pub received: u64,
    /// How it ended.
    pub end: RelayEnd,
}

/// Relays between `client` and `upstream` until both directions have ended.
///
/// `from_client` and `from_upstream` are bytes that were read earlier and go first. With `idle`, a flow on which no
/// byte moves for that long is reset on both sides. `presence` tells a program that has left from one that reads on.
pub async fn relay(
    client: TcpStream,
    upstream: TcpStream,
    from_client: Bytes,
    from_upstream: Bytes,
    idle: Option<Duration>,
    presence: &Presence,
) -> Relayed {
    relay_watched(client, upstream, from_client, from_upstream, idle, presence, &mut Unwatched).await
}

/// The same, while `watch` reads along. It is not told of what was read earlier.
pub async fn relay_watched(
    client: TcpStream,
    upstream: TcpStream,
    from_client: Bytes,
    from_upstream: Bytes,
    idle: Option<Duration>,
    presence: &Presence,
    watch: &mut impl Watch,
) -> Relayed {
    let mut up = Direction::new(from_client);
    let mut down = Direction::new(from_upstream);
    let unfinished = [&client, &upstream].map(ResetUnlessDone::new);
    let sides =
        Sides { client: &client, upstream: &upstream, presence, client_gone: None, upstream_reset: None };
    let end = relay_until_idle(sides, &mut up, &mut down, idle, watch).await.unwrap_or(RelayEnd::Idle);
    if matches!(end, RelayEnd::Closed | RelayEnd::ClientLeft) {
        unfinished.into_iter().for_each(ResetUnlessDone::done);
    }
    Relayed { sent: up.moved, received: down.moved, end }
}

/// Makes closing `stream` send RST instead of FIN, so that its peer learns of a failure.
pub fn reset_on_close(stream: &TcpStream) {
    // It fails only on a socket that is gone already, which is what it would bring about.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Makes a side end by a reset, also where its flow is dropped in the middle: by the end of the process, or a panic.
pub struct ResetUnlessDone<'s>(Option<&'s TcpStream>);

impl<'s> ResetUnlessDone<'s> {
    /// Until [`done`](Self::done), for `side`.
    pub fn new(side: &'s TcpStream) -> Self {
        Self(Some(side))
    }

    /// It may end in order.
    pub fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for ResetUnlessDone<'_> {
    fn drop(&mut self) {
        self.0.into_iter().for_each(reset_on_close);
    }
}

/// Both ends of a relay.
struct Sides<'s> {
    client: &'s TcpStream,
    upstream: &'s TcpStream,
    presence: &'s Presence,
    client_gone: Option<AfterEnd<'s>>,
    upstream_reset: Option<AfterEnd<'s>>,
}

/// Waits for what becomes of a side that has ended its half: nothing is read from it any more that would tell.
type AfterEnd<'s> = BoxFuture<'s, RelayEnd>;

impl Sides<'_> {
    fn poll_client_gone(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let (client, presence) = (self.client, self.presence);
        let gone = self.client_gone.get_or_insert_with(|| {
            presence.set_half_closed();
            Box::pin(client_gone(client, presence))
        });
        gone.as_mut().poll(cx)
    }

    fn poll_upstream_reset(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let upstream = self.upstream;
        let reset = self.upstream_reset.get_or_insert_with(|| Box::pin(upstream_reset(upstream)));
        reset.as_mut().poll(cx)
    }
}

async fn client_gone(client: &TcpStream, presence: &Presence) -> RelayEnd {
    tokio::select! {
        biased;
        _ = client.ready(Interest::ERROR) => RelayEnd::ClientReset,
        () = presence.left() => RelayEnd::ClientLeft,
    }
}

async fn upstream_reset(upstream: &TcpStream) -> RelayEnd {
    // Readiness that cannot be told is as good as an error.
    let _ = upstream.ready(Interest::ERROR).await;
    RelayEnd::UpstreamReset
}

/// How the relay ends whose directions have ended so.
fn end_of(up: Result<(), Broken>, down: Result<(), Broken>) -> RelayEnd {
    match (up, down) {
        (Ok(()), Ok(())) => RelayEnd::Closed,
        (Err(Broken::Source), _) | (_, Err(Broken::Destination)) => RelayEnd::ClientReset,
        (Err(Broken::Destination), _) | (_, Err(Broken::Source)) => RelayEnd::UpstreamReset,
    }
}

/// How both directions have ended; `Poll::Pending` while one may still move.
fn poll_both(
    cx: &mut Context<'_>,
    sides: &mut Sides<'_>,
    up: &mut Direction,
    down: &mut Direction,
    watch: &mut impl Watch,
) -> Poll<RelayEnd> {
    let sent = up.poll(cx, sides.client, sides.upstream, down.state, |bytes| watch.client_sent(bytes));
    let received = down.poll(cx, sides.upstream, sides.client, up.state, |bytes| watch.upstream_sent(bytes));
    match (sent, received) {
        (Poll::Ready(up), Poll::Ready(down)) => Poll::Ready(end_of(up, down)),
        (Poll::Ready(Ok(())), Poll::Pending) => sides.poll_client_gone(cx),
        (Poll::Pending, Poll::Ready(Ok(()))) => sides.poll_upstream_reset(cx),
        // A source that was reset ends the flow at once: the other side must learn it now.
        (Poll::Ready(Err(Broken::Source)), Poll::Pending) => Poll::Ready(RelayEnd::ClientReset),
        (Poll::Pending, Poll::Ready(Err(Broken::Source))) => Poll::Ready(RelayEnd::UpstreamReset),
        // Of a program that was reset, the upstream takes no more at present: perhaps never, since nobody takes what it
        // says.
        (Poll::Pending, Poll::Ready(Err(Broken::Destination))) if up.is_held_up() => {
            Poll::Ready(RelayEnd::ClientReset)
        }
        // A destination that was reset may have sent bytes before: the opposite direction drains them first.
        _ => Poll::Pending,
    }
}

/// Runs both directions until they end, or `None` when no byte was written either way for `idle`.
async fn relay_until_idle(
    mut sides: Sides<'_>,
    up: &mut Direction,
    down: &mut Direction,
    idle: Option<Duration>,
    watch: &mut impl Watch,
) -> Option<RelayEnd> {
    let Some(limit) = idle else {
        return Some(poll_fn(|cx| poll_both(cx, &mut sides, up, down, watch)).await);
    };
    let mut moved_at = Instant::now();
    let mut timer = pin!(sleep_until(moved_at + limit));
    poll_fn(|cx| {
        let before = up.moved + down.moved;
        if let Poll::Ready(end) = poll_both(cx, &mut sides, up, down, watch) {
            return Poll::Ready(Some(end));
        }
        if up.moved + down.moved != before {
            moved_at = Instant::now();
        }
        while timer.as_mut().poll(cx).is_ready() {
            if moved_at + limit <= Instant::now() {
                return Poll::Ready(None);
            }
            timer.as_mut().reset(moved_at + limit);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
