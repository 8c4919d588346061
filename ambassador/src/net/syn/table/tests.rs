// SPDX-License-Identifier: Apache-2.0
//! Who gets a claim, who loses it, and how many there can be.

use std::{future::pending, sync::Arc};

use tokio::task::yield_now;

use super::{
    super::fixtures::{connected, dst, key},
    *,
};
use crate::net::dial::{DialError, DialFailure};

const COOKIE: u64 = 11;
const NOW: Duration = Duration::ZERO;
const MOMENT: Duration = Duration::from_millis(50);

fn refused() -> DialError {
    let source = std::io::Error::from_raw_os_error(libc::ECONNREFUSED);
    DialError { dst: dst(), failure: DialFailure::Refused, source }
}

fn key_of(port: u16) -> FlowKey {
    FlowKey::new(([127, 0, 0, 1], port).into(), key().listener(), key().netns_cookie())
}

async fn is_unwanted(promise: &mut Promise) -> bool {
    tokio::select! {
        biased;
        () = promise.unwanted() => true,
        () = yield_now() => false,
    }
}

#[tokio::test]
async fn a_flow_is_handed_the_socket_that_was_dialled_for_it() {
    let table = Table::new(8);
    let mut promise = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    let (stream, listener) = connected();
    let local = stream.local_addr().expect("address");
    assert!(promise.keep(Ok(stream)));
    let claim = table.take_for_accept(&key(), dst(), NOW).await.expect("held");
    let (stream, _) = claim.finish().await.expect("kept").expect("dialled");
    assert_eq!(stream.local_addr().expect("address"), local);
    assert!(table.is_empty() && table.take_for_accept(&key(), dst(), NOW).await.is_none());
    drop(listener);
}

#[tokio::test]
async fn a_flow_waits_for_a_dial_that_goes_on() {
    let table = Table::new(8);
    let mut promise = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    let claim = table.take_for_accept(&key(), dst(), NOW).await.expect("held");
    assert!(!is_unwanted(&mut promise).await);
    assert!(promise.keep(Err(refused())));
    assert_eq!(claim.finish().await.expect("kept").expect_err("refused").failure, DialFailure::Refused);
    assert!(is_unwanted(&mut promise).await);
}

#[tokio::test]
async fn a_dial_that_was_given_up_has_no_result() {
    let table = Table::new(8);
    drop(table.hold(key(), dst(), COOKIE, Some(1)).expect("room"));
    assert!(table.take_for_accept(&key(), dst(), NOW).await.expect("held").finish().await.is_none());
}

#[test]
fn a_socket_moves_to_the_event_loop_of_the_flow() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let table = Arc::new(Table::new(8));
    let dialler = runtime();
    let listener = dialler.block_on(async {
        let mut promise = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
        let (stream, listener) = connected();
        assert!(promise.keep(Ok(stream)));
        listener
    });
    let flow = Arc::clone(&table);
    let accepted = std::thread::spawn(move || {
        runtime().block_on(async {
            let claim = flow.take_for_accept(&key(), dst(), NOW).await.expect("held");
            let (stream, _) = claim.finish().await.expect("kept").expect("moved");
            // The event loop that it was dialled on is driven by nobody.
            listener.accept().expect("accept").0.shutdown(std::net::Shutdown::Write).expect("shutdown");
            stream.readable().await.expect("readable");
            stream.try_read(&mut [0]).expect("end")
        })
    });
    assert_eq!(accepted.join().expect("no panic"), 0);
}

#[tokio::test]
async fn closing_the_socket_aborts_its_dial() {
    let table = Table::new(8);
    let mut promise = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    assert!(table.closed(&key(), COOKIE));
    assert!(is_unwanted(&mut promise).await);
    let (stream, _listener) = connected();
    assert!(!promise.keep(Ok(stream)));
    assert!(!table.closed(&key(), COOKIE));
}

#[tokio::test]
async fn an_older_socket_does_not_close_a_newer_one() {
    let table = Table::new(8);
    let mut older = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    let mut newer = table.hold(key(), dst(), COOKIE + 1, Some(2)).expect("room");
    assert!(is_unwanted(&mut older).await);
    assert!(!table.closed(&key(), COOKIE));
    assert!(!is_unwanted(&mut newer).await);
    assert_eq!(table.len(), 1);
}

#[tokio::test]
async fn a_socket_that_connects_again_is_held_again() {
    let table = Table::new(8);
    let mut first = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    assert_eq!(table.hold(key(), dst(), COOKIE, Some(1)).expect_err("once"), HoldError::Already);
    assert!(!is_unwanted(&mut first).await);
    let _second = table.hold(key(), dst(), COOKIE, Some(2)).expect("room");
    assert!(is_unwanted(&mut first).await);
}

