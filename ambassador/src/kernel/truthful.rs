// SPDX-License-Identifier: Apache-2.0
//! The maps behind connections that wait for their destination: verdicts, and who need not wait.

use std::{
    net::SocketAddr,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ambassador_ebpf::{
    known::Known,
    listener::Listener,
    tuple::Tuple,
    verdict::{Ticket, place_of},
};
use ipnet::IpNet;

use super::{
    KernelError, KernelMaps,
    clock::monotonic_ns,
    event::{FlowKey, endpoint},
    filter,
    targets::key,
};

impl KernelMaps {
    /// Lets the SYN of a held connection in, when it comes next; whether the client is still there to send it, and it
    /// is worth sending for it.
    ///
    /// `ticket` is that of the event, so a verdict that comes late cannot meet another connection of the same addresses,
    /// nor of the same socket. It is forgotten when the client closes.
    pub fn admit(&self, flow: &FlowKey, ticket: Ticket) -> Result<bool, KernelError> {
        self.verdicts.set(&ticket.word(), &1)?;
        // In this order; the kernel side removes the flow first and the verdict after it.
        let waits = self.is_open(flow, ticket);
        if !matches!(waits, Ok(true)) {
            self.verdicts.remove(&ticket.word())?;
        }
        waits
    }

    /// The same without a system call, for a SYN that is sent at once. `false` if it has to be [`admit`](Self::admit),
    /// because another connection's verdict is in the way.
    ///
    /// Whether the client is still there is not known. Whoever accepts the connection, or is told that it has closed,
    /// calls [`withdraw`](Self::withdraw).
    pub fn admit_at_once(&self, ticket: Ticket) -> bool {
        let verdict = ticket.word();
        let written = self
            .place(verdict)
            .map(|word| word.compare_exchange(NOBODY, verdict, Ordering::SeqCst, Ordering::Relaxed));
        matches!(written, Some(Ok(_))) || matches!(written, Some(Err(owner)) if owner == verdict)
    }

    /// Takes back [`admit_at_once`](Self::admit_at_once), if it is still there: the connection was accepted, or has
    /// closed. No system call.
    pub fn withdraw(&self, ticket: Ticket) {
        self.take_back(ticket.word());
    }

    /// Takes back what [`admit_at_once`](Self::admit_at_once) has left for longer than the time between two calls, of
    /// whose end nobody told. `seen` is what the call before has left there.
    pub fn sweep_verdicts(&self, seen: &mut Vec<u64>) {
        for verdict in seen.drain(..) {
            self.take_back(verdict);
        }
        let written = self.verdict_words.all().iter().map(|word| word.load(Ordering::Relaxed));
        seen.extend(written.filter(|owner| *owner != NOBODY));
    }

    /// Takes back whatever has let a connection in, while it has not come in yet: what its client repeats from here on is
    /// held again.
    pub fn revoke(&self, ticket: Ticket) -> Result<(), KernelError> {
        self.withdraw(ticket);
        self.verdicts.remove(&ticket.word()).map(drop)
    }

    fn take_back(&self, verdict: u64) {
        if let Some(word) = self.place(verdict) {
            // It fails if there is nothing to take back.
            let _ = word.compare_exchange(verdict, NOBODY, Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    fn place(&self, verdict: u64) -> Option<&AtomicU64> {
        self.verdict_words.word(place_of(verdict))
    }

    /// Whether a redirected connection is still wanted: waiting, or established and not closed.
    pub fn is_open(&self, flow: &FlowKey, ticket: Ticket) -> Result<bool, KernelError> {
        Ok(self.flows.get(&Tuple::from(flow))?.is_some_and(|entry| entry.ticket() == ticket))
    }

    /// Lets connections from a namespace to `destination` in at once for a while: it has just accepted one. No system
    /// call. It may be forgotten earlier, as when very many others are noted.
    pub fn mark_good(&self, netns_cookie: u64, destination: SocketAddr, ttl: Duration) {
        let until_ns = monotonic_ns().saturating_add(nanoseconds(ttl));
        self.good.set(&Known::new(netns_cookie, &endpoint(destination)), until_ns);
    }

    /// Whether [`mark_good`](Self::mark_good) will hold for so long.
    pub fn is_good_for(&self, netns_cookie: u64, destination: SocketAddr, ttl: Duration) -> bool {
        let until_ns = self.good.until_ns(&Known::new(netns_cookie, &endpoint(destination)));
        until_ns > monotonic_ns().saturating_add(nanoseconds(ttl))
    }

    /// Takes back [`mark_good`](Self::mark_good): it has just failed.
    pub fn forget_good(&self, netns_cookie: u64, destination: SocketAddr) {
        self.good.forget(&Known::new(netns_cookie, &endpoint(destination)));
    }

    /// Never holds connections to a network, on one port or on all.
    pub fn set_eager(&self, net: IpNet, port: Option<u16>) -> Result<(), KernelError> {
        self.eager.set(&key(net, port), &1)
    }

    /// Takes back [`set_eager`](Self::set_eager) for exactly this network and port.
    pub fn clear_eager(&self, net: IpNet, port: Option<u16>) -> Result<(), KernelError> {
        self.eager.remove(&key(net, port)).map(drop)
    }

    /// How many redirected connections are open, as `connect()` counts them; it may be off by a few.
    pub fn open_flows(&self) -> Result<u64, KernelError> {
        let open = self.open.get(&0)?.unwrap_or(0);
        Ok(u64::try_from(open.cast_signed()).unwrap_or(0))
    }

    /// How many verdicts there are, `limit` of them in the map at most. A scan: not for the request path.
    pub fn pending_verdicts(&self, limit: u32) -> Result<u32, KernelError> {
        let written = |word: &&AtomicU64| word.load(Ordering::Relaxed) != NOBODY;
        let words = self.verdict_words.all().iter().filter(written).count();
        Ok(self.verdicts.count_up_to(limit)? + u32::try_from(words).unwrap_or(u32::MAX))
    }

    /// Tells the filter which namespace a listener belongs to and where to tell of its SYNs, before it is put on it.
    pub(super) fn register_listener(
        &self,
        listener: BorrowedFd<'_>,
        netns_cookie: u64,
        ring: u32,
    ) -> Result<(), KernelError> {
        let cookie = filter::cookie(listener).map_err(KernelError::AttachFilter)?;
        self.listeners.set(&cookie, &Listener { netns_cookie, ring, padding: [0; 4] })
    }

    /// Forgets the listeners of a namespace. A scan, whose end the limit makes sure of while others come and go.
    pub(super) fn forget_listeners(&self, netns_cookie: u64) -> Result<(), KernelError> {
        for cookie in self.listeners.keys_up_to(MAX_LISTENERS)? {
            if self.listeners.get(&cookie)?.is_some_and(|listener| listener.netns_cookie == netns_cookie) {
                self.listeners.remove(&cookie)?;
            }
        }
        Ok(())
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a word of verdicts is that has none.
const NOBODY: u64 = 0;
/// The size of the map `LISTENER`.
const MAX_LISTENERS: u32 = 65_536;
