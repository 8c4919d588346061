// SPDX-License-Identifier: Apache-2.0
//! The key of the longest-prefix-match maps: a network, on one port or on all.
//!
//! The family and the port come before the address, so that a rule can name a network *and* a port; a destination is
//! looked up twice, with its port and with [`ANY_PORT`].

use crate::{
    address::{Address, Family},
    landing::Endpoint,
    plain::{Plain, half_word, word},
};

/// The port of a rule that holds on every port.
pub const ANY_PORT: u16 = 0;

/// What a prefix is matched against in the maps `DENY`, `EXCLUDE` and `EAGER`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// 4 or 6; keeps `::/0` from covering the v4-mapped addresses.
    pub family: u16,
    /// The port in network byte order, or [`ANY_PORT`].
    pub port_be: u16,
    /// The address or the network's first address.
    pub address: Address,
}

/// A whole key of an LPM trie, as the kernel lays it out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TargetKey {
    /// How many leading bits of `target` are significant, at most [`TargetKey::BITS`].
    pub prefix_len: u32,
    /// What the bits are.
    pub target: Target,
}

// SAFETY: repr(C), integers and arrays of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Target {}
// SAFETY: as above.
unsafe impl Plain for TargetKey {}

const _: () = assert!(size_of::<Target>() == 2 + 2 + 16);
const _: () = assert!(size_of::<TargetKey>() == 4 + size_of::<Target>());

impl Target {
    /// What a destination is looked up as, among the rules for `port_be` (its own, or [`ANY_PORT`]).
    #[inline(always)]
    pub const fn of(destination: &Endpoint, port_be: u16) -> Self {
        let family = match destination.address.family() {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        Self { family, port_be, address: destination.address }
    }
}

impl TargetKey {
    /// The bits of a full match.
    pub const BITS: u32 = 160;

    /// The key that finds the best rule for a destination, among those for `port_be` (its own, or [`ANY_PORT`]).
    #[inline(always)]
    pub const fn of(destination: &Endpoint, port_be: u16) -> Self {
        Self { prefix_len: Self::BITS, target: Target::of(destination, port_be) }
    }

    /// The key as it lies in memory, in machine words.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 3] {
        let [first, second] = self.target.address.words();
        let head = half_word(self.target.family, self.target.port_be);
        [word(self.prefix_len, head), first, second]
    }

    /// The key of a rule for the network `address`/`prefix_len` (in its own family: at most 32 for IPv4), on `port`
    /// or on every port. Bits beyond the prefix do not matter.
    pub fn rule(address: Address, prefix_len: u8, port: Option<u16>) -> Self {
        let port_be = port.unwrap_or(ANY_PORT).to_be();
        let target = Target::of(&Endpoint { address, port_be }, port_be);
        let before_address = match address.family() {
            Family::V4 => 32 + 96,
            Family::V6 => 32,
        };
        Self { prefix_len: Self::BITS.min(before_address + u32::from(prefix_len)), target }
    }
}
