// SPDX-License-Identifier: Apache-2.0
//! [`Kernel`]: what keeps interception alive, and the order in which it is armed.
//!
//! The hooks of `connect()` come last, so that nothing is redirected half-armed: first the proxy's side, then the
//! listeners and their registration, then the program's side, a heartbeat, and [`Kernel::arm`].

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use ambassador_ebpf::{flow::MAX_FLOWS, settings::INTERCEPT_LOOPBACK};

use super::{
    KernelError, KernelLog, KernelMaps, SynEvents, filter,
    load::{self, Programs},
    syscall,
};

/// How the kernel side is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether the kernel programs write a debug line per connect; see [`Kernel::take_log`]. Needs `CAP_PERFMON`,
    /// without which it is left out with a warning.
    pub debug_log: bool,
    /// Whether connections to loopback are intercepted like any other.
    pub intercept_loopback: bool,
    /// The age of the heartbeat beyond which connections pass by.
    pub stale_after: Duration,
    /// Whether the filter that holds SYNs is loaded too; see [`Kernel::truthful_available`].
    pub truthful: bool,
    /// In how many rings the kernel side tells of held connections, 1 to [`MAX_RINGS`](super::MAX_RINGS): one for each
    /// thread that reads.
    pub rings: u32,
    /// How many redirected connections can be open at once, 1 to 65 536; further ones pass by.
    pub max_flows: u32,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            debug_log: false,
            intercept_loopback: false,
            stale_after: Duration::from_millis(500),
            truthful: false,
            rings: 1,
            max_flows: MAX_FLOWS - FLOW_HEADROOM,
        }
    }
}

/// The loaded programs and their attachments, never pinned: dropping it, or dying, detaches everything.
pub struct Kernel {
    links: Vec<OwnedFd>,
    programs: Programs,
    maps: Arc<KernelMaps>,
    log: Option<KernelLog>,
    filter: Result<OwnedFd, KernelError>,
    events: Vec<SynEvents>,
}

impl Kernel {
    /// Loads the programs and maps, attached to nothing. Needs `CAP_BPF` and `CAP_NET_ADMIN`, Linux 5.15 (6.1 for the
    /// errno of refusals and for dropping capabilities later). With `CAP_PERFMON` the kernel tells each caller's
    /// name.
    pub fn load(options: &LoadOptions) -> Result<Self, KernelError> {
        let loaded = load::load(options)?;
        let flags = if options.intercept_loopback { INTERCEPT_LOOPBACK } else { 0 };
        let flow_limit = options.max_flows.min(MAX_FLOWS - FLOW_HEADROOM);
        loaded.maps.configure(options.stale_after, flags, flow_limit)?;
        Ok(Self {
            links: Vec::new(),
            programs: loaded.programs,
            maps: Arc::new(loaded.maps),
            log: loaded.log,
            filter: loaded.filter,
            events: loaded.events,
        })
    }

    /// Whether listeners can hold SYNs, or why not: then everything else works, and connections are let in at once.
    pub fn truthful_available(&self) -> Result<(), &KernelError> {
        self.filter.as_ref().map(drop)
    }

    /// Lets a listener of the namespace with this cookie hold SYNs, and tell of them in the ring of this number. When
    /// every listener of a landing does, it is registered as [`Landing::truthful`](super::Landing::truthful), and not
    /// before: from then on connections that user space does not answer wait. The filter dies with the listener.
    pub fn attach_listener_filter(
        &self,
        listener: BorrowedFd<'_>,
        netns_cookie: u64,
        ring: u32,
    ) -> Result<(), KernelError> {
        let Ok(program) = &self.filter else { return Err(KernelError::NoFilter) };
        self.maps.register_listener(listener, netns_cookie, ring)?;
        filter::attach(listener, program.as_fd()).map_err(KernelError::AttachFilter)
    }

    /// The events of connections that wait, ring by ring, once; none if the filter was not asked for at load.
    pub fn take_events(&mut self) -> Vec<SynEvents> {
        std::mem::take(&mut self.events)
    }

    /// Step 1: on the proxy's own cgroup. Listeners made by processes of that cgroup *afterwards* deliver origins.
    pub fn attach_proxy_side(&mut self, proxy_cgroup: BorrowedFd<'_>) -> Result<(), KernelError> {
        let link = attach("so_passive", &self.programs.so_passive, proxy_cgroup, BPF_CGROUP_SOCK_OPS)?;
        self.links.push(link);
        Ok(())
    }

    /// Step 2: on an intercepted cgroup, all but the hooks of `connect()`. It changes nothing yet.
    pub fn attach_program_side(&mut self, cgroup: BorrowedFd<'_>) -> Result<(), KernelError> {
        let programs = &self.programs;
        let attachments = [
            attach("so_main", &programs.so_main, cgroup, BPF_CGROUP_SOCK_OPS)?,
            attach("getpeername4", &programs.getpeername4, cgroup, BPF_CGROUP_INET4_GETPEERNAME)?,
            attach("getpeername6", &programs.getpeername6, cgroup, BPF_CGROUP_INET6_GETPEERNAME)?,
            attach("getsockname4", &programs.getsockname4, cgroup, BPF_CGROUP_INET4_GETSOCKNAME)?,
            attach("getsockname6", &programs.getsockname6, cgroup, BPF_CGROUP_INET6_GETSOCKNAME)?,
        ];
        self.links.extend(attachments);
        Ok(())
    }

    /// Step 3: the hooks of `connect()`. From here on connections of the cgroup are intercepted, so the heartbeat must
    /// be fresh and the listeners registered.
    pub fn arm(&mut self, cgroup: BorrowedFd<'_>) -> Result<(), KernelError> {
        if !self.maps.is_beating()? {
            return Err(KernelError::NoHeartbeat);
        }
        let attachments = [
            attach("connect4", &self.programs.connect4, cgroup, BPF_CGROUP_INET4_CONNECT)?,
            attach("connect6", &self.programs.connect6, cgroup, BPF_CGROUP_INET6_CONNECT)?,
        ];
        self.links.extend(attachments);
        Ok(())
    }

    /// The maps, for whoever serves connections.
    pub fn maps(&self) -> Arc<KernelMaps> {
        Arc::clone(&self.maps)
    }

    /// The log of the kernel programs, once, if it was asked for at load.
    pub fn take_log(&mut self) -> Option<KernelLog> {
        self.log.take()
    }

    /// Detaches everything: the hooks of `connect()` first, so that no connection is redirected into the void.
    pub fn detach(self) {
        drop(self);
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        while let Some(link) = self.links.pop() {
            drop(link);
        }
    }
}

fn attach(
    program: &'static str,
    fd: &OwnedFd,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
) -> Result<OwnedFd, KernelError> {
    syscall::link(fd.as_fd(), cgroup, attach_type).map_err(|source| KernelError::Attach { program, source })
}

/// Entries of the flow table beyond its limit: room for connects that are decided at the same moment.
const FLOW_HEADROOM: u32 = 1024;
/// `enum bpf_attach_type` of `<linux/bpf.h>`.
const BPF_CGROUP_SOCK_OPS: u32 = 3;
const BPF_CGROUP_INET4_CONNECT: u32 = 10;
const BPF_CGROUP_INET6_CONNECT: u32 = 11;
const BPF_CGROUP_INET4_GETPEERNAME: u32 = 29;
const BPF_CGROUP_INET6_GETPEERNAME: u32 = 30;
const BPF_CGROUP_INET4_GETSOCKNAME: u32 = 31;
const BPF_CGROUP_INET6_GETSOCKNAME: u32 = 32;