#[tokio::test]
async fn a_flow_never_gets_another_destinations_socket() {
    let table = Table::new(8);
    let mut promise = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    let elsewhere = ([192, 0, 2, 2], 443).into();
    assert!(table.take_for_accept(&key(), elsewhere, NOW).await.is_none());
    assert!(!is_unwanted(&mut promise).await);
    let in_another_namespace = FlowKey::new(key().client(), key().listener(), key().netns_cookie() + 1);
    assert!(table.take_for_accept(&in_another_namespace, dst(), NOW).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_comes_first_waits_a_moment() {
    let table = Arc::new(Table::new(8));
    let (flow, start) = (Arc::clone(&table), Instant::now());
    let waiting = tokio::spawn(async move { flow.take_for_accept(&key(), dst(), MOMENT).await.is_some() });
    yield_now().await;
    let _promise = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    assert!(waiting.await.expect("no panic"));
    assert_eq!((Instant::now(), table.len()), (start, 0));

    assert!(table.take_for_accept(&key(), dst(), MOMENT).await.is_none());
    assert!((MOMENT..MOMENT * 2).contains(&start.elapsed()));
    assert!(table.shards.iter().all(|shard| lock(shard).waiting.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_stops_waiting_leaves_nothing() {
    let table = Arc::new(Table::new(8));
    let flow = Arc::clone(&table);
    let waiting = tokio::spawn(async move { flow.take_for_accept(&key(), dst(), MOMENT).await.is_some() });
    yield_now().await;
    waiting.abort();
    assert!(waiting.await.expect_err("aborted").is_cancelled());
    assert!(table.shards.iter().all(|shard| lock(shard).waiting.is_empty()));
    let _promise = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    assert_eq!(table.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_too_long_is_swept() {
    let table = Table::new(64);
    let mut old = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    tokio::time::advance(HOLD_LIMIT).await;
    let mut young = table.hold(key_of(1), dst(), COOKIE, Some(1)).expect("room");
    assert_eq!(table.sweep(HOLD_LIMIT), 0);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!((table.sweep(HOLD_LIMIT), table.len()), (1, 1));
    assert!(is_unwanted(&mut old).await && !is_unwanted(&mut young).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_for_long_can_be_asked_about() {
    let table = Table::new(64);
    let _old = table.hold(key(), dst(), COOKIE, Some(1)).expect("room");
    let _unasked = table.hold(key_of(1), dst(), COOKIE + 1, None).expect("room");
    tokio::time::advance(MOMENT + Duration::from_millis(1)).await;
    let _young = table.hold(key_of(2), dst(), COOKIE + 2, Some(1)).expect("room");
    assert_eq!(table.held_for(MOMENT), [(key(), Ticket { socket_cookie: COOKIE, isn: 1 })]);
    assert_eq!(table.len(), 3, "it is only asked");
}

#[tokio::test]
async fn the_table_is_bounded() {
    let table = Table::new(SHARDS * 2);
    let mut promises = Vec::new();
    let mut refused = 0;
    for port in 1..=1000 {
        match table.hold(key_of(port), dst(), COOKIE, Some(1)) {
            Ok(promise) => promises.push(promise),
            Err(error) => refused += usize::from(error == HoldError::Full),
        }
    }
    assert_eq!((table.len(), refused), (SHARDS * 2, 1000 - SHARDS * 2));
    // A full table still replaces: the entry is there already.
    let held = (1..=1000).find(|port| table.closed(&key_of(*port), COOKIE)).expect("one");
    let _first = table.hold(key_of(held), dst(), COOKIE, Some(1)).expect("room again");
    let _second = table.hold(key_of(held), dst(), COOKIE, Some(2)).expect("in place of the first");
    assert_eq!(table.len(), SHARDS * 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_flows_are_bounded() {
    let table = Table::new(1);
    let wait = |port| {
        let table = &table;
        async move { table.take_for_accept(&key_of(port), dst(), MOMENT).await.is_some() }
    };
    let all = futures_util::future::join_all((1..=1000).map(wait));
    let most = async {
        yield_now().await;
        let waiting: usize = table.shards.iter().map(|shard| lock(shard).waiting.len()).sum();
        assert_eq!(waiting, SHARDS);
        pending::<()>().await;
    };
    tokio::select! {
        biased;
        found = all => assert!(found.iter().all(|found| !found)),
        () = most => {}
    }
}
