// SPDX-License-Identifier: Apache-2.0
//! What happens to a `connect()`: the only decision of the kernel side.
//!
//! It is a pure function over [`Facts`]. The facts are asked for one by one, and only until the answer is known,
//! because each of them costs the kernel a helper call or a map lookup on every connect of the machine. The kernel
//! programs answer them from their context; tests answer them from a table.

use crate::{
    admission::{Admission, admission},
    counter::Counter,
    landing::{Endpoint, Landing},
    refusal::Refusal,
    settings::Heartbeat,
};

/// What [`decide`] may ask about one `connect()`. Every answer is free of side effects.
pub trait Facts {
    /// Whether the socket speaks TCP (MPTCP subflows do).
    fn is_tcp(&self) -> bool;
    /// Where the program wants to go.
    fn destination(&self) -> Endpoint;
    /// Whether loopback destinations are intercepted like any other.
    fn intercepts_loopback(&self) -> bool;
    /// Whether the proxy makes it, for itself.
    fn is_marked(&self) -> bool;
    /// Whether the configuration excludes the destination.
    fn is_excluded(&self) -> bool;
    /// The entry of the refuse list that names the destination best, in force or not.
    fn refusal(&self) -> Option<Refusal>;
    /// Monotonic time in ns.
    fn now_ns(&self) -> u64;
    /// The proxy's heartbeat.
    fn heartbeat(&self) -> Heartbeat;
    /// The interface index that the socket is bound to; 0 is none, 1 is loopback.
    fn bound_interface(&self) -> u32;
    /// Whether a program has bound the socket to an address of loopback.
    fn is_bound_to_loopback(&self) -> bool;
    /// The listeners of the socket's network namespace.
    fn landing(&self) -> Option<&Landing>;
    /// Whether another redirected connection can be kept track of.
    fn has_room(&self) -> bool;
    /// Whether the configuration lets connections to the destination in before it has answered.
    fn is_eager(&self) -> bool;
    /// Until when (monotonic, ns) the destination is known to accept; 0 when it is not known.
    fn good_until_ns(&self) -> u64;
}

/// What to do with a `connect()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leave it alone.
    Pass(Reason),
    /// Fail it with this errno.
    Refuse(u16),
    /// Send it to a listener.
    Redirect {
        /// Which one.
        listener: Endpoint,
        /// What the listener does with its SYN.
        admission: Admission,
    },
}

/// Why a `connect()` is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not TCP.
    Protocol,
    /// It dials a listener of an ambassador.
    Listener,
    /// It dials loopback, or from there, from where nothing else is reached.
    Loopback,
    /// The proxy made it.
    Marked,
    /// The configuration excludes it.
    Excluded,
    /// The proxy's heartbeat is stale.
    Stale,
    /// The socket is bound to an interface, from which loopback cannot be reached, or is so by what it dials.
    BoundInterface,
    /// The network namespace has no listener for the family.
    Namespace,
    /// Too many redirected connections are open.
    TableFull,
}

/// Decides about one `connect()`.
///
/// The refuse list comes before the passing by of a stale heartbeat, so that a denial survives a stuck proxy if it is
/// meant to, and `onProxyDown: refuse` begins with it; the exclusions come before the refuse list, because ambassador has no say over what it is
/// told to leave alone.
#[inline(always)]
pub fn decide(facts: &impl Facts) -> Verdict {
    if !facts.is_tcp() {
        return Verdict::Pass(Reason::Protocol);
    }
    let destination = facts.destination();
    if destination.address.is_listener() {
        return Verdict::Pass(Reason::Listener);
    }
    if destination.address.is_loopback() && !facts.intercepts_loopback() {
        return Verdict::Pass(Reason::Loopback);
    }
    if facts.is_marked() {
        return Verdict::Pass(Reason::Marked);
    }
    if facts.is_excluded() {
        return Verdict::Pass(Reason::Excluded);
    }
    let now_ns = facts.now_ns();
    let stale = facts.heartbeat().is_stale(now_ns);
    if let Some(refusal) = facts.refusal()
        && refusal.holds(now_ns, stale)
    {
        return Verdict::Refuse(refusal.errno);
    }
    if stale {
        return Verdict::Pass(Reason::Stale);
    }
    // An address of one link binds the socket to the interface of its scope, which the hooks are not told.
    if facts.bound_interface() > LOOPBACK_INTERFACE || destination.address.is_link_local_v6() {
        return Verdict::Pass(Reason::BoundInterface);
    }
    if facts.is_bound_to_loopback() && !destination.address.is_loopback() {
        return Verdict::Pass(Reason::Loopback);
    }
    let Some(landing) = facts.landing() else {
        return Verdict::Pass(Reason::Namespace);
    };
    if landing.is_listener(&destination) {
        return Verdict::Pass(Reason::Listener);
    }
    let Some(listener) = landing.listener_for(&destination) else {
        return Verdict::Pass(Reason::Namespace);
    };
    // Without an entry its SYN would be dropped, or its destination unknown to the proxy.
    if !facts.has_room() {
        return Verdict::Pass(Reason::TableFull);
    }
    Verdict::Redirect { listener, admission: admission(facts, landing, now_ns) }
}

impl Verdict {
    /// The counter that a verdict is counted under.
    #[inline(always)]
    pub const fn counter(&self) -> Counter {
        match self {
            Self::Redirect { .. } => Counter::Redirected,
            Self::Refuse(_) => Counter::Refused,
            Self::Pass(Reason::Protocol) => Counter::PassedProtocol,
            Self::Pass(Reason::Listener) => Counter::PassedListener,
            Self::Pass(Reason::Loopback) => Counter::PassedLoopback,
            Self::Pass(Reason::Marked) => Counter::PassedMarked,
            Self::Pass(Reason::Excluded) => Counter::PassedExcluded,
            Self::Pass(Reason::Stale) => Counter::PassedStale,
            Self::Pass(Reason::BoundInterface) => Counter::PassedBoundInterface,
            Self::Pass(Reason::Namespace) => Counter::PassedNamespace,
            Self::Pass(Reason::TableFull) => Counter::PassedTableFull,
        }
    }
}

/// The index of `lo` in every network namespace.
const LOOPBACK_INTERFACE: u32 = 1;
