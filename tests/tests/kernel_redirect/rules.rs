// SPDX-License-Identifier: Apache-2.0
//! What is refused, excluded and marked; and that all of it works without capabilities.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use ambassador::{
    kernel::{
        Kernel, KernelError, KernelMaps, Landing, LoadOptions, OrigDst, RefuseRule, WhileStale, monotonic_ns,
    },
    netns::{Namespace, SocketFactory},
};
use caps::Capability;

use crate::{
    client::{Answer, Client, Manner},
    world::{PATIENCE, SERVER_V4, SERVER_V6, World, accept_within},
};

const REFUSED: RefuseRule =
    RefuseRule { errno: libc::ECONNREFUSED, until_ns: None, while_stale: WhileStale::Lapse };

#[test]
fn refused_destinations_fail_with_the_errno_that_the_rule_names() {
    let world = World::new();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    let unreachable = RefuseRule { errno: libc::EHOSTUNREACH, ..REFUSED };
    let maps = &world.maps;
    maps.refuse("10.9.0.0/16".parse().unwrap(), None, REFUSED).unwrap();
    maps.refuse("10.9.8.0/24".parse().unwrap(), Some(443), unreachable).unwrap();
    maps.refuse("fd09::/64".parse().unwrap(), Some(80), REFUSED).unwrap();
    let lapsed = RefuseRule { until_ns: Some(1), ..REFUSED };
    maps.refuse("10.10.0.0/16".parse().unwrap(), None, lapsed).unwrap();
    let ahead = RefuseRule { until_ns: Some(monotonic_ns() + 3_600_000_000_000), ..REFUSED };
    maps.refuse("10.11.0.1/32".parse().unwrap(), None, ahead).unwrap();
    for (manner, dst, errno) in [
        (Manner::Plain, "10.9.1.1:80", Some(libc::ECONNREFUSED)),
        (Manner::Mapped, "10.9.1.1:80", Some(libc::ECONNREFUSED)),
        (Manner::Plain, "10.9.8.1:443", Some(libc::EHOSTUNREACH)),
        (Manner::Plain, "10.9.8.1:80", Some(libc::ECONNREFUSED)),
        (Manner::Plain, "[fd09::5]:80", Some(libc::ECONNREFUSED)),
        (Manner::Plain, "[fd09::5]:81", None),
        (Manner::Plain, "10.10.0.1:80", None),
        (Manner::Plain, "10.11.0.1:80", Some(libc::ECONNREFUSED)),
        (Manner::Plain, "10.11.0.2:80", None),
    ] {
        let dst: SocketAddr = dst.parse().unwrap();
        let want = errno.map_or(Answer::Peer(dst), Answer::Errno);
        assert_eq!(client.connect(manner, dst), want, "{manner:?} {dst}");
        if errno.is_none() {
            assert_eq!(world.sites[0].origin(maps).dst, OrigDst(dst));
        }
    }
    maps.allow("10.9.0.0/16".parse().unwrap(), None).unwrap();
    let dst: SocketAddr = "10.9.1.1:80".parse().unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
}

#[test]
fn only_a_refusal_that_is_meant_to_survives_the_proxy() {
    let world = World::new();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    let server = [world.sites[0].server(SERVER_V4)];
    let dst = server[0].local_addr().unwrap();
    let net = format!("{SERVER_V4}/32").parse().unwrap();
    world.maps.refuse(net, None, REFUSED).unwrap();
    world.maps.beat_at(0).unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert!(accept_within(&server, PATIENCE).is_some());
    world.maps.refuse(net, None, RefuseRule { while_stale: WhileStale::Hold, ..REFUSED }).unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Errno(libc::ECONNREFUSED));
}

#[test]
fn a_refusal_that_holds_only_without_the_proxy_spares_its_exceptions() {
    let world = World::new();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    let server = [world.sites[0].server(SERVER_V4)];
    let dst = server[0].local_addr().unwrap();
    let rule = RefuseRule { while_stale: WhileStale::HoldOnly, ..REFUSED };
    world.maps.refuse("0.0.0.0/0".parse().unwrap(), None, rule).unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(dst), "redirected");
    world.maps.beat_at(0).unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Errno(libc::ECONNREFUSED));
    let net = format!("{SERVER_V4}/32").parse().unwrap();
    world.maps.spare(net, Some(dst.port())).unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert!(accept_within(&server, PATIENCE).is_some(), "direct");
    world.maps.allow(net, Some(dst.port())).unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Errno(libc::ECONNREFUSED));
    world.maps.beat().unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(dst), "redirected again");
}

#[test]
fn excluded_networks_and_ports_are_left_alone() {
    let world = World::new();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    for ip in [SERVER_V4, SERVER_V6] {
        let server = [world.sites[0].server(ip)];
        let dst = server[0].local_addr().unwrap();
        let net = ipnet::IpNet::from(dst.ip());
        let direct = |client: &mut Client| {
            assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
            assert!(accept_within(&server, PATIENCE).is_some(), "{dst}");
        };
        let redirected = |client: &mut Client| {
            assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
            assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(dst));
        };
        world.maps.exclude_net(net).unwrap();
        direct(&mut client);
        world.maps.include_net(net).unwrap();
        redirected(&mut client);
        world.maps.exclude_port(dst.port()).unwrap();
        direct(&mut client);
        world.maps.include_port(dst.port()).unwrap();
        redirected(&mut client);
    }
}

