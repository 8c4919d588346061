// SPDX-License-Identifier: Apache-2.0
//! Streams of frames that are cut at every byte give what they give as a whole.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        frame::{self as frames, Farewell},
        limits,
        link::Link,
        program_tap::ProgramTap,
        upstream_tap::UpstreamTap,
    },
    Scripted, frame, read, write,
};

/// What came of a stream of frames.
#[derive(Debug, PartialEq)]
struct Came {
    /// What `h2` got, or what the socket got of it.
    passed: Vec<u8>,
    /// What the other side is told.
    told: Vec<u8>,
    streams: Vec<u32>,
    farewell: Option<Farewell>,
    foreign: Vec<u8>,
}

fn program_says(pieces: &[&[u8]]) -> Came {
    let link = Arc::new(Link::default());
    link.connected();
    let mut tapped = ProgramTap::tap(Scripted::saying(pieces), Arc::clone(&link));
    let passed = read(&mut tapped, &link);
    let told = link.to_upstream.take().to_vec();
    Came { passed, told, streams: Vec::new(), farewell: link.why_program_leaves(), foreign: Vec::new() }
}

fn upstream_says(pieces: &[&[u8]]) -> Came {
    let link = Arc::new(Link::default());
    link.await_upstream();
    let mut tapped = UpstreamTap::tap(Scripted::saying(pieces), Some(Arc::clone(&link)));
    Came {
        passed: read(&mut tapped, &link),
        told: link.to_program.take().to_vec(),
        streams: std::iter::from_fn(|| link.next_streams()).collect(),
        farewell: link.farewell(),
        foreign: link.take_foreign().to_vec(),
    }
}

/// What `h2` says to the program, whose upstream has said before that it takes 7 streams, has asked, and has left.
fn said_to_program(pieces: &[&[u8]], at_a_time: usize) -> Vec<u8> {
    let link = Arc::new(Link::default());
    link.connected();
    link.take_streams(7);
    link.to_program.put(&ping(0, 9));
    link.leave(Farewell { code: 11, data: b"calm".to_vec() });
    let socket = Scripted::taking(at_a_time);
    let taken = socket.taken.clone();
    let mut tapped = ProgramTap::tap(socket, Arc::clone(&link));
    for piece in pieces {
        write(&mut tapped, &link, piece);
    }
    taken.all()
}

/// What `h2` says to the upstream, of which its program has asked whether it is there before it left.
fn said_to_upstream(pieces: &[&[u8]], at_a_time: usize) -> Vec<u8> {
    let link = Arc::new(Link::default());
    link.program_leaves(Farewell { code: 7, data: b"enough".to_vec() });
    link.to_upstream.put(&ping(0, 9));
    let socket = Scripted::taking(at_a_time);
    let taken = socket.taken.clone();
    let mut tapped = UpstreamTap::tap(socket, Some(Arc::clone(&link)));
    for piece in pieces {
        write(&mut tapped, &link, piece);
    }
    taken.all()
}

fn ping(flags: u8, word: u8) -> Vec<u8> {
    frame(frames::PING, flags, 0, &[word; 8])
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = || prop_oneof![9 => vec(any::<u8>(), 0..30), 1 => vec(any::<u8>(), limits::TAPPED_MAX - 2..limits::TAPPED_MAX + 3)];
    let settings = vec((1_u8..8, 0_u8..200), 0..4)
        .prop_map(|all| all.iter().flat_map(|&(id, value)| [0, id, 0, 0, 0, value]).collect::<Vec<_>>());
    prop_oneof![
        // DATA, an unknown one, RST_STREAM, WINDOW_UPDATE.
        (prop_oneof![Just(0), Just(0xee), Just(3), Just(8)], 0_u32..5, payload())
            .prop_map(|(kind, stream, payload)| frame(kind, 0, stream, &payload)),
        payload().prop_map(|payload| frame(frames::HEADERS, END_HEADERS, 1, &payload)),
        (payload(), payload()).prop_map(|(head, rest)| {
            let head = frame(frames::HEADERS, 0, 1, &head);
            [head, frame(frames::CONTINUATION, END_HEADERS, 1, &rest)].concat()
        }),
        settings.prop_map(|settings| frame(frames::SETTINGS, 0, 0, &settings)),
        Just(frame(frames::SETTINGS, ACK, 0, &[])),
        (prop_oneof![Just(0), Just(ACK)], any::<u8>()).prop_map(|(flags, word)| ping(flags, word)),
        (0_u8..3, payload()).prop_map(|(code, data)| {
            frame(frames::GOAWAY, 0, 0, &[&[0, 0, 0, 5, 0, 0, 0, code][..], &data].concat())
        }),
    ]
}

/// `bytes` in two pieces, cut at each byte, and in pieces of one.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let halves = (0..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]);
    halves.chain([bytes.chunks(1).collect()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_program_is_heard_however_it_is_cut(all in vec(any_frame(), 0..10)) {
        let bytes = [vec![b'p'; limits::PREFACE], all.concat()].concat();
        let whole = program_says(&[&bytes]);
        for pieces in cuts(&bytes) {
            prop_assert_eq!(&program_says(&pieces), &whole);
        }
    }

    #[test]
    fn an_upstream_is_heard_however_it_is_cut(all in vec(any_frame(), 0..10)) {
        let bytes = [frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]), all.concat()].concat();
        let whole = upstream_says(&[&bytes]);
        prop_assert!(whole.foreign.is_empty() && whole.streams[0] == 9);
        for pieces in cuts(&bytes) {
            prop_assert_eq!(&upstream_says(&pieces), &whole);
        }
    }

    #[test]
    fn an_upstream_of_another_protocol_is_heard_however_it_is_cut(bytes in vec(b'A'..b'z', 1..200)) {
        let whole = upstream_says(&[&bytes]);
        prop_assert!(whole.foreign == bytes && whole.passed.is_empty());
        for pieces in cuts(&bytes) {
            prop_assert_eq!(&upstream_says(&pieces), &whole);
        }
    }

    #[test]
    fn a_program_is_told_however_it_is_cut(all in vec(any_frame(), 0..10), takes in 1_usize..40) {
        let bytes = [frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 4, 0]), all.concat()].concat();
        let whole = said_to_program(&[&bytes], usize::MAX);
        let first = [frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 7]), ping(0, 9)].concat();
        prop_assert!(whole.starts_with(&first));
        prop_assert_eq!(&said_to_program(&[&bytes], takes), &whole);
        for pieces in cuts(&bytes) {
            prop_assert_eq!(&said_to_program(&pieces, usize::MAX), &whole);
        }
    }

    #[test]
    fn an_upstream_is_told_however_it_is_cut(all in vec(any_frame(), 0..10), takes in 1_usize..40) {
        let first = [vec![b'p'; limits::PREFACE], frame(frames::SETTINGS, 0, 0, &[])].concat();
        let bytes = [first.clone(), all.concat()].concat();
        let whole = said_to_upstream(&[&bytes], usize::MAX);
        prop_assert!(whole.starts_with(&[first, ping(0, 9)].concat()));
        prop_assert_eq!(&said_to_upstream(&[&bytes], takes), &whole);
        for pieces in cuts(&bytes) {
            prop_assert_eq!(&said_to_upstream(&pieces, usize::MAX), &whole);
        }
    }
}

const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
