// SPDX-License-Identifier: Apache-2.0
//! Who need not wait: destinations that are known to accept, those configured so, and everybody when nobody answers.

use std::{net::SocketAddr, os::fd::AsFd as _, time::Duration};

use ambassador::kernel::{Counter, Kernel, KernelError, LoadOptions};
use ambassador_ebpf::{
    known::Known,
    landing::{Endpoint, Landing},
};

use crate::{
    client::{Answer, Client, Manner},
    truth::Truth,
    world::{PATIENCE, SERVER_V4, World, accept_within},
};

#[test]
fn a_destination_that_is_known_to_accept_lets_in_until_it_is_forgotten_or_old() {
    let mut truth = Truth::new();
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    let netns = truth.world.sites[0].namespace.cookie();
    for (manner, dst, peer) in [
        (Manner::Plain, "10.1.2.3:80", "10.1.2.3:80"),
        (Manner::Plain, "[fd00::1]:80", "[fd00::1]:80"),
        (Manner::Mapped, "10.1.2.4:80", "[::ffff:10.1.2.4]:80"),
    ] {
        let (dst, peer): (SocketAddr, SocketAddr) = (dst.parse().unwrap(), peer.parse().unwrap());
        truth.world.maps.mark_good(netns, dst, Duration::from_hours(1));
        assert_eq!(client.connect(manner, dst), Answer::Peer(peer));
        // Nothing is told of it: the next event is that of the connection after it, which is held.
        let accepted = truth.world.sites[0].accept();
        assert_eq!(truth.world.maps.orig_dst(accepted.as_fd()).unwrap().unwrap().dst.0, dst);
        truth.world.maps.forget_good(netns, dst);
        held_and_refused(&mut truth, &mut client, manner, dst);
        truth.world.maps.mark_good(netns, dst, Duration::ZERO);
        held_and_refused(&mut truth, &mut client, manner, dst);
    }
    assert_eq!(truth.world.maps.counters().unwrap().of(Counter::SynShortcut), 3);
    // Good for one namespace, one port and one address.
    let dst: SocketAddr = "10.1.2.5:80".parse().unwrap();
    truth.world.maps.mark_good(netns + 1, dst, Duration::from_hours(1));
    truth.world.maps.mark_good(netns, "10.1.2.5:81".parse().unwrap(), Duration::from_hours(1));
    held_and_refused(&mut truth, &mut client, Manner::Plain, dst);
    drop(client);
    truth.ends_empty();
}

#[test]
fn a_destination_is_not_known_by_what_has_taken_its_place() {
    let mut truth = Truth::new();
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    let netns = truth.world.sites[0].namespace.cookie();
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    let place = |at: SocketAddr| {
        let endpoint = Endpoint { address: at.ip().into(), port_be: at.port().to_be() };
        Known::new(netns, &endpoint).place()
    };
    let mut others = (1..u16::MAX).map(|port| SocketAddr::new("10.1.2.4".parse().unwrap(), port));
    let other = others.find(|other| place(*other) == place(dst)).expect("more ports than places");
    truth.world.maps.mark_good(netns, other, Duration::from_hours(1));
    held_and_refused(&mut truth, &mut client, Manner::Plain, dst);
    truth.world.maps.mark_good(netns, dst, Duration::from_hours(1));
    assert!(truth.world.maps.is_good_for(netns, dst, Duration::from_mins(1)));
    held_and_refused(&mut truth, &mut client, Manner::Plain, other);
    truth.world.maps.forget_good(netns, other);
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    drop(truth.world.sites[0].accept());
    drop(client);
    truth.ends_empty();
}

#[test]
fn an_eager_destination_lets_in_and_nobody_is_told() {
    let mut truth = Truth::new();
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    let maps = &truth.world.maps;
    maps.set_eager("10.1.0.0/16".parse().unwrap(), Some(80)).unwrap();
    maps.set_eager("fd00::/64".parse().unwrap(), None).unwrap();
    // What was learnt does not matter then.
    let netns = truth.world.sites[0].namespace.cookie();
    maps.mark_good(netns, "10.1.2.3:80".parse().unwrap(), Duration::from_hours(1));
    for dst in ["10.1.2.3:80", "[fd00::1]:81"] {
        let dst: SocketAddr = dst.parse().unwrap();
        assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
        let origin = truth.world.sites[0].origin(&truth.world.maps);
        assert_eq!((origin.dst.0, origin.announced), (dst, false));
    }
    held_and_refused(&mut truth, &mut client, Manner::Plain, "10.1.2.3:81".parse().unwrap());
    truth.world.maps.clear_eager("10.1.0.0/16".parse().unwrap(), Some(80)).unwrap();
    truth.world.maps.forget_good(netns, "10.1.2.3:80".parse().unwrap());
    held_and_refused(&mut truth, &mut client, Manner::Plain, "10.1.2.3:80".parse().unwrap());
    assert_eq!(truth.world.maps.counters().unwrap().of(Counter::SynEager), 2);
    drop(client);
    truth.ends_empty();
}

