// SPDX-License-Identifier: Apache-2.0
//! A held SYN: how it is told, how it is answered, and that nothing of it is left.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::fd::AsFd as _,
    time::Duration,
};

use ambassador::kernel::{Counter, detach_filter};

use crate::{
    client::{Answer, Client, Manner, SOURCE_PORT},
    truth::{Held, Truth},
};

/// Long enough for a packet that is let in to be seen.
const MOMENT: Duration = Duration::from_millis(50);

#[test]
fn connect_returns_when_the_proxy_admits_it_and_not_before() {
    let mut truth = Truth::new();
    for (manner, dst, peer) in [
        (Manner::Plain, "10.1.2.3:80", "10.1.2.3:80"),
        (Manner::Plain, "[fd00::1]:81", "[fd00::1]:81"),
        (Manner::Mapped, "10.1.2.3:82", "[::ffff:10.1.2.3]:82"),
        (Manner::Mptcp, "10.1.2.3:83", "10.1.2.3:83"),
        (Manner::Mptcp, "[fd00::1]:84", "[fd00::1]:84"),
        (Manner::FastOpen, "10.1.2.3:85", "10.1.2.3:85"),
        (Manner::FastOpen, "[fd00::1]:86", "[fd00::1]:86"),
    ] {
        let (dst, peer): (SocketAddr, SocketAddr) = (dst.parse().unwrap(), peer.parse().unwrap());
        let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
        client.dial(manner, dst);
        let held = truth.held(dst);
        if !matches!(manner, Manner::FastOpen) {
            assert_eq!(client.answer_within(MOMENT), None, "{manner:?} {dst}");
        }
        assert!(client.waits_in_syn_sent());
        // Sent again without a verdict it is as good as lost, and tells nothing new.
        held.syn.replay(&truth.world.sites[0].namespace);
        assert!(truth.world.sites[0].try_accept(MOMENT).is_none());
        truth.let_in(&held);
        let mut accepted = truth.world.sites[0].accept();
        assert_eq!(client.answer(), Answer::Peer(peer), "{manner:?}");
        let origin = truth.world.maps.orig_dst(accepted.as_fd()).unwrap().unwrap();
        assert_eq!(origin, held.origin);
        assert_eq!(accepted.peer_addr().unwrap(), held.key.client);
        assert_eq!(accepted.local_addr().unwrap(), held.key.listener);
        detach_filter(accepted.as_fd()).unwrap();
        detach_filter(accepted.as_fd()).expect("also when there is none");
        accepted.write_all(b"hello").unwrap();
        if matches!(manner, Manner::FastOpen) {
            accepted.read_exact(&mut [0; 200]).expect("the data of the SYN, sent again");
        }
        drop(client);
        truth.ends_empty();
    }
    let counters = truth.world.maps.counters().unwrap();
    assert_eq!(counters.of(Counter::SynHeld), 7);
    assert_eq!(counters.of(Counter::Delivered), 7);
    assert_eq!(counters.of(Counter::SynNoFlow) + counters.of(Counter::SynWrongIsn), 0);
    assert_eq!(counters.of(Counter::EventLost) + counters.of(Counter::SynUnreadable), 0);
}

#[test]
fn a_refusal_is_what_connect_says_and_the_socket_can_be_used_again() {
    let mut truth = Truth::new();
    for (manner, dst) in
        [(Manner::Plain, "10.1.2.3:80"), (Manner::Plain, "[fd00::1]:81"), (Manner::Mapped, "10.1.2.3:82")]
    {
        let dst: SocketAddr = dst.parse().unwrap();
        let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
        client.dial(manner, dst);
        let held = truth.held(dst);
        truth.refuse(&held);
        assert_eq!(client.answer(), Answer::Errno(libc::ECONNREFUSED), "{manner:?} {dst}");
        assert!(!truth.closed(&held), "never admitted");
        truth.ends_empty();
    }
}

#[test]
fn a_connection_that_is_abandoned_is_told_of_and_can_no_longer_be_admitted() {
    let mut truth = Truth::new();
    for dst in ["10.1.2.3:80", "[fd00::1]:80"] {
        let (mut client, held) = begin(&mut truth, dst);
        client.dial(Manner::Abandon, held.origin.dst.0);
        assert!(!truth.closed(&held));
        assert!(!truth.world.maps.is_open(&held.key, held.origin.ticket).unwrap());
        assert!(!truth.world.maps.admit(&held.key, held.origin.ticket).unwrap());
        truth.ends_empty();
        held.syn.replay(&truth.world.sites[0].namespace);
        assert!(truth.world.sites[0].try_accept(MOMENT).is_none(), "a late replay goes nowhere");
        assert_eq!(truth.stray().0, held.key);
    }
    assert_eq!(truth.world.maps.counters().unwrap().of(Counter::SynNoFlow), 2);
}

#[test]
fn a_connection_that_is_abandoned_after_its_admission_says_so() {
    let mut truth = Truth::new();
    let (mut client, held) = begin(&mut truth, "10.1.2.3:80");
    assert!(truth.world.maps.admit(&held.key, held.origin.ticket).unwrap());
    client.dial(Manner::Abandon, held.origin.dst.0);
    assert!(truth.closed(&held));
    truth.ends_empty();
}

