// SPDX-License-Identifier: Apache-2.0
//! Many connections at once: each is told what its own destination said, and nothing is left.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ambassador::kernel::{Counter, SynEvent, detach_filter};

use crate::{client::Client, truth::Truth, wire::Syn, world::Site};

/// Threads of one client.
const THREADS: usize = 32;
/// Connections of one thread.
const CONNECTIONS: u16 = 100;

#[test]
fn thousands_of_connections_learn_what_their_own_destination_said() {
    let mut truth = Truth::new();
    let mut clients: Vec<_> =
        truth.world.sites.iter().map(|site| Client::start(site, &truth.world.cgroup)).collect();
    let stop = AtomicBool::new(false);
    let Truth { world, events } = &mut truth;
    thread::scope(|scope| {
        for site in &world.sites {
            scope.spawn(|| accept_all(site, &stop));
        }
        for client in &mut clients {
            client.send("Storm .");
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let Some(event) = events.take() else {
                    thread::yield_now();
                    continue;
                };
                let SynEvent::Held { key, origin, syn } = event else { continue };
                let syn = Syn::parse(&syn);
                let site = world.sites.iter().find(|s| s.namespace.cookie() == key.netns_cookie).unwrap();
                if is_open(origin.dst.0) {
                    assert!(world.maps.admit(&key, origin.ticket).unwrap());
                    syn.replay(&site.namespace);
                } else {
                    syn.refuse(&site.namespace);
                }
            }
        });
        let answers: Vec<_> = clients.iter().map(Client::text).collect();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(answers, ["wrong 0", "wrong 0"]);
    });
    drop(clients);
    while truth.events.take().is_some() {}
    truth.ends_empty();
    let counters = truth.world.maps.counters().unwrap();
    let total = 2 * u64::try_from(THREADS).unwrap() * u64::from(CONNECTIONS);
    assert_eq!(counters.of(Counter::SynHeld), total);
    assert_eq!(counters.of(Counter::Delivered), total * 3 / 4);
    assert_eq!(counters.of(Counter::DeliveryMissing) + counters.of(Counter::EventLost), 0);
}

/// The client's part: its threads dial open and closed destinations in turn.
pub(crate) fn client(_: &str) -> String {
    let wrong: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || dial_all(i))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    format!("wrong {wrong}")
}

fn dial_all(thread: usize) -> usize {
    let mut wrong = 0;
    for port in 1..=CONNECTIONS {
        let last = u8::try_from(thread).unwrap();
        let ip = if port % 2 == 0 {
            [10, 1, 2, last].into()
        } else {
            [0xfd00, 0, 0, 0, 0, 0, 0, last.into()].into()
        };
        let dst = SocketAddr::new(ip, port);
        let right = match TcpStream::connect(dst) {
            Ok(_) => is_open(dst),
            Err(error) => !is_open(dst) && error.kind() == ErrorKind::ConnectionRefused,
        };
        wrong += usize::from(!right);
    }
    wrong
}

/// A quarter is closed.
fn is_open(dst: SocketAddr) -> bool {
    !dst.port().is_multiple_of(4)
}

fn accept_all(site: &Site, stop: &AtomicBool) {
    for listener in &site.listeners {
        listener.set_nonblocking(true).unwrap();
    }
    while !stop.load(Ordering::Relaxed) {
        for listener in &site.listeners {
            if let Ok((accepted, _)) = listener.accept() {
                detach_filter(accepted.as_fd()).unwrap();
            }
        }
        thread::yield_now();
    }
}
