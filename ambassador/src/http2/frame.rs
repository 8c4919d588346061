// SPDX-License-Identifier: Apache-2.0
//! The frames of a connection itself, as far as they are read or made beside `h2` (RFC 9113 §4.1, §6).
//!
//! Frames of streams are `h2`'s alone: of those only the header is looked at, to know where the next one begins.

use bytes::{BufMut, BytesMut};

/// What every frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes that follow.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0 for the connection itself.
    pub(super) stream: u32,
}

impl FrameHeader {
    /// Its length in bytes.
    pub(super) const LENGTH: usize = 9;

    /// The header at the beginning of `bytes`, if it is whole.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<{ Self::LENGTH }>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self { length, kind, flags, stream: u32::from_be_bytes(stream) & STREAM_MAX })
    }

    /// Whether the frame is of `kind` and of the connection itself.
    pub(super) fn is(&self, kind: u8) -> bool {
        self.kind == kind && self.stream == 0
    }

    /// Whether it acknowledges one of the same kind: of SETTINGS and PING.
    pub(super) fn is_ack(&self) -> bool {
        self.flags & ACK != 0
    }

    /// Whether nothing but a CONTINUATION may follow.
    pub(super) fn leaves_head_open(&self) -> bool {
        self.is_of_head() && self.flags & END_HEADERS == 0
    }

    /// Whether it carries fields.
    pub(super) fn is_of_head(&self) -> bool {
        matches!(self.kind, HEADERS | PUSH_PROMISE | CONTINUATION)
    }

    fn put(self, into: &mut BytesMut) {
        into.put_uint(self.length as u64, 3);
        into.put_u8(self.kind);
        into.put_u8(self.flags);
        into.put_u32(self.stream);
    }
}

/// The whole frames in `bytes`, which are nothing else.
pub(super) fn each(mut bytes: &[u8]) -> impl Iterator<Item = (FrameHeader, &[u8])> {
    std::iter::from_fn(move || {
        let header = FrameHeader::parse(bytes)?;
        let (frame, rest) = bytes.split_at_checked(FrameHeader::LENGTH + header.length)?;
        bytes = rest;
        Some((header, frame))
    })
}

/// The answer to a whole PING.
pub(super) fn pong(ping: &[u8]) -> BytesMut {
    let mut answer = BytesMut::from(ping);
    if let Some(flags) = answer.get_mut(FLAGS_AT) {
        *flags |= ACK;
    }
    answer
}

/// Why a connection is left, by its GOAWAY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Farewell {
    pub(super) code: u32,
    /// What is said beside the code.
    pub(super) data: Vec<u8>,
}

impl Farewell {
    /// Reads a whole GOAWAY; also tells its last stream.
    pub(super) fn parse(frame: &[u8]) -> Option<(u32, Self)> {
        let (last, rest) = frame.get(FrameHeader::LENGTH..)?.split_first_chunk()?;
        let (code, data) = rest.split_first_chunk()?;
        let farewell = Self { code: u32::from_be_bytes(*code), data: data.to_vec() };
        Some((u32::from_be_bytes(*last) & STREAM_MAX, farewell))
    }

    /// Writes the GOAWAY of a connection whose last stream is `last`.
    pub(super) fn put(&self, last: u32, into: &mut BytesMut) {
        FrameHeader { length: 8 + self.data.len(), kind: GOAWAY, flags: 0, stream: 0 }.put(into);
        into.put_u32(last);
        into.put_u32(self.code);
        into.put_slice(&self.data);
    }

    /// Whether it says more than that the connection is left in order.
    pub(super) fn is_telling(&self) -> bool {
        self.code != 0 || !self.data.is_empty()
    }
}

/// How many streams the sender of these whole SETTINGS takes at a time, if they say so.
pub(super) fn streams_of(frame: &[u8]) -> Option<u32> {
    settings(frame).rev().find_map(|(id, value)| (id == MAX_CONCURRENT_STREAMS).then_some(value))
}

/// How many bytes of heads the sender of these whole SETTINGS takes in one message, if they say so.
pub(super) fn heads_of(frame: &[u8]) -> Option<u32> {
    settings(frame).rev().find_map(|(id, value)| (id == MAX_HEADER_LIST_SIZE).then_some(value))
}

/// Writes SETTINGS that say how many streams are taken at a time, and nothing else.
pub(super) fn put_streams(streams: u32, into: &mut BytesMut) {
    FrameHeader { length: 6, kind: SETTINGS, flags: 0, stream: 0 }.put(into);
    into.put_u16(MAX_CONCURRENT_STREAMS);
    into.put_u32(streams);
}

/// Writes these whole SETTINGS with another number of streams, and heads of so many bytes at most.
pub(super) fn put_settings(frame: &[u8], streams: u32, heads: u32, into: &mut BytesMut) {
    let others = settings(frame).filter(|(id, _)| *id != MAX_CONCURRENT_STREAMS);
    let streams = (streams != NO_LIMIT).then_some((MAX_CONCURRENT_STREAMS, streams));
    put_all(streams.into_iter().chain(others), heads, into);
}

/// Writes these whole SETTINGS with heads of so many bytes at most.
pub(super) fn put_heads(frame: &[u8], heads: u32, into: &mut BytesMut) {
    put_all(settings(frame), heads, into);
}

fn put_all(settings: impl Iterator<Item = (u16, u32)>, heads: u32, into: &mut BytesMut) {
    let lowered =
        |(id, value): (u16, u32)| (id, if id == MAX_HEADER_LIST_SIZE { value.min(heads) } else { value });
    let all: Vec<_> = settings.map(lowered).collect();
    FrameHeader { length: 6 * all.len(), kind: SETTINGS, flags: 0, stream: 0 }.put(into);
    for (id, value) in all {
        into.put_u16(id);
        into.put_u32(value);
    }
}

fn settings(frame: &[u8]) -> impl DoubleEndedIterator<Item = (u16, u32)> {
    let (settings, _) = frame.get(FrameHeader::LENGTH..).unwrap_or_default().as_chunks::<6>();
    settings.iter().map(|&[a, b, c, d, e, f]| (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])))
}

pub(super) const HEADERS: u8 = 0x1;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PUSH_PROMISE: u8 = 0x5;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const CONTINUATION: u8 = 0x9;
/// As many streams, or as long heads, as the other end likes.
pub(super) const NO_LIMIT: u32 = u32::MAX;
/// The highest stream there may be.
pub(super) const STREAM_MAX: u32 = u32::MAX >> 1;
/// Where the flags of a frame are.
const FLAGS_AT: usize = 4;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;
