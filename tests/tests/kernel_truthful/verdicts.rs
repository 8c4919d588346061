// SPDX-License-Identifier: Apache-2.0
//! Verdicts that are written without a system call: each lets one connection in, and nothing is left of it.

use std::{net::SocketAddr, os::fd::AsFd as _};

use ambassador_ebpf::verdict::VERDICT_WORDS;

use crate::{
    client::{Answer, Client, Manner},
    truth::Truth,
};

#[test]
fn a_written_verdict_lets_one_connection_in_which_is_known_to_have_waited() {
    let mut truth = Truth::new();
    for dst in ["10.1.2.3:80", "[fd00::1]:81"] {
        let dst: SocketAddr = dst.parse().unwrap();
        let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
        client.dial(Manner::Plain, dst);
        let held = truth.held(dst);
        assert!(truth.world.maps.admit_at_once(held.origin.socket_cookie));
        assert!(truth.world.maps.admit_at_once(held.origin.socket_cookie), "it is its own");
        held.syn.replay(&truth.world.sites[0].namespace);
        let accepted = truth.world.sites[0].accept();
        assert_eq!(client.answer(), Answer::Peer(dst));
        // Who dials already is not to be dialled for again.
        assert_eq!(truth.world.maps.orig_dst(accepted.as_fd()).unwrap(), Some(held.origin));
        assert_eq!(
            truth.world.maps.pending_verdicts(1).unwrap(),
            0,
            "it is used up while the connection is open"
        );
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
    let cookie = held.origin.socket_cookie;
    let owner = cookie + u64::from(VERDICT_WORDS);
    assert!(truth.world.maps.admit_at_once(owner));
    assert!(!truth.world.maps.admit_at_once(cookie));
    truth.world.maps.withdraw(cookie);
    truth.let_in(&held);
    assert_eq!(client.answer(), Answer::Peer(dst));
    drop(client);
    while truth.world.maps.pending_tuples().unwrap() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(truth.world.maps.pending_verdicts(1).unwrap(), 1, "that of the owner");
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
        let cookie = held.origin.socket_cookie;
        if is_in_time {
            assert!(truth.world.maps.admit_at_once(cookie));
        }
        drop(client);
        assert_eq!(
            truth.closed(&held),
            is_in_time,
            "a half-open connection of it may be left at the listener"
        );
        if !is_in_time {
            assert!(truth.world.maps.admit_at_once(cookie), "who writes it does not know");
            truth.world.maps.withdraw(cookie);
        }
        truth.ends_empty();
    }
}
