// SPDX-License-Identifier: Apache-2.0
//! [`Presence`]: whether a program is still at its end of a connection.
//!
//! A program that ends its side and reads on, and one that has closed its socket, send the same FIN. The kernel knows
//! the difference, and a server cannot: so an exchange that nobody waits for is ended here, where without ambassador
//! nothing would be left of it at this end. What the program has sent must have gone on before.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::syn::{FlowKey, dialling::Verdicts};
use crate::kernel::Ticket;

/// What is known of a program's end of a connection beside its bytes.
pub struct Presence {
    key: FlowKey,
    ticket: Ticket,
    /// Whom to ask; `None` where connects are not held, and so nobody can tell.
    verdicts: Option<Arc<dyn Verdicts>>,
    half_closed: AtomicBool,
}

impl Presence {
    /// Of the program whose socket the kernel knows by `key` and `ticket`.
    pub fn new(key: FlowKey, ticket: Ticket, verdicts: Option<Arc<dyn Verdicts>>) -> Self {
        Self { key, ticket, verdicts, half_closed: AtomicBool::new(false) }
    }

    /// The program has sent FIN: it sends no more, but may still read, or be gone altogether.
    pub fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed)
    }

    /// Notes that it has.
    pub fn set_half_closed(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }

    /// Whether the program has closed its socket, rather than only ended its side. Asks the kernel in these two cases.
    pub fn has_left(&self) -> bool {
        let is_open = |verdicts: &Arc<dyn Verdicts>| verdicts.is_open(&self.key, self.ticket);
        self.is_half_closed() && self.verdicts.as_ref().is_some_and(|verdicts| !is_open(verdicts))
    }

    /// Waits until the program, which has ended its side, has closed its socket; for ever where nobody tells.
    ///
    /// It is some time late: the outcome of what a program asks as the last thing, and does not wait for, is worth
    /// knowing where it comes soon.
    pub async fn left(&self) {
        if self.verdicts.is_none() {
            return pending().await;
        }
        let mut pause = SOON;
        loop {
            sleep(pause).await;
            if self.has_left() {
                return;
            }
            pause = (pause * 2).min(LATEST);
        }
    }
}

/// When is asked for the first time.
const SOON: Duration = Duration::from_secs(1);
/// The longest time between two questions.
const LATEST: Duration = Duration::from_secs(8);

/// A program of which nobody tells.
#[cfg(test)]
pub(crate) fn untold() -> Presence {
    let key = FlowKey::new(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into(), 1);
    Presence::new(key, Ticket { socket_cookie: 1, isn: 0 }, None)
}

#[cfg(test)]
mod tests {
    use std::{io, net::SocketAddr};

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::net::syn::dialling::Near;

    /// A program that closes its socket at a time.
    struct ClosesAt(Instant);

    impl Verdicts for ClosesAt {
        fn allow(&self, _: &FlowKey, _: Ticket) -> io::Result<bool> {
            Ok(true)
        }
        fn is_open(&self, _: &FlowKey, _: Ticket) -> bool {
            Instant::now() < self.0
        }
        fn settled(&self, _: Ticket) {}
        fn sweep(&self, _: &mut Vec<u64>) {}
        fn good(&self, _: u64, _: SocketAddr, _: Near<'_>) {}
        fn still_good(&self, _: u64, _: SocketAddr, _: Near<'_>, _: Instant) {}
        fn not_good(&self, _: u64, _: SocketAddr) {}
    }

    fn presence(closes_after: Option<Duration>) -> Presence {
        let verdicts = closes_after.map(|after| Arc::new(ClosesAt(Instant::now() + after)) as _);
        let presence = Presence { verdicts, ..untold() };
        presence.set_half_closed();
        presence
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_closes_is_missed_soon() {
        for (after, noticed) in [(0, 1), (1, 1), (2, 3), (20, 23)] {
            let (presence, begun) = (presence(Some(Duration::from_secs(after))), Instant::now());
            presence.left().await;
            assert_eq!(begun.elapsed().as_secs(), noticed, "closed after {after} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_of_which_nobody_tells_stays() {
        let presence = presence(None);
        assert!(!presence.has_left());
        assert!(timeout(Duration::from_hours(1), presence.left()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_still_sends_has_not_left() {
        let presence = Presence { verdicts: Some(Arc::new(ClosesAt(Instant::now()))), ..untold() };
        assert!(!presence.has_left(), "what it has sent is still read");
    }
}
