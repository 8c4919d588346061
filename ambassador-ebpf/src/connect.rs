// SPDX-License-Identifier: Apache-2.0
//! `connect4` and `connect6`: where a connection is decided about and redirected.

use ambassador_ebpf::{
    address::Address,
    admission::Admission,
    counter::Counter,
    decide::{Facts, Reason, Verdict, decide},
    landing::{Endpoint, Landing},
    mark::BYPASSED,
    refusal::Refusal,
    settings::{Heartbeat, INTERCEPT_LOOPBACK, Setting},
};
use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_get_socket_cookie,
        bpf_ktime_get_ns, bpf_set_retval, generated::bpf_get_current_comm,
    },
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use aya_log_ebpf::debug;

use crate::{
    counters::count,
    flows,
    maps::{
        BYPASS_SK, NS, ORIG_SK, good_until_ns, has_comm, has_retval, is_eager, is_excluded, refusal, setting,
    },
    socket::SocketAddress,
    storage,
    variant::{LINES, SILENT},
};

/// Connects of IPv4 sockets.
#[cgroup_sock_addr(connect4)]
fn connect4(ctx: SockAddrContext) -> i32 {
    on_connect4::<SILENT>(&ctx)
}

/// The same, with debug lines.
#[cgroup_sock_addr(connect4)]
fn connect4_debug(ctx: SockAddrContext) -> i32 {
    on_connect4::<LINES>(&ctx)
}

#[inline(always)]
fn on_connect4<const HAS_LINES: bool>(ctx: &SockAddrContext) -> i32 {
    let address = SocketAddress::new(ctx);
    let destination = dialled(address.read_v4());
    let source = address.local_v4().address;
    match intercept::<HAS_LINES>(ctx, &address, source, destination) {
        Outcome::Proceed => PROCEED,
        Outcome::Fail => FAIL,
        Outcome::Redirect(listener) => {
            address.write_v4(&listener);
            PROCEED
        }
    }
}

/// Connects of IPv6 sockets, v4-mapped destinations included: those go to `::ffff:` and an IPv4 listener.
#[cgroup_sock_addr(connect6)]
fn connect6(ctx: SockAddrContext) -> i32 {
    on_connect6::<SILENT>(&ctx)
}

/// The same, with debug lines.
#[cgroup_sock_addr(connect6)]
fn connect6_debug(ctx: SockAddrContext) -> i32 {
    on_connect6::<LINES>(&ctx)
}

#[inline(always)]
fn on_connect6<const HAS_LINES: bool>(ctx: &SockAddrContext) -> i32 {
    let address = SocketAddress::new(ctx);
    let destination = dialled(address.read_v6());
    let source = address.local_v6().address;
    match intercept::<HAS_LINES>(ctx, &address, source, destination) {
        Outcome::Proceed => PROCEED,
        Outcome::Fail => FAIL,
        Outcome::Redirect(listener) => {
            address.write_v6(&listener);
            PROCEED
        }
    }
}

/// What a program means that dials an unspecified address, and what `getpeername()` will say.
#[inline(always)]
fn dialled(named: Endpoint) -> Endpoint {
    Endpoint { address: named.address.dialled(), ..named }
}

enum Outcome {
    Proceed,
    Fail,
    Redirect(Endpoint),
}

/// Asks for the decision and acts on it, but for the rewriting, which depends on the hook.
///
/// Every way out but the redirect forgets the socket's origin: the socket may have been disconnected (`AF_UNSPEC`)
/// and connected anew.
#[inline(always)]
fn intercept<const HAS_LINES: bool>(
    ctx: &SockAddrContext,
    address: &SocketAddress,
    source: Address,
    destination: Endpoint,
) -> Outcome {
    let attempt = Attempt { address, source, destination };
    let verdict = decide(&attempt);
    count(verdict.counter());
    match verdict {
        Verdict::Pass(Reason::Protocol) => Outcome::Proceed,
        Verdict::Pass(_) => {
            forget(address);
            if HAS_LINES {
                debug!(ctx, "pass {:i}:{}", octets(&destination), u16::from_be(destination.port_be));
            }
            Outcome::Proceed
        }
        Verdict::Refuse(errno) => {
            forget(address);
            if HAS_LINES {
                debug!(ctx, "refuse {:i}:{}", octets(&destination), u16::from_be(destination.port_be));
            }
            if has_retval() {
                // The mask shows the verifier that the value is within [-4095, 0].
                let errno = i32::from(errno & 0xff);
                // SAFETY: the helper takes any errno within the range; it exists, as the loader has checked.
                let _ = unsafe { bpf_set_retval(-errno) };
            }
            Outcome::Fail
        }
        Verdict::Redirect { listener, admission } => {
            if remember(address, &destination, admission) {
                if let Some(counter) = admission.counter() {
                    count(counter);
                }
                if HAS_LINES {
                    debug!(ctx, "redirect {:i}:{}", octets(&destination), u16::from_be(destination.port_be));
                }
                return Outcome::Redirect(listener);
            }
            count(Counter::PassedNoStorage);
            Outcome::Proceed
        }
    }
}

