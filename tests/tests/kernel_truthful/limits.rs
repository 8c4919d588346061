// SPDX-License-Identifier: Apache-2.0
//! At the bounds: a full table lets pass, a full ring buffer tells later, and waiting wakes up.

use std::{net::SocketAddr, sync::Arc};

use ambassador::{
    app::kernel_counters,
    kernel::{Counter, LoadOptions, SynEvent},
    proxy::sentinel::Sentinel,
    telemetry::{Options, Telemetry},
};
use ambassador_tests::metrics::count;

use crate::{
    client::{Answer, Client, Manner},
    truth::Truth,
    world::{PATIENCE, SERVER_V4, accept_within},
};

/// The page that a scrape gets.
fn page(truth: &Truth) -> String {
    let (telemetry, _flush) = Telemetry::new(Options::default()).unwrap();
    telemetry.set_kernel_counters(kernel_counters(Arc::clone(&truth.world.maps), Arc::<Sentinel>::default()));
    telemetry.metrics_page().unwrap()
}

#[test]
fn a_full_table_lets_further_connections_go_direct() {
    let mut truth = Truth::loaded(&LoadOptions { max_flows: 2, ..LoadOptions::default() });
    let start = || Client::start(&truth.world.sites[0], &truth.world.cgroup);
    let mut waiting = [start(), start()];
    let mut client = start();
    for (client, dst) in waiting.iter_mut().zip(["10.1.2.3:80", "[fd00::1]:80"]) {
        client.connect(Manner::Begin, dst.parse().unwrap());
        truth.held(dst.parse().unwrap());
    }
    assert_eq!(truth.world.maps.open_flows().unwrap(), 2);
    let server = [truth.world.sites[0].server(SERVER_V4)];
    let dst = server[0].local_addr().unwrap();
    assert_eq!(client.connect(Manner::Plain, dst), Answer::Peer(dst));
    assert!(accept_within(&server, PATIENCE).is_some());
    assert_eq!(truth.world.maps.counters().unwrap().of(Counter::PassedTableFull), 1);
    let full = r#"verdict="passed_table_full""#;
    assert_eq!(count(&page(&truth), "ambassador_bpf_connects_total", full).unwrap(), 1);
    // There is room again.
    let [first, _second] = waiting;
    drop(first);
    assert!(matches!(truth.event(), SynEvent::Closed { .. }));
    client.dial(Manner::Plain, dst);
    truth.held(dst);
}

#[test]
fn what_a_full_ring_buffer_could_not_tell_is_told_with_the_next_syn() {
    let mut truth = Truth::new();
    let mut client = Client::start(&truth.world.sites[0], &truth.world.cgroup);
    // The port is how often: each of them is held and closed.
    let flood: SocketAddr = "10.1.2.3:4000".parse().unwrap();
    assert_eq!(client.connect(Manner::Flood, flood), Answer::Done);
    let lost = truth.world.maps.counters().unwrap().of(Counter::EventLost);
    assert!(lost > 0);
    assert_eq!(count(&page(&truth), "ambassador_bpf_lost_events_total", "").unwrap(), lost);
    let dst: SocketAddr = "10.1.2.4:80".parse().unwrap();
    client.dial(Manner::Plain, dst);
    while !client.waits_in_syn_sent() {
        std::thread::yield_now();
    }
    let mut told = 0;
    while truth.events.take().is_some() {
        told += 1;
    }
    assert!(told > 1000, "{told}");
    // The client's timer repeats it after a second.
    let held = truth.held(dst);
    truth.let_in(&held);
    assert_eq!(client.answer(), Answer::Peer(dst));
    drop(client);
    truth.ends_empty();
}

#[test]
fn an_end_that_a_full_ring_buffer_could_not_tell_leaves_nothing_that_is_not_swept() {
    let mut truth = Truth::new();
    let start = || Client::start(&truth.world.sites[0], &truth.world.cgroup);
    let (mut flood, mut clients) = (start(), [start(), start(), start()]);
    let mut tickets = Vec::new();
    for (client, port) in clients.iter_mut().zip(80..) {
        let dst = SocketAddr::new([10, 1, 2, 4].into(), port);
        client.connect(Manner::Begin, dst);
        tickets.push(truth.held(dst).origin.ticket);
    }
    // The port is how often.
    flood.connect(Manner::Flood, "10.1.2.3:4000".parse().unwrap());
    assert!(truth.world.maps.counters().unwrap().of(Counter::EventLost) > 0);
    // What is left has room for the end of one of them, but not for all.
    for client in &mut clients {
        client.connect(Manner::Abandon, "10.1.2.4:1".parse().unwrap());
    }
    truth.closes(0);
    // Nobody has told that they are gone.
    for ticket in &tickets {
        assert!(truth.world.maps.admit_at_once(*ticket));
    }
    while let Some(event) = truth.events.take() {
        if let SynEvent::Closed { ticket, .. } = event
            && tickets.contains(&ticket)
        {
            truth.world.maps.withdraw(ticket);
        }
    }
    let left = truth.world.maps.pending_verdicts(1).unwrap();
    assert!((1..=3).contains(&left), "{left}");
    let mut seen = Vec::new();
    truth.world.maps.sweep_verdicts(&mut seen);
    assert_eq!(truth.world.maps.pending_verdicts(1).unwrap(), left, "it may be used yet");
    truth.world.maps.sweep_verdicts(&mut seen);
    truth.ends_empty();
}

#[test]
fn a_task_that_waits_for_events_is_woken() {
    let truth = Truth::new();
    let Truth { world, events } = truth;
    let mut client = Client::start(&world.sites[0], &world.cgroup);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stream = events.into_stream().unwrap();
        for port in 1..100 {
            let dst = SocketAddr::new([10, 1, 2, 3].into(), port);
            assert!(
                tokio::time::timeout(std::time::Duration::from_millis(1), stream.next()).await.is_err(),
                "nothing has happened yet"
            );
            client.dial(Manner::Begin, dst);
            let mut next = async || tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap();
            let event = next().await;
            assert!(matches!(&event, SynEvent::Held { origin, .. } if origin.dst.0 == dst), "{event:?}");
            client.dial(Manner::Abandon, dst);
            let event = next().await;
            assert!(matches!(&event, SynEvent::Closed { admitted: false, .. }), "{event:?}");
        }
    });
}
