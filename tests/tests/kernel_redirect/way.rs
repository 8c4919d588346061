// SPDX-License-Identifier: Apache-2.0
//! The way of one connection: redirected, announced, delivered, and named as the program dialled it.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsFd as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use ambassador::kernel::{Counter, LoadOptions, OrigDst};

use crate::{
    client::{Answer, Client, Manner},
    world::{PATIENCE, SERVER_V4, SERVER_V6, World, accept_within},
};

#[test]
fn the_proxy_learns_the_destination_and_the_caller_and_the_program_sees_what_it_dialled() {
    let world = World::new();
    for (site, other) in [(0, 1), (1, 0)] {
        let site_of_client = &world.sites[site];
        let mut client = Client::start(site_of_client, &world.cgroup);
        for (manner, dst) in [
            (Manner::Plain, "10.1.2.3:80"),
            (Manner::NonBlocking, "10.1.2.3:81"),
            (Manner::Plain, "[fd00::1]:82"),
            (Manner::NonBlocking, "[fd00::2]:83"),
            (Manner::FastOpen, "10.1.2.4:84"),
            (Manner::FastOpen, "[fd00::3]:85"),
            (Manner::Mptcp, "10.1.2.5:86"),
            (Manner::Mptcp, "[fd00::4]:87"),
        ] {
            let dst: SocketAddr = dst.parse().unwrap();
            assert_eq!(client.connect(manner, dst), Answer::Peer(dst), "{manner:?} {dst}");
            let origin = site_of_client.origin(&world.maps);
            assert_eq!(origin.dst, OrigDst(dst), "{manner:?}");
            assert_eq!(origin.caller.pid, client.pid());
            assert_eq!(origin.caller.uid, 0);
            assert_eq!(origin.caller.cgroup_id, world.cgroup.id());
            assert_eq!(origin.caller.netns_cookie, site_of_client.namespace.cookie());
            assert_eq!(&*origin.caller.comm, "client_entry", "the name of the thread");
            assert!(world.sites[other].try_accept(Duration::ZERO).is_none());
        }
    }
    let counters = world.maps.counters().unwrap();
    assert_eq!(counters.of(Counter::Redirected), 16);
    assert_eq!(counters.of(Counter::Delivered), 16);
    assert_eq!(counters.of(Counter::DeliveryMissing), 0);
}

#[test]
fn a_mapped_destination_is_redirected_as_the_ipv4_address_that_it_means() {
    let world = World::new();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    let mapped: SocketAddr = "[::ffff:10.1.2.3]:80".parse().unwrap();
    assert_eq!(client.connect(Manner::Mapped, dst), Answer::Peer(mapped));
    assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(dst));
}

#[test]
fn destinations_spread_over_all_listeners() {
    let world = World::new();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    let mut used = std::collections::BTreeSet::new();
    for i in 0..64 {
        for dst in [format!("10.1.2.{i}:80"), format!("[fd00::{i}]:80")] {
            client.connect(Manner::Plain, dst.parse().unwrap());
            used.insert(world.sites[0].accept().local_addr().unwrap());
        }
    }
    assert_eq!(used.len(), world.sites[0].listeners.len());
}

#[test]
fn a_socket_that_is_disconnected_forgets_where_it_was() {
    let world = World::new();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    let first: SocketAddr = "10.1.2.3:80".parse().unwrap();
    assert_eq!(client.connect(Manner::Plain, first), Answer::Peer(first));
    assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(first));
    // Redirected again, elsewhere.
    let second: SocketAddr = "10.1.2.4:90".parse().unwrap();
    assert_eq!(client.connect(Manner::Again, second), Answer::Peer(second));
    assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(second));
    // And now direct: the name is the server's, not a remembered one.
    let server = world.sites[0].server(SERVER_V4);
    let direct = server.local_addr().unwrap();
    world.maps.exclude_port(direct.port()).unwrap();
    assert_eq!(client.connect(Manner::Again, direct), Answer::Peer(direct));
    assert!(accept_within(&[server], PATIENCE).is_some());
}

#[test]
fn a_stale_heartbeat_and_a_detached_kernel_let_connections_go_direct() {
    let mut world = World::new();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    for ip in [SERVER_V4, SERVER_V6] {
        let server = [world.sites[0].server(ip)];
        let dst = server[0].local_addr().unwrap();
        world.maps.beat_at(0).unwrap();
        assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
        assert!(accept_within(&server, PATIENCE).is_some(), "stale: direct");
        world.maps.beat().unwrap();
        assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
        assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(dst), "fresh: redirected");
    }
    assert_eq!(world.maps.counters().unwrap().of(Counter::PassedStale), 2);
    let server = [world.sites[0].server(SERVER_V4)];
    let dst = server[0].local_addr().unwrap();
    drop(world.kernel.take());
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert!(accept_within(&server, PATIENCE).is_some(), "detached: direct");
}

#[test]
fn arming_needs_a_heartbeat() {
    let mut world = World::new();
    world.maps.beat_at(0).unwrap();
    let cgroup = world.proxy_cgroup.open();
    let armed = world.kernel.as_mut().unwrap().arm(cgroup.as_fd());
    assert!(matches!(armed, Err(ambassador::kernel::KernelError::NoHeartbeat)));
}

#[test]
fn a_connection_that_nobody_redirected_has_no_origin() {
    let world = World::new();
    let listener = world.sites[0].listeners[0].local_addr().unwrap();
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    assert_eq!(client.connect(Manner::Plain, listener), Answer::Peer(listener));
    let accepted = world.sites[0].accept();
    assert_eq!(world.maps.orig_dst(accepted.as_fd()).unwrap(), None);
    assert_eq!(world.maps.counters().unwrap().of(Counter::DeliveryMissing), 1);
}

#[test]
fn loopback_is_intercepted_only_when_asked_for_and_its_listeners_never() {
    let world = World::loaded(&LoadOptions { intercept_loopback: true, ..LoadOptions::default() });
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    for dst in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80"] {
        let dst: SocketAddr = dst.parse().unwrap();
        assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
        assert_eq!(world.sites[0].origin(&world.maps).dst, OrigDst(dst));
    }
    for listener in &world.sites[0].listeners {
        let dst = listener.local_addr().unwrap();
        assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
        let accepted = world.sites[0].accept();
        assert_eq!(world.maps.orig_dst(accepted.as_fd()).unwrap(), None, "{dst}");
    }
}

/// The debug lines are other code for the verifier, so they must be loaded once to be known to load.
#[test]
fn debug_lines_of_the_kernel_programs_reach_tracing() {
    let mut world = World::loaded(&LoadOptions { debug_log: true, ..LoadOptions::default() });
    let log = world.kernel.as_mut().unwrap().take_log().expect("asked for");
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    client.connect(Manner::Plain, "10.1.2.3:80".parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let reader = tokio::spawn(log.run());
        let found = tokio::time::timeout(PATIENCE, async {
            while !lines.text().contains("redirect ::ffff:10.1.2.3:80") {
                tokio::task::yield_now().await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("only: {}", lines.text()));
        reader.abort();
    });
}

/// What tracing has written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
