// SPDX-License-Identifier: Apache-2.0
//! The maps of rules by destination: what the kernel refuses, and what it leaves alone.

use std::net::IpAddr;

use ambassador_ebpf::{
    address::Address,
    refusal::{HOLDS_ONLY_WHILE_STALE, HOLDS_WHILE_STALE, LAPSES_WHILE_STALE, Refusal},
    target::TargetKey,
};
use ipnet::IpNet;

use super::{KernelError, KernelMaps};

/// How a destination is refused by the kernel; see [`KernelMaps::refuse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefuseRule {
    /// The errno that the program sees, for instance `ECONNREFUSED` (EPERM on kernels before 6.1).
    pub errno: i32,
    /// Monotonic time in ns ([`monotonic_ns`](super::monotonic_ns)) at which the rule lapses by itself; `None` holds
    /// until it is removed.
    pub until_ns: Option<u64>,
    /// Whether the rule holds while the heartbeat is stale.
    pub while_stale: WhileStale,
}

/// What a refusal does while the proxy is known to be stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileStale {
    /// It lapses: the destination is dialled direct, like any other.
    Lapse,
    /// It holds: what is denied stays denied.
    Hold,
    /// It holds then, and only then: what nobody guards is not dialled.
    HoldOnly,
}

impl KernelMaps {
    /// Refuses connections to a network, on one port or on all; replaces the rule for the same network and port.
    /// The longest prefix wins, and a rule with a port before one without.
    pub fn refuse(&self, net: IpNet, port: Option<u16>, rule: RefuseRule) -> Result<(), KernelError> {
        let refusal = Refusal {
            until_ns: rule.until_ns.unwrap_or(0),
            errno: u16::try_from(rule.errno).unwrap_or(0),
            while_stale: match rule.while_stale {
                WhileStale::Lapse => LAPSES_WHILE_STALE,
                WhileStale::Hold => HOLDS_WHILE_STALE,
                WhileStale::HoldOnly => HOLDS_ONLY_WHILE_STALE,
            },
            padding: [0; 5],
        };
        self.deny.set(&key(net, port), &refusal)
    }

    /// Refuses nothing to a network, on one port or on all: an exception from a wider rule of
    /// [`refuse`](Self::refuse).
    pub fn spare(&self, net: IpNet, port: Option<u16>) -> Result<(), KernelError> {
        self.deny.set(&key(net, port), &Refusal::default())
    }

    /// Takes back [`refuse`](Self::refuse) or [`spare`](Self::spare) for exactly this network and port.
    pub fn allow(&self, net: IpNet, port: Option<u16>) -> Result<(), KernelError> {
        self.deny.remove(&key(net, port)).map(drop)
    }

    /// Leaves connections to a network alone, on every port.
    pub fn exclude_net(&self, net: IpNet) -> Result<(), KernelError> {
        self.exclude.set(&key(net, None), &1)
    }

    /// Intercepts connections to a network again that [`exclude_net`](Self::exclude_net) was called with.
    pub fn include_net(&self, net: IpNet) -> Result<(), KernelError> {
        self.exclude.remove(&key(net, None)).map(drop)
    }

    /// Leaves connections to a port alone, whatever the address.
    pub fn exclude_port(&self, port: u16) -> Result<(), KernelError> {
        every_address(port).into_iter().try_for_each(|key| self.exclude.set(&key, &1))
    }

    /// Intercepts connections to a port again that [`exclude_port`](Self::exclude_port) was called with.
    pub fn include_port(&self, port: u16) -> Result<(), KernelError> {
        every_address(port).into_iter().try_for_each(|key| self.exclude.remove(&key).map(drop))
    }
}

/// The key of a rule for a network, on one port or on all.
pub(super) fn key(net: IpNet, port: Option<u16>) -> TargetKey {
    TargetKey::rule(Address::from(net.network()), net.prefix_len(), port)
}

fn every_address(port: u16) -> [TargetKey; 2] {
    [IpAddr::from([0; 4]), IpAddr::from([0; 16])].map(|any| TargetKey::rule(any.into(), 0, Some(port)))
}
