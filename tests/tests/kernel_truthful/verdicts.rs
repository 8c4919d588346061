// SPDX-License-Identifier: Apache-2.0
//! Verdicts that are written without a system call: each lets one connection in, and nothing is left of it.

use std::{net::SocketAddr, os::fd::AsFd as _, time::Duration};

use ambassador::kernel::Ticket;
use ambassador_ebpf::verdict::VERDICT_WORDS;

use crate::{
    client::{Answer, Client, Manner},
    truth::Truth,
};

#[test]
fn a_written_verdict_lets_one_connection_in_which_is_known_to_have_waited() {
    let mut truth = Truth::new();
    for (dst, is_taken_back) in [("10.1.2.3:80", true), ("[fd00::1]:81", false)] {
        let dst: SocketAddr = dst.parse().unwrap();
        let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
        client.dial(Manner::Plain, dst);
        let held = truth.held(dst);
        assert!(truth.world.maps.admit_at_once(held.origin.ticket));
        assert!(truth.world.maps.admit_at_once(held.origin.ticket), "it is its own");
        held.syn.replay(&truth.world.sites[0].namespace);
        let accepted = truth.world.sites[0].accept();
        assert_eq!(client.answer(), Answer::Peer(dst));
        // Who dials already is not to be dialled for again.
        assert_eq!(truth.world.maps.orig_dst(accepted.as_fd()).unwrap(), Some(held.origin.clone()));
        assert_eq!(truth.world.maps.pending_verdicts(1).unwrap(), 1, "who accepts takes it back");
        if is_taken_back {
            truth.world.maps.withdraw(held.origin.ticket);
            assert_eq!(truth.world.maps.pending_verdicts(1).unwrap(), 0);
        }
        drop(client);
        truth.ends_empty();
    }
}

#[test]
fn a_word_that_is_taken_is_left_to_its_owner() {
    let mut truth = Truth::new();
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    client.dial(Manner::Plain, dst);
    let held = truth.held(dst);
    let ticket = held.origin.ticket;
    let owner = Ticket { socket_cookie: ticket.socket_cookie + u64::from(VERDICT_WORDS), isn: 1 };
    assert!(truth.world.maps.admit_at_once(owner));
    assert!(!truth.world.maps.admit_at_once(ticket));
    truth.world.maps.withdraw(ticket);
    truth.let_in(&held);
    assert_eq!(client.answer(), Answer::Peer(dst));
    drop(client);
    // That of the owner.
    truth.closes(1);
    truth.world.maps.withdraw(owner);
    truth.ends_empty();
}

#[test]
fn what_was_written_for_a_client_that_gives_up_does_not_outlive_it() {
    let mut truth = Truth::new();
    let dst: SocketAddr = "10.1.2.3:80".parse().unwrap();
    for is_in_time in [true, false] {
        let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
        client.dial(Manner::Plain, dst);
        let held = truth.held(dst);
        let ticket = held.origin.ticket;
        if is_in_time {
            assert!(truth.world.maps.admit_at_once(ticket));
        }
        drop(client);
        assert_eq!(
            truth.closed(&held),
            is_in_time,
            "a half-open connection of it may be left at the listener"
        );
        if !is_in_time {
            assert!(truth.world.maps.admit_at_once(ticket), "who writes it does not know");
            truth.world.maps.withdraw(ticket);
        }
        truth.ends_empty();
    }
}

/// The same socket dials another destination, before what came of the first one is known.
#[test]
fn a_verdict_is_on_one_connection_of_a_socket_and_on_none_that_follows() {
    let mut truth = Truth::new();
    for [first, second] in [["10.1.2.3:80", "10.1.2.4:80"], ["[fd00::1]:81", "[fd00::2]:81"]] {
        let (first, second): (SocketAddr, SocketAddr) = (first.parse().unwrap(), second.parse().unwrap());
        let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
        client.connect(Manner::Begin, first);
        let old = truth.held(first);
        client.connect(Manner::Again, second);
        assert!(!truth.closed(&old));
        let new = truth.held(second);
        assert_eq!(old.origin.ticket.socket_cookie, new.origin.ticket.socket_cookie, "it is one socket");
        let maps = &truth.world.maps;
        // What comes late says nothing of the second destination.
        assert!(maps.admit_at_once(old.origin.ticket));
        assert!(!maps.admit(&old.key, old.origin.ticket).unwrap());
        new.syn.replay(&truth.world.sites[0].namespace);
        assert!(truth.world.sites[0].try_accept(SHORT).is_none(), "nobody has let it in");
        maps.withdraw(old.origin.ticket);
        // Nor does the end of the first one take back what was said of the second.
        assert!(maps.admit_at_once(new.origin.ticket));
        maps.withdraw(old.origin.ticket);
        maps.revoke(old.origin.ticket).unwrap();
        new.syn.replay(&truth.world.sites[0].namespace);
        let accepted = truth.world.sites[0].accept();
        assert_eq!(maps.orig_dst(accepted.as_fd()).unwrap(), Some(new.origin.clone()));
        drop(client);
        truth.ends_empty();
    }
}

#[test]
fn what_was_written_and_never_told_of_is_swept() {
    let truth = Truth::new();
    let maps = &truth.world.maps;
    let [older, newer] = [7, 8].map(|socket_cookie| Ticket { socket_cookie, isn: 9 });
    let mut seen = Vec::new();
    assert!(maps.admit_at_once(older));
    maps.sweep_verdicts(&mut seen);
    assert!(maps.admit_at_once(newer));
    assert_eq!(maps.pending_verdicts(1).unwrap(), 2, "it may be used yet");
    maps.sweep_verdicts(&mut seen);
    assert_eq!(maps.pending_verdicts(1).unwrap(), 1, "that of the newer");
    maps.sweep_verdicts(&mut seen);
    assert_eq!(maps.pending_verdicts(1).unwrap(), 0);
}

/// Within which a SYN that is let in is accepted; one that is held is not.
const SHORT: Duration = Duration::from_millis(100);
