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
    for (dst, is_taken_back) in [("10.1.2.3:80", true), ("[fd00::1]:81", false)] {
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
        assert_eq!(truth.world.maps.orig_dst(accepted.as_fd()).unwrap(), Some(held.origin.clone()));
        assert_eq!(truth.world.maps.pending_verdicts(1).unwrap(), 1, "who accepts takes it back");
        if is_taken_back {
            truth.world.maps.withdraw(held.origin.socket_cookie);
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
    let cookie = held.origin.socket_cookie;
    let owner = cookie + u64::from(VERDICT_WORDS);
    assert!(truth.world.maps.admit_at_once(owner));
    assert!(!truth.world.maps.admit_at_once(cookie));
    truth.world.maps.withdraw(cookie);
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

#[test]
fn what_was_written_and_never_told_of_is_swept() {
    let truth = Truth::new();
    let maps = &truth.world.maps;
    let (older, newer) = (u64::MAX, u64::MAX - 1);
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
