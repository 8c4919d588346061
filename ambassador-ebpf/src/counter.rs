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
    /// Passed: loopback destination.
    PassedLoopback = 4,
    /// Passed: the socket is marked as the proxy's own.
    PassedMarked = 5,
    /// Passed: excluded by configuration.
    PassedExcluded = 6,
    /// Passed: the proxy's heartbeat is stale.
    PassedStale = 7,
    /// Passed: the socket is bound to a network interface.
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
}

impl Counter {
    /// Every counter, in the order of the slots.
    pub const ALL: [Self; 15] = [
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
        }
    }
}