/// A proxy among the programs that it intercepts: a server, and sockets that would be caught as theirs are.
fn among_programs() -> (World, [TcpListener; 1], SocketFactory) {
    let mut world = World::new();
    let cgroup = world.proxy_cgroup.open();
    let kernel = world.kernel.as_mut().unwrap();
    kernel.attach_program_side(cgroup.as_fd()).unwrap();
    kernel.arm(cgroup.as_fd()).unwrap();
    let server = [world.sites[0].server(SERVER_V4)];
    let sockets = Namespace::open(&world.sites[0].path()).unwrap().into_sockets().unwrap();
    (world, server, sockets)
}

/// The proxy's own sockets, made where an intercepted program's would be caught, from a thread that has nothing left
/// but open files.
#[test]
fn the_proxy_works_without_capabilities_and_its_marked_sockets_pass() {
    let (world, server, sockets) = among_programs();
    let dst = server[0].local_addr().unwrap();
    let maps = std::sync::Arc::clone(&world.maps);
    let site = &world.sites[0];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            caps::clear(None, caps::CapSet::Effective).unwrap();
            caps::clear(None, caps::CapSet::Permitted).unwrap();
            operate_everything(&maps);
            maps.mark_bypass(dial(&sockets, dst, |_| ()).as_fd()).unwrap();
            assert_eq!(maps.orig_dst(site.accept().as_fd()).unwrap().unwrap().dst, OrigDst(dst));
            let marked = dial(&sockets, dst, |socket| maps.mark_bypass(socket.as_fd()).unwrap());
            assert!(accept_within(&server, PATIENCE).is_some(), "marked: direct");
            drop(marked);
        });
    });
}

/// Nobody else is known by its id, and who shares its cgroup gains nothing by that.
#[test]
fn the_sockets_of_a_proxy_that_is_recognised_pass_but_for_its_probes() {
    let (world, server, sockets) = among_programs();
    let dst = server[0].local_addr().unwrap();
    let unmarked = || drop(dial(&sockets, dst, |_| ()));
    unmarked();
    let origin = world.sites[0].origin(&world.maps);
    world.maps.recognise(origin.caller.pid).unwrap();
    unmarked();
    assert!(accept_within(&server, PATIENCE).is_some(), "recognised: direct");
    let _probe = dial(&sockets, dst, |socket| world.maps.mark_probe(socket.as_fd()).unwrap());
    assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(dst));
    let mut neighbour = Client::start(&world.sites[0], &world.proxy_cgroup);
    assert_eq!(neighbour.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(dst));
}

#[test]
fn two_capabilities_are_enough_and_their_lack_is_named() {
    let world = World::new();
    let cgroup = world.cgroup.open();
    let load_and_attach = || {
        let options =
            LoadOptions { debug_log: true, stale_after: Duration::from_hours(1), ..LoadOptions::default() };
        let mut kernel = load_with(&[Capability::CAP_BPF, Capability::CAP_NET_ADMIN], &options).unwrap();
        kernel.attach_proxy_side(cgroup.as_fd()).unwrap();
        kernel.attach_program_side(cgroup.as_fd()).unwrap();
        kernel.maps().beat().unwrap();
        kernel.arm(cgroup.as_fd()).unwrap();
        for (held, missing) in [
            ([Capability::CAP_BPF].as_slice(), "CAP_NET_ADMIN"),
            (&[Capability::CAP_NET_ADMIN], "CAP_BPF"),
            (&[], "CAP_BPF and CAP_NET_ADMIN"),
        ] {
            let error = load_with(held, &options).err().unwrap();
            assert!(
                matches!(&error, KernelError::MissingCapability { capabilities } if capabilities == missing)
            );
        }
        kernel
    };
    let kernel = std::thread::scope(|scope| scope.spawn(load_and_attach).join().unwrap());
    drop(world);
    let world = World::of(kernel);
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    let origin = world.sites[0].origin(&world.maps);
    assert_eq!(origin.dst, OrigDst(dst));
    // The kernel tells the name of the thread only to loaders with `CAP_PERFMON`; this is the process's.
    assert_eq!(&*origin.caller.comm, "kernel_redirect");
    world.maps.refuse("10.1.2.3/32".parse().unwrap(), None, REFUSED).unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Errno(libc::ECONNREFUSED));
}

/// Loads with nothing but these capabilities, which the calling thread keeps.
fn load_with(capabilities: &[Capability], options: &LoadOptions) -> Result<Kernel, KernelError> {
    let set = capabilities.iter().copied().collect();
    caps::set(None, caps::CapSet::Effective, &set).unwrap();
    Kernel::load(options)
}

fn operate_everything(maps: &KernelMaps) {
    maps.beat().unwrap();
    maps.register_namespace(1, &Landing::default()).unwrap();
    maps.forget_namespace(1).unwrap();
    maps.refuse("10.9.0.0/16".parse().unwrap(), None, REFUSED).unwrap();
    maps.allow("10.9.0.0/16".parse().unwrap(), None).unwrap();
    maps.exclude_port(1).unwrap();
    maps.include_port(1).unwrap();
    maps.counters().unwrap();
    maps.pending_tuples().unwrap();
}

fn dial(sockets: &SocketFactory, dst: SocketAddr, prepare: impl FnOnce(&OwnedFd)) -> OwnedFd {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let socket = runtime.block_on(sockets.socket(dst)).unwrap();
    prepare(&socket);
    let socket = socket2::Socket::from(socket);
    socket.connect_timeout(&dst.into(), PATIENCE).unwrap();
    socket.into()
}
