// SPDX-License-Identifier: Apache-2.0
//! The switches of the kernel side: the slots of the array `CFG`, and the globals that are fixed at load.

/// A slot of the map `CFG`, each a `u64`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Monotonic time in ns of the proxy's last heartbeat; 0 before the first.
    HeartbeatNs = 0,
    /// Age in ns beyond which the heartbeat is stale and connections pass by.
    StaleAfterNs = 1,
    /// Bits: [`INTERCEPT_LOOPBACK`].
    Flags = 2,
    /// How many redirected connections may be open before further ones pass by; below the size of the map `FLOW`.
    FlowLimit = 3,
    /// Process id of the proxy in the initial pid namespace, whose connects pass by; 0 while it is not known.
    ProxyPid = 4,
}

impl Setting {
    /// How many slots `CFG` has.
    pub const COUNT: u32 = 5;
}

/// Bit of [`Setting::Flags`]: loopback destinations are intercepted like any other.
pub const INTERCEPT_LOOPBACK: u64 = 1;

/// Name of the `.rodata` global (u8) that tells whether the kernel has `bpf_set_retval` for connect hooks (≥ 6.1).
pub const HAS_RETVAL: &str = "HAS_RETVAL";

/// Name of the `.rodata` global (u8) that tells whether connect hooks may ask for the caller's name; newer kernels
/// allow it only to loaders with `CAP_PERFMON`.
pub const HAS_COMM: &str = "HAS_COMM";

/// The state of the proxy's heartbeat, as read from `CFG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Monotonic time in ns of the last beat; 0 before the first.
    pub last_ns: u64,
    /// Age in ns beyond which it is stale.
    pub stale_after_ns: u64,
}

impl Heartbeat {
    /// Whether the proxy must be taken for dead or stuck at `now_ns`.
    ///
    /// No beat yet is stale, also on a machine that has just started. A beat that arrives between the reading of the clock and of the map lies in the future: that is fresh.
    #[inline(always)]
    pub const fn is_stale(&self, now_ns: u64) -> bool {
        self.last_ns == 0 || now_ns.saturating_sub(self.last_ns) > self.stale_after_ns
    }
}
