// SPDX-License-Identifier: Apache-2.0
//! An entry of the refuse list: destinations that `connect()` fails for, in the kernel, without a packet.
//!
//! Only the entry that names a destination best is asked, so an entry can also be an exception from a wider one.

use crate::plain::Plain;

/// How connections to a destination are refused. Value of the map `DENY`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Monotonic time in ns at which the entry stops to hold by itself; 0 holds for ever.
    pub until_ns: u64,
    /// The errno that the program sees (1 to 255); kernels before 6.1 show EPERM instead. 0 refuses nothing: an
    /// exception.
    pub errno: u16,
    /// [`LAPSES_WHILE_STALE`], [`HOLDS_WHILE_STALE`] or [`HOLDS_ONLY_WHILE_STALE`].
    pub while_stale: u8,
    /// Always 0.
    pub padding: [u8; 5],
}

/// The entry does not hold while the proxy's heartbeat is stale.
pub const LAPSES_WHILE_STALE: u8 = 0;
/// The entry holds whatever the proxy's heartbeat is.
pub const HOLDS_WHILE_STALE: u8 = 1;
/// The entry holds only while the proxy's heartbeat is stale (`onProxyDown: refuse`).
pub const HOLDS_ONLY_WHILE_STALE: u8 = 2;

// SAFETY: repr(C), integers and arrays of integers; the assertion below leaves no room for padding.
unsafe impl Plain for Refusal {}

const _: () = assert!(size_of::<Refusal>() == 8 + 2 + 1 + 5);

impl Refusal {
    /// Whether the entry holds at `now_ns`, given whether the proxy is known to be alive.
    #[inline(always)]
    pub const fn holds(&self, now_ns: u64, heartbeat_is_stale: bool) -> bool {
        let in_time = self.until_ns == 0 || now_ns < self.until_ns;
        let in_state = match self.while_stale {
            HOLDS_ONLY_WHILE_STALE => heartbeat_is_stale,
            LAPSES_WHILE_STALE => !heartbeat_is_stale,
            _ => true,
        };
        self.errno != 0 && in_time && in_state
    }
}