#[test]
fn a_stale_heartbeat_and_a_detached_kernel_let_new_connections_go_direct() {
    let mut truth = Truth::new();
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    let server = [truth.world.sites[0].server(SERVER_V4)];
    let dst = server[0].local_addr().unwrap();
    truth.world.maps.beat_at(0).unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert!(accept_within(&server, PATIENCE).is_some(), "stale");
    truth.world.maps.beat().unwrap();
    held_and_refused(&mut truth, &mut client, Manner::Plain, dst);
    drop(truth.world.kernel.take());
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert!(accept_within(&server, PATIENCE).is_some(), "detached");
}

#[test]
fn a_namespace_that_is_not_registered_as_truthful_lets_in_although_its_listeners_are_filtered() {
    let mut truth = Truth::new();
    let site = &truth.world.sites[0];
    let landing = crate::truth::landing(site);
    assert_eq!(Landing { truthful: 1, ..landing }, landing.truthful());
    truth.world.maps.register_namespace(site.namespace.cookie(), &landing).unwrap();
    let mut client = Client::start(site, &truth.world.cgroup);
    // The kernel side must know the SYN of what it lets in, too: the filter is there.
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert!(!site.origin(&truth.world.maps).announced);
    drop(client);
    truth.ends_empty();
}

#[test]
fn without_the_filter_everything_else_works_and_says_why() {
    let mut world = World::new();
    let kernel = world.kernel.as_mut().unwrap();
    assert!(matches!(kernel.truthful_available(), Err(KernelError::NoFilter)));
    assert!(kernel.take_events().is_empty());
    let site = &world.sites[0];
    let attached = kernel.attach_listener_filter(site.listeners[0].as_fd(), site.namespace.cookie(), 0);
    assert!(matches!(attached, Err(KernelError::NoFilter)));
    let mut client = Client::start(site, &world.cgroup);
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert!(!site.origin(&world.maps).announced);
}

/// The debug lines are other code for the verifier, so they must be loaded once to be known to load.
#[test]
fn it_holds_with_debug_lines_too() {
    let mut truth = Truth::loaded(&LoadOptions { debug_log: true, ..LoadOptions::default() });
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    held_and_refused(&mut truth, &mut client, Manner::Plain, "10.1.2.3:80".parse().unwrap());
}

/// The proxy as it runs: loaded with the two capabilities that it asks for, and none of them afterwards.
#[test]
fn two_capabilities_load_it_and_none_is_needed_to_run_it() {
    use caps::{CapSet, Capability};
    let load = || {
        let set = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN].into_iter().collect();
        caps::set(None, CapSet::Effective, &set).unwrap();
        let stale_after = Duration::from_hours(1);
        Kernel::load(&LoadOptions { truthful: true, stale_after, ..LoadOptions::default() }).unwrap()
    };
    let kernel = std::thread::scope(|scope| scope.spawn(load).join().unwrap());
    let mut truth = Truth::of(kernel);
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    client.dial(Manner::Plain, dst);
    let held = truth.held(dst);
    let kernel = truth.world.kernel.as_ref().unwrap();
    let (maps, site) = (&truth.world.maps, &truth.world.sites[0]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            caps::clear(None, CapSet::Effective).unwrap();
            caps::clear(None, CapSet::Permitted).unwrap();
            kernel.attach_listener_filter(site.listeners[0].as_fd(), site.namespace.cookie(), 0).unwrap();
            maps.mark_good(1, dst, Duration::ZERO);
            maps.forget_good(1, dst);
            maps.set_eager("10.9.0.0/16".parse().unwrap(), None).unwrap();
            maps.clear_eager("10.9.0.0/16".parse().unwrap(), None).unwrap();
            maps.open_flows().unwrap();
            maps.revoke(held.origin.ticket).unwrap();
            assert!(maps.admit(&held.key, held.origin.ticket).unwrap());
        });
    });
    held.syn.replay(&truth.world.sites[0].namespace);
    assert_eq!(client.answer(), Answer::Peer(dst));
    truth.world.maps.forget_namespace(held.key.netns_cookie).unwrap();
}

fn held_and_refused(truth: &mut Truth, client: &mut Client, manner: Manner, dst: SocketAddr) {
    client.dial(manner, dst);
    let held = truth.held(dst);
    truth.refuse(&held);
    assert_eq!(client.answer(), Answer::Errno(libc::ECONNREFUSED));
    truth.closed(&held);
}
