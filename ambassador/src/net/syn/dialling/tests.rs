// SPDX-License-Identifier: Apache-2.0
//! Held connections between a kernel side and a wire that only take notes.

mod world;

use std::{
    future::pending,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;

use self::world::{Case, Said, TICKET, World, error, sent};
use super::{
    super::{
        captured::Unreachable,
        fixtures::{connected, dst, key, syn},
        table::Table,
    },
    Answer, DialFailure, Holding, Outcome, Report, TRIES, let_through_undialled,
};

#[tokio::test(start_paused = true)]
async fn a_dial_that_succeeds_lets_the_syn_through() {
    let (stream, _listener) = connected();
    let case = Case::start(World::default(), stream::iter([Ok(stream)]));
    let table = Arc::clone(&case.table);
    let (report, said) = case.end().await;
    assert_eq!(report, Report { outcome: Outcome::Allowed, held: Duration::ZERO, sent: 1, unsent: 0 });
    let [good, allowed, Said::Sent(packet, _)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((allowed, good), (&Said::Allow(TICKET), &Said::Good(dst())));
    assert_eq!(*packet, syn(1).replay());
    let claim = table.take_for_accept(&key(), dst(), Duration::ZERO).await.expect("held");
    claim.finish().await.expect("kept").expect("dialled");
}

#[tokio::test]
async fn the_socket_is_ready_before_the_syn_is_let_through() {
    let (stream, _listener) = connected();
    let (kept, observed) = std::sync::mpsc::channel();
    let world = World::default();
    let table = Arc::new(Table::new(8));
    let promise = table.hold(key(), dst(), TICKET.socket_cookie, Some(1)).expect("room");
    let flow = Arc::clone(&table);
    *world.on_allow.lock().expect("no panic") = Some(Box::new(move || {
        let claim =
            futures_util::FutureExt::now_or_never(flow.take_for_accept(&key(), dst(), Duration::ZERO));
        let claim = claim.flatten().expect("held");
        let result = futures_util::FutureExt::now_or_never(claim.finish());
        kept.send(matches!(result, Some(Some(Ok(_))))).expect("listening");
    }));
    let holding = Holding { key: key(), dst: dst(), ticket: TICKET, syn: Some(syn(1)), promise };
    let report = holding.dial(stream::iter([Ok(stream)]), &world, &world).await;
    assert_eq!((report.outcome, observed.recv()), (Outcome::Allowed, Ok(true)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_answered_until_the_program_has_seen_it() {
    for (errno, answer, packet) in [
        (libc::ECONNREFUSED, Answer::Refuse, syn(1).refuse()),
        (libc::EHOSTUNREACH, Answer::Unreachable(Unreachable::Host), syn(1).unreachable(Unreachable::Host)),
        (
            libc::ENETUNREACH,
            Answer::Unreachable(Unreachable::Network),
            syn(1).unreachable(Unreachable::Network),
        ),
    ] {
        let case = Case::start(World::default(), stream::iter([error(errno)]));
        // After 1, 2 and 4 ms: the fourth try follows the third pause.
        sleep(Duration::from_micros(7500)).await;
        assert!(case.table.closed(&key(), TICKET.socket_cookie));
        let (report, said) = case.end().await;
        assert_eq!(report.outcome, Outcome::Answered(answer));
        assert_eq!(said[0], Said::NotGood(dst()));
        assert_eq!(sent(&said), [&packet; 4]);
        assert_eq!((said.len(), report.sent), (5, 4));
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_bounded_and_spread_over_a_second() {
    let case = Case::start(World::default(), stream::iter([error(libc::ECONNREFUSED)]));
    let (report, said) = case.end().await;
    assert_eq!((report.sent, report.unsent), (TRIES, 0));
    let times: Vec<Duration> =
        said.iter().filter_map(|said| if let Said::Sent(_, at) = said { Some(*at) } else { None }).collect();
    let span = times[times.len() - 1].saturating_sub(times[0]);
    assert!((500..600).contains(&span.as_millis()), "{span:?}");
}

#[tokio::test(start_paused = true)]
async fn packets_that_cannot_be_sent_are_counted_and_repeated() {
    let world = World { packets_to_lose: AtomicU32::new(3), ..World::default() };
    let (report, _) = Case::start(world, stream::iter([error(libc::ECONNREFUSED)])).end().await;
    assert_eq!((report.sent, report.unsent), (TRIES - 3, 3));
}

#[tokio::test(start_paused = true)]
async fn silence_and_failures_of_this_machine_are_not_answered() {
    for (errno, failure, said) in [
        (libc::ETIMEDOUT, DialFailure::TimedOut, vec![Said::NotGood(dst())]),
        (libc::EADDRNOTAVAIL, DialFailure::Local, vec![]),
        (libc::EMFILE, DialFailure::Local, vec![]),
        (libc::ENOBUFS, DialFailure::Local, vec![]),
    ] {
        let (report, observed) = Case::start(World::default(), stream::iter([error(errno)])).end().await;
        assert_eq!((report.outcome, observed), (Outcome::Silent(failure), said));
    }
    let (report, said) = Case::start(World::default(), stream::iter([])).end().await;
    assert_eq!((report.outcome, said), (Outcome::Silent(DialFailure::Local), vec![]));
}

#[tokio::test(start_paused = true)]
async fn attempts_are_made_while_the_syn_waits() {
    let (stream, _listener) = connected();
    let mut results = vec![error(libc::ECONNREFUSED), error(libc::ETIMEDOUT), Ok(stream)].into_iter();
    let attempts = stream::poll_fn(move |_| std::task::Poll::Ready(results.next()));
    let attempts = attempts.then(|result| async {
        sleep(Duration::from_millis(100)).await;
        result
    });
    let (report, said) = Case::start(World::default(), attempts).end().await;
    assert_eq!((report.outcome, report.held.as_millis()), (Outcome::Allowed, 300));
    assert_eq!(said[..2], [Said::NotGood(dst()), Said::NotGood(dst())]);
    assert_eq!(sent(&said), [&syn(1).replay()]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_program_gives_up_is_not_dialled_on() {
    let (alive, mut dropped) = tokio::sync::oneshot::channel::<()>();
    let attempts = stream::once(async move {
        let _alive = alive;
        pending().await
    });
    let case = Case::start(World::default(), attempts);
    sleep(Duration::from_millis(1)).await;
    assert!(dropped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty));
    assert!(case.table.closed(&key(), TICKET.socket_cookie));
    let (report, said) = case.end().await;
    assert_eq!((report.outcome, said), (Outcome::Abandoned, vec![]));
    assert!(dropped.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_asked_for_again() {
    let (stream, _listener) = connected();
    let world = World { verdicts_to_refuse: AtomicU32::new(2), ..World::default() };
    let (report, _) = Case::start(world, stream::iter([Ok(stream)])).end().await;
    assert_eq!((report.outcome, report.sent), (Outcome::Allowed, 1));

    let (stream, _listener) = connected();
    let world = World { verdicts_to_refuse: AtomicU32::new(u32::MAX), ..World::default() };
    let (report, _) = Case::start(world, stream::iter([Ok(stream)])).end().await;
    assert_eq!((report.outcome, report.sent), (Outcome::NotAllowed, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_dialled_is_answered_or_let_through() {
    let (world, table) = (World::default(), Table::new(8));
    let promise = table.hold(key(), dst(), TICKET.socket_cookie, Some(1)).expect("room");
    let holding = Holding { key: key(), dst: dst(), ticket: TICKET, syn: Some(syn(1)), promise };
    let report = holding.answer(Answer::Refuse, &world).await;
    assert_eq!((report.outcome, report.sent), (Outcome::Answered(Answer::Refuse), TRIES));

    let world = World::default();
    let report = let_through_undialled(&key(), TICKET, &syn(1), &world, &world);
    assert_eq!(report.outcome, Outcome::Allowed);
    assert_eq!(sent(&world.said()), [&syn(1).replay()]);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_the_kernel_saw_give_up_is_sent_nothing() {
    let (stream, _listener) = connected();
    let (report, _) =
        Case::start(World { gone: true, ..World::default() }, stream::iter([Ok(stream)])).end().await;
    assert_eq!((report.outcome, report.sent), (Outcome::Abandoned, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_let_through_unasked_is_only_dialled() {
    let (stream, _listener) = connected();
    for (result, outcome, said) in [
        (Ok(stream), Outcome::Allowed, Said::Good(dst())),
        (error(libc::ECONNREFUSED), Outcome::Lied(DialFailure::Refused), Said::NotGood(dst())),
    ] {
        let (world, table) = (World::default(), Table::new(8));
        let promise = table.hold(key(), dst(), TICKET.socket_cookie, None).expect("room");
        let holding = Holding { key: key(), dst: dst(), ticket: TICKET, syn: None, promise };
        let report = holding.dial(stream::iter([result]), &world, &world).await;
        assert_eq!((report.outcome, report.sent), (outcome, 0));
        assert_eq!(world.said(), [said]);
    }
}
