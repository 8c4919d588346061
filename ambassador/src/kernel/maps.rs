// SPDX-License-Identifier: Apache-2.0
//! The maps of the kernel side, in words of the proxy.
//!
//! Every method is one system call on open file descriptors (a few for a scan or a sum), safe from any thread, and
//! on kernels from 6.1 on needs no capability: privileges can be dropped once the programs are attached.

use std::{
    net::IpAddr,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ambassador_ebpf::{
    address::Address,
    counter::Counter,
    flow::{Flow, MAX_FLOWS},
    known::Known,
    landing::Landing,
    listener::{Listener, MAX_RINGS},
    mark::{BYPASSED, PROBE},
    refusal::Refusal,
    settings::{Heartbeat, Setting},
    target::TargetKey,
    tuple::Tuple,
    verdict::VERDICT_WORDS,
};

use super::{
    KernelError,
    clock::monotonic_ns,
    good::Good,
    origin::Origin,
    table::{PerCpuCounters, Table},
    words::Words,
};

/// The maps, opened. Shared between workers as `Arc<KernelMaps>`.
#[derive(Debug)]
pub struct KernelMaps {
    accepted: Table<i32, Flow>,
    bypass: Table<i32, u64>,
    pub(super) flows: Table<Tuple, Flow>,
    pub(super) open: Table<u32, u64>,
    pub(super) verdicts: Table<u64, u32>,
    pub(super) verdict_words: Words,
    awake: Arc<Words>,
    /// The kernel side knows this process by its id.
    recognised: AtomicBool,
    pub(super) listeners: Table<u64, Listener>,
    rings: Table<u32, i32>,
    pub(super) good: Good,
    sources: Table<Known, Address>,
    pub(super) eager: Table<TargetKey, u32>,
    namespaces: Table<u64, Landing>,
    pub(super) deny: Table<TargetKey, Refusal>,
    pub(super) exclude: Table<TargetKey, u32>,
    settings: Table<u32, u64>,
    counters: PerCpuCounters,
}

impl KernelMaps {
    pub(super) fn open(
        mut map: impl FnMut(&'static str) -> Result<OwnedFd, KernelError>,
    ) -> Result<Self, KernelError> {
        let cpus = aya::util::nr_cpus().map_err(|(path, source)| KernelError::Cpus { path, source })?;
        Ok(Self {
            accepted: Table::new("ACC_SK", map("ACC_SK")?),
            bypass: Table::new("BYPASS_SK", map("BYPASS_SK")?),
            flows: Table::new("FLOW", map("FLOW")?),
            open: Table::new("OPEN", map("OPEN")?),
            verdicts: Table::new("VERDICT", map("VERDICT")?),
            verdict_words: Words::map("VERDICT_WORDS", &map("VERDICT_WORDS")?, VERDICT_WORDS)?,
            awake: Arc::new(Words::map("AWAKE", &map("AWAKE")?, MAX_RINGS)?),
            recognised: AtomicBool::new(false),
            listeners: Table::new("LISTENER", map("LISTENER")?),
            rings: Table::new("EVENTS", map("EVENTS")?),
            good: Good::new(Words::map("GOOD", &map("GOOD")?, Good::WORDS)?),
            sources: Table::new("SOURCE", map("SOURCE")?),
            eager: Table::new("EAGER", map("EAGER")?),
            namespaces: Table::new("NS", map("NS")?),
            deny: Table::new("DENY", map("DENY")?),
            exclude: Table::new("EXCLUDE", map("EXCLUDE")?),
            settings: Table::new("CFG", map("CFG")?),
            counters: PerCpuCounters::new("STATS", map("STATS")?, cpus),
        })
    }

    /// Has the kernel side tell of held connections in `ring`, which replaces that of the same number.
    pub(super) fn set_ring(&self, number: u32, ring: BorrowedFd<'_>) -> Result<(), KernelError> {
        self.rings.set(&number, &ring.as_raw_fd())
    }

    /// Where an accepted connection was meant to go; `None` when the kernel side did not redirect it here.
    pub fn orig_dst(&self, accepted: BorrowedFd<'_>) -> Result<Option<Origin>, KernelError> {
        let flow = self.accepted.get(&accepted.as_raw_fd())?;
        Ok(flow.as_ref().map(Origin::from))
    }

    /// The words in which each reader of a ring says whether it looks into it by itself.
    pub(super) fn awake(&self) -> Arc<Words> {
        Arc::clone(&self.awake)
    }

    /// Marks a socket of the proxy, so that its connect is never intercepted. The mark goes with the socket.
    pub fn mark_bypass(&self, socket: BorrowedFd<'_>) -> Result<(), KernelError> {
        self.bypass.set(&socket.as_raw_fd(), &BYPASSED)
    }

    /// Marks a socket of the self-test, so that its connect is intercepted although the proxy makes it.
    pub fn mark_probe(&self, socket: BorrowedFd<'_>) -> Result<(), KernelError> {
        self.bypass.set(&socket.as_raw_fd(), &PROBE)
    }

    /// Lets the kernel side know this process by its id in the initial pid namespace, as a connect of its own was seen
    /// to have: no connect of it is intercepted from here on, but those of probes. Its sockets need no mark then.
    pub fn recognise(&self, pid: u32) -> Result<(), KernelError> {
        if !self.is_recognised() {
            self.set(Setting::ProxyPid, pid.into())?;
            self.recognised.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Whether it does.
    pub fn is_recognised(&self) -> bool {
        self.recognised.load(Ordering::Acquire)
    }

    /// Lets `getsockname()` of connections from a namespace to `destination` say `source`, as without ambassador.
    pub fn set_source(
        &self,
        netns_cookie: u64,
        destination: IpAddr,
        source: IpAddr,
    ) -> Result<(), KernelError> {
        let key = Known::host(netns_cookie, destination.into());
        self.sources.set(&key, &source.into())
    }

    /// Tells the kernel side that the proxy is alive, now.
    pub fn beat(&self) -> Result<(), KernelError> {
        self.beat_at(monotonic_ns())
    }

    /// Tells the kernel side that the proxy was alive at a time, in ns of [`monotonic_ns`]; 0 stops interception.
    pub fn beat_at(&self, ns: u64) -> Result<(), KernelError> {
        self.set(Setting::HeartbeatNs, ns)
    }

    /// Redirects connections of the network namespace with this cookie to its listeners.
    pub fn register_namespace(&self, cookie: u64, landing: &Landing) -> Result<(), KernelError> {
        self.namespaces.set(&cookie, landing)
    }

    /// Lets connections of a network namespace pass again. Its listeners are to be closed after this.
    pub fn forget_namespace(&self, cookie: u64) -> Result<(), KernelError> {
        if self.namespaces.remove(&cookie)? {
            self.forget_listeners(cookie)?;
        }
        Ok(())
    }

    /// What the kernel side has counted so far.
    pub fn counters(&self) -> Result<Counters, KernelError> {
        let mut values = [0; Counter::ALL.len()];
        for (value, counter) in values.iter_mut().zip(Counter::ALL) {
            *value = self.counters.sum(counter.slot())?;
        }
        Ok(Counters { values })
    }

    /// How many redirected connections are open, as the kernel side sees it. A scan: not for the request path.
    pub fn pending_tuples(&self) -> Result<u32, KernelError> {
        self.flows.count_up_to(MAX_FLOWS)
    }

    pub(super) fn configure(
        &self,
        stale_after: Duration,
        flags: u64,
        flow_limit: u32,
    ) -> Result<(), KernelError> {
        self.set(Setting::FlowLimit, flow_limit.into())?;
        let stale_after_ns = u64::try_from(stale_after.as_nanos()).unwrap_or(u64::MAX);
        self.set(Setting::StaleAfterNs, stale_after_ns)?;
        self.set(Setting::Flags, flags)
    }

    pub(super) fn is_beating(&self) -> Result<bool, KernelError> {
        let heartbeat = Heartbeat {
            last_ns: self.setting(Setting::HeartbeatNs)?,
            stale_after_ns: self.setting(Setting::StaleAfterNs)?,
        };
        Ok(!heartbeat.is_stale(monotonic_ns()))
    }

    fn set(&self, setting: Setting, value: u64) -> Result<(), KernelError> {
        self.settings.set(&(setting as u32), &value)
    }

    fn setting(&self, setting: Setting) -> Result<u64, KernelError> {
        Ok(self.settings.get(&(setting as u32))?.unwrap_or(0))
    }
}

/// A snapshot of the kernel side's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    values: [u64; Counter::ALL.len()],
}

impl Counters {
    /// One counter.
    pub fn of(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    /// Every counter, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.into_iter().zip(self.values)
    }
}