/// Keeps the origin with the client socket; false when there is no memory for it.
#[inline(always)]
fn remember(address: &SocketAddress, destination: &Endpoint, admission: Admission) -> bool {
    let slot = storage::get_or_insert(&ORIG_SK, address.socket(), None);
    if slot.is_null() {
        return false;
    }
    // SAFETY: not null, and the socket is locked by the connect that runs this program.
    let flow = unsafe { &mut *slot };
    flow.admission = admission as u8;
    // Of a shortcut only its end is told, in the first ring, should it end before it is established: waking user space
    // for each would cost more than the shortcut saves.
    flow.told = u8::from(admission as u8 == Admission::Shortcut as u8);
    flow.isn = 0;
    flow.has_isn = 0;
    flow.delivered = 0;
    let origin = &mut flow.origin;
    origin.address = destination.address;
    origin.port_be = destination.port_be;
    origin.bound = u8::from(address.has_port());
    origin.netns_cookie = address.netns_cookie();
    origin.pid = pid();
    origin.uid = bpf_get_current_uid_gid() as u32;
    // SAFETY: the helper only reads the context.
    origin.socket_cookie = unsafe { bpf_get_socket_cookie(address.raw()) };
    // SAFETY: the helper only reads the current task.
    origin.cgroup_id = unsafe { bpf_get_current_cgroup_id() };
    if has_comm() {
        // Written in place: a buffer on the stack would be cleared by a call.
        // SAFETY: the buffer is of the size that is given, and the helper clears it when it fails.
        let _ = unsafe { bpf_get_current_comm(origin.comm.as_mut_ptr().cast(), COMM_LEN) };
    }
    true
}

#[inline(always)]
fn forget(address: &SocketAddress) {
    storage::delete(&ORIG_SK, address.socket());
}

/// One `connect()`, answering the questions of the decision from the kernel.
struct Attempt<'a> {
    address: &'a SocketAddress,
    source: Address,
    destination: Endpoint,
}

impl Facts for Attempt<'_> {
    #[inline(always)]
    fn is_tcp(&self) -> bool {
        self.address.protocol() == IPPROTO_TCP
    }

    #[inline(always)]
    fn destination(&self) -> Endpoint {
        self.destination
    }

    #[inline(always)]
    fn intercepts_loopback(&self) -> bool {
        setting(Setting::Flags) & INTERCEPT_LOOPBACK != 0
    }

    #[inline(always)]
    fn is_marked(&self) -> bool {
        let mark = storage::get(&BYPASS_SK, self.address.socket());
        if mark.is_null() {
            // A number that belongs to nobody else for as long as the programs are attached, which ends with the proxy.
            let proxy = setting(Setting::ProxyPid);
            return proxy != 0 && proxy == u64::from(pid());
        }
        // SAFETY: a non-null result points to a value of the map's type, alive as long as the socket.
        unsafe { mark.read() == BYPASSED }
    }

    #[inline(always)]
    fn is_excluded(&self) -> bool {
        is_excluded(&self.destination)
    }

    #[inline(always)]
    fn refusal(&self) -> Option<Refusal> {
        refusal(&self.destination)
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: the helper only reads the clock.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn heartbeat(&self) -> Heartbeat {
        Heartbeat { last_ns: setting(Setting::HeartbeatNs), stale_after_ns: setting(Setting::StaleAfterNs) }
    }

    #[inline(always)]
    fn bound_interface(&self) -> u32 {
        self.address.bound_interface()
    }

    #[inline(always)]
    fn is_bound_to_loopback(&self) -> bool {
        // Probes are, so that they reach nobody else.
        self.source.is_of_loopback() && storage::get(&BYPASS_SK, self.address.socket()).is_null()
    }

    #[inline(always)]
    fn landing(&self) -> Option<&Landing> {
        // SAFETY: an entry is replaced whole by user space; a stale one only names listeners that are closing.
        unsafe { NS.get(self.address.netns_cookie()) }
    }

    #[inline(always)]
    fn has_room(&self) -> bool {
        flows::open() < setting(Setting::FlowLimit)
    }

    #[inline(always)]
    fn is_eager(&self) -> bool {
        is_eager(&self.destination)
    }

    #[inline(always)]
    fn good_until_ns(&self) -> u64 {
        good_until_ns(self.address.netns_cookie(), &self.destination)
    }
}

/// The calling process.
#[inline(always)]
fn pid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// An address as the log formats it.
#[inline(always)]
fn octets(endpoint: &Endpoint) -> [u8; 16] {
    let words = endpoint.address.words_be;
    let mut octets = [0; 16];
    let (chunks, _) = octets.as_chunks_mut::<4>();
    chunks[0] = words[0].to_ne_bytes();
    chunks[1] = words[1].to_ne_bytes();
    chunks[2] = words[2].to_ne_bytes();
    chunks[3] = words[3].to_ne_bytes();
    octets
}

/// The length of `Origin::comm`.
const COMM_LEN: u32 = 16;
/// `IPPROTO_TCP`.
const IPPROTO_TCP: u32 = 6;
/// What a hook returns to let the system call go on.
const PROCEED: i32 = 1;
/// What a hook returns to fail the system call.
const FAIL: i32 = 0;
