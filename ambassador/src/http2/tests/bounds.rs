// SPDX-License-Identifier: Apache-2.0
//! The taps at their limits.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::{
    super::{
        frame as frames,
        limits::{self, TAPPED_MAX},
        link::{FOREIGN_MAX, Link, Streams},
        program_tap::{HELD_MAX, ProgramTap},
        upstream_tap::UpstreamTap,
    },
    Scripted, frame, read, write,
};

/// A GOAWAY of so many bytes after its header.
fn goaway(length: usize) -> Vec<u8> {
    let mut payload = vec![b'x'; length];
    payload[..8].copy_from_slice(&[0, 0, 0, 5, 0, 0, 0, 11]);
    frame(frames::GOAWAY, 0, 0, &payload)
}

#[test]
fn a_program_is_asked_why_it_leaves_up_to_the_longest_frame_that_is_read() {
    for (length, is_known) in [(8, true), (TAPPED_MAX, true), (TAPPED_MAX + 1, false)] {
        let link = Arc::new(Link::default());
        let bytes = [vec![b'p'; limits::PREFACE], goaway(length)].concat();
        let mut tapped = ProgramTap::tap(Scripted::saying(&[&bytes]), Arc::clone(&link));
        assert_eq!(read(&mut tapped, &link), bytes, "{length}: h2 gets all of it");
        assert_eq!(link.why_program_leaves().is_some(), is_known, "{length}");
    }
}

#[test]
fn an_upstream_is_asked_why_it_leaves_up_to_the_longest_frame_that_is_read() {
    for (length, is_known) in [(8, true), (TAPPED_MAX, true), (TAPPED_MAX + 1, false)] {
        let link = Arc::new(Link::default());
        let bytes = [frame(frames::SETTINGS, 0, 0, &[]), goaway(length)].concat();
        let mut tapped = UpstreamTap::tap(Scripted::saying(&[&bytes]), Some(Arc::clone(&link)));
        assert_eq!(read(&mut tapped, &link), bytes, "{length}: h2 gets all of it");
        assert_eq!(link.farewell().is_some(), is_known, "{length}");
    }
}

#[test]
fn what_is_said_before_the_upstream_speaks_is_held_up_to_a_bound_and_keeps_its_order() {
    let link = Arc::new(Link::default());
    link.await_upstream();
    let socket = Scripted::taking(usize::MAX);
    let taken = socket.taken.clone();
    let mut tapped = ProgramTap::tap(socket, Arc::clone(&link));
    write(&mut tapped, &link, &frame(frames::SETTINGS, 0, 0, &[]));
    let window = frame(8, 0, 0, &[0, 0, 0, 1]);
    let most = HELD_MAX.div_ceil(window.len());
    for _ in 1..most {
        write(&mut tapped, &link, &window);
        assert!(taken.all().is_empty() && link.streams() == Streams::Awaited);
    }
    write(&mut tapped, &link, &window);
    let streams = frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 1, 0]);
    assert_eq!(taken.all(), [streams, window.repeat(most)].concat());
    assert_eq!(link.streams(), Streams::Untold, "nobody is waited for any more");
}

#[test]
fn an_upstream_of_another_protocol_is_read_as_far_as_its_program_takes_it() {
    const PIECE: usize = 16 * 1024;
    let link = Arc::new(Link::default());
    link.await_upstream();
    let pieces = vec![vec![b'x'; PIECE]; 99];
    let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
    let mut tapped = UpstreamTap::tap(Scripted::saying(&pieces), Some(Arc::clone(&link)));
    let mut cx = Context::from_waker(Waker::noop());
    let (mut heard, mut most) = (0, 0);
    let mut space = vec![0; PIECE];
    for _ in 0..10_000 {
        let mut buf = ReadBuf::new(&mut space);
        let is_end = Pin::new(&mut tapped).poll_read(&mut cx, &mut buf).is_ready();
        assert!(buf.filled().is_empty(), "h2 gets nothing of it");
        if is_end {
            break;
        }
        if !link.takes_foreign() {
            assert!(link.is_unheard());
            let taken = link.take_foreign().len();
            (heard, most) = (heard + taken, most.max(taken));
        }
    }
    heard += link.take_foreign().len();
    assert_eq!(heard, 99 * PIECE);
    assert!((FOREIGN_MAX..FOREIGN_MAX + PIECE).contains(&most), "{most}");
    assert!(link.is_unheard(), "what was taken is not written yet");
    assert!(link.take_foreign().is_empty() && !link.is_unheard());
}
