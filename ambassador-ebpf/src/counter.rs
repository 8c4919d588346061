// SPDX-License-Identifier: Apache-2.0
//! What the kernel side counts: the slots of the per-CPU array `STATS`.

/// A slot of the map `STATS`, each a `u64` per CPU.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Redirected to a listener.
    Redirected = 0,
    /// Refused with an errno.
    Refused = 1,
    /// Passed: not TCP.
    PassedProtocol = 2,
    /// Passed: the destination is a listener of an ambassador.
    PassedListener = 3,
    /// Passed: loopback destination, or a source there.
    PassedLoopback = 4,
    /// Passed: the socket is marked as the proxy's own.
    PassedMarked = 5,
    /// Passed: excluded by configuration.
    PassedExcluded = 6,
    /// Passed: the proxy's heartbeat is stale.
    PassedStale = 7,
    /// Passed: the socket is bound to a network interface, or dials a link-local address of IPv6.
    PassedBoundInterface = 8,
    /// Passed: no listener for this network namespace or family.
    PassedNamespace = 9,
    /// Passed although it should have been redirected: no memory to remember the destination.
    PassedNoStorage = 10,
    /// A redirected connection could not be announced to the accepting side; the proxy resets it.
    TupleFailed = 11,
    /// An accepted connection got its original destination.
    Delivered = 12,
    /// A listener accepted a connection of unknown destination; the proxy resets it.
    DeliveryMissing = 13,
    /// A listener accepted a connection, but there was no memory to attach its destination.
    DeliveryFailed = 14,
    /// Passed although it should have been redirected: too many redirected connections are open.
    PassedTableFull = 15,
    /// A SYN was held and user space told of it.
    SynHeld = 16,
    /// A connection was let in at once because its destination is known to accept.
    SynShortcut = 17,
    /// A connection was let in at once because its destination is configured so.
    SynEager = 18,
    /// The ring buffer was full: user space was not told. A held SYN tells again when the client repeats it.
    EventLost = 19,
    /// A SYN was dropped because it belonged to an earlier connection of the same addresses.
    SynWrongIsn = 20,
    /// A SYN was refused because no connection was known by its addresses: somebody dialled a listener.
    SynNoFlow = 21,
    /// A SYN was let in because its headers could not be read (an IPv6 extension header).
    SynUnreadable = 22,
}

impl Counter {
    /// Every counter, in the order of the slots.
    pub const ALL: [Self; 23] = [
        Self::Redirected,
        Self::Refused,
        Self::PassedProtocol,
        Self::PassedListener,
        Self::PassedLoopback,
        Self::PassedMarked,
        Self::PassedExcluded,
        Self::PassedStale,
        Self::PassedBoundInterface,
        Self::PassedNamespace,
        Self::PassedNoStorage,
        Self::TupleFailed,
        Self::Delivered,
        Self::DeliveryMissing,
        Self::DeliveryFailed,
        Self::PassedTableFull,
        Self::SynHeld,
        Self::SynShortcut,
        Self::SynEager,
        Self::EventLost,
        Self::SynWrongIsn,
        Self::SynNoFlow,
        Self::SynUnreadable,
    ];

    /// The slot of the counter.
    pub const fn slot(self) -> u32 {
        self as u32
    }

    /// The name of the counter in metrics, `snake_case`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::Refused => "refused",
            Self::PassedProtocol => "passed_protocol",
            Self::PassedListener => "passed_listener",
            Self::PassedLoopback => "passed_loopback",
            Self::PassedMarked => "passed_marked",
            Self::PassedExcluded => "passed_excluded",
            Self::PassedStale => "passed_stale",
            Self::PassedBoundInterface => "passed_bound_interface",
            Self::PassedNamespace => "passed_namespace",
            Self::PassedNoStorage => "passed_no_storage",
            Self::TupleFailed => "tuple_failed",
            Self::Delivered => "delivered",
            Self::DeliveryMissing => "delivery_missing",
            Self::DeliveryFailed => "delivery_failed",
            Self::PassedTableFull => "passed_table_full",
            Self::SynHeld => "syn_held",
            Self::SynShortcut => "syn_shortcut",
            Self::SynEager => "syn_eager",
            Self::EventLost => "event_lost",
            Self::SynWrongIsn => "syn_wrong_isn",
            Self::SynNoFlow => "syn_no_flow",
            Self::SynUnreadable => "syn_unreadable",
        }
    }
}