#[test]
fn a_revoked_admission_holds_again() {
    let mut truth = Truth::new();
    let (_client, held) = begin(&mut truth, "10.1.2.3:80");
    assert!(truth.world.maps.admit(&held.key, held.origin.ticket).unwrap());
    truth.world.maps.revoke(held.origin.ticket).unwrap();
    held.syn.replay(&truth.world.sites[0].namespace);
    assert!(truth.world.sites[0].try_accept(MOMENT).is_none());
    truth.let_in(&held);
    truth.world.sites[0].accept();
}

#[test]
fn only_the_very_syn_of_the_connection_gets_in() {
    let mut truth = Truth::new();
    let (_client, held) = begin(&mut truth, "10.1.2.3:80");
    let site = &truth.world.sites[0];
    assert!(truth.world.maps.admit(&held.key, held.origin.ticket).unwrap());
    held.syn.with_isn(held.syn.isn().wrapping_sub(1)).replay(&site.namespace);
    held.syn.with_source_port(9).replay(&site.namespace);
    assert!(site.try_accept(MOMENT).is_none());
    let counters = truth.world.maps.counters().unwrap();
    assert_eq!((counters.of(Counter::SynWrongIsn), counters.of(Counter::SynNoFlow)), (1, 1));
    assert_eq!(truth.stray().0.client.port(), 9);
    // A verdict for another socket changes nothing.
    let (_other, waiting) = begin(&mut truth, "10.1.2.3:80");
    waiting.syn.replay(&truth.world.sites[0].namespace);
    assert!(truth.world.sites[0].try_accept(MOMENT).is_none());
}

#[test]
fn a_listener_that_is_dialled_itself_can_refuse() {
    let mut truth = Truth::new();
    let listeners = truth.world.sites[0].listeners.iter().map(|listener| listener.local_addr().unwrap());
    for listener in listeners.collect::<Vec<_>>() {
        let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
        client.dial(Manner::Plain, listener);
        let (key, syn) = truth.stray();
        assert_eq!((key.listener, key.netns_cookie), (listener, truth.world.sites[0].namespace.cookie()));
        assert_eq!(client.answer_within(MOMENT), None);
        syn.refuse(&truth.world.sites[0].namespace);
        assert_eq!(client.answer(), Answer::Errno(libc::ECONNREFUSED), "{listener}");
        truth.ends_empty();
    }
}

#[test]
fn equal_addresses_of_two_namespaces_are_two_connections() {
    let mut truth = Truth::new();
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    let mut clients = Vec::new();
    let mut helds = Vec::new();
    for site in 0..2 {
        let mut client = Client::start(&truth.world.sites[site], &truth.world.cgroup);
        client.dial(Manner::Bound, dst);
        clients.push(client);
        let held = truth.held(dst);
        assert_eq!(held.key.client.port(), SOURCE_PORT);
        assert_eq!(held.key.netns_cookie, truth.world.sites[site].namespace.cookie());
        helds.push(held);
    }
    assert_eq!(helds[0].key.client, helds[1].key.client);
    truth.let_in(&helds[0]);
    assert_eq!(clients[0].answer(), Answer::Peer(dst));
    helds[1].syn.replay(&truth.world.sites[1].namespace);
    assert!(truth.world.sites[1].try_accept(MOMENT).is_none(), "the other one still waits");
    truth.refuse(&helds[1]);
    assert_eq!(clients[1].answer(), Answer::Errno(libc::ECONNREFUSED));
}

#[test]
fn a_held_connection_stays_held_while_the_proxy_is_stuck() {
    let mut truth = Truth::new();
    let (_client, held) = begin(&mut truth, "10.1.2.3:80");
    truth.world.maps.beat_at(0).unwrap();
    held.syn.replay(&truth.world.sites[0].namespace);
    assert!(truth.world.sites[0].try_accept(MOMENT).is_none());
    truth.let_in(&held);
    truth.world.sites[0].accept();
}

/// What is left for a proxy whose reader is gone.
#[test]
fn a_listener_without_its_filter_lets_in_what_it_held() {
    let mut truth = Truth::new();
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    client.dial(Manner::Plain, dst);
    let held = truth.held(dst);
    for listener in &truth.world.sites[0].listeners {
        detach_filter(listener.as_fd()).unwrap();
    }
    // The client's timer repeats its SYN after a second.
    let accepted = truth.world.sites[0].accept();
    assert_eq!(client.answer(), Answer::Peer(dst));
    assert_eq!(truth.world.maps.orig_dst(accepted.as_fd()).unwrap(), Some(held.origin));
    drop(client);
    truth.ends_empty();
}

/// A client that has begun to dial.
fn begin(truth: &mut Truth, dst: &str) -> (Client, Held) {
    let dst: SocketAddr = dst.parse().unwrap();
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    assert_eq!(client.connect(Manner::Begin, dst), Answer::Done);
    (client, truth.held(dst))
}
