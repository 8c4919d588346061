// SPDX-License-Identifier: Apache-2.0
//! Where one direction of a connection is among its frames.
//!
//! It exists so that a frame can be put between two others, or taken out, without a copy of what passes.

use super::frame::FrameHeader;

/// How far the frame under way has passed.
#[derive(Clone, Copy, Default)]
pub(super) struct Position {
    /// The part of its header that has passed, until all of it has.
    header: [u8; FrameHeader::LENGTH],
    passed: usize,
    /// Bytes of it that are still to come.
    rest: usize,
    /// A head is under way, whose next part must follow at once.
    in_head: bool,
    /// The frame under way is part of a head.
    is_head: bool,
    /// Bytes of heads that have passed and were not [told](Self::take_heads) yet.
    heads: usize,
}

impl Position {
    /// Before the first frame, and before `bytes` that are none.
    pub(super) fn after(bytes: usize) -> Self {
        Self { rest: bytes, ..Self::default() }
    }

    /// Whether another frame may be put here.
    pub(super) fn is_between(&self) -> bool {
        self.is_at_header() && !self.in_head
    }

    /// How many of `bytes`, which come next, are of frames that do not `stop` it; none of a header that is cut.
    pub(super) fn free(mut self, bytes: &[u8], stop: impl Fn(&FrameHeader) -> bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.is_at_header() {
                match FrameHeader::parse(&bytes[at..]) {
                    Some(header) if !stop(&header) => {}
                    _ => return at,
                }
            }
            at += self.step(&bytes[at..]);
        }
        at
    }

    /// Passes `bytes`.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let step = self.step(bytes);
            bytes = &bytes[step..];
        }
    }

    /// How many bytes of heads have passed since this was asked last.
    pub(super) fn take_heads(&mut self) -> usize {
        std::mem::take(&mut self.heads)
    }

    fn is_at_header(&self) -> bool {
        self.passed == 0 && self.rest == 0
    }

    /// Passes the rest of a header, or of what follows it; `bytes` are some.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.rest > 0 {
            let count = self.rest.min(bytes.len());
            self.rest -= count;
            self.heads += if self.is_head { count } else { 0 };
            return count;
        }
        let count = (FrameHeader::LENGTH - self.passed).min(bytes.len());
        self.header[self.passed..self.passed + count].copy_from_slice(&bytes[..count]);
        self.passed += count;
        if self.passed == FrameHeader::LENGTH {
            self.passed = 0;
            if let Some(header) = FrameHeader::parse(&self.header) {
                self.rest = header.length;
                self.is_head = header.is_of_head();
                self.in_head = header.leaves_head_open();
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let open_head = [0, 0, 2, 1, 0, 0, 0, 0, 1, 7, 7];
        let last_head = [0, 0, 1, 9, 4, 0, 0, 0, 1, 7];
        let bytes = [&b"preface"[..], &PING, &open_head, &last_head].concat();
        let ends = [7, 24, 45];
        let mut position = Position::after(7);
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(position.is_between(), ends.contains(&at), "{at}");
            position.pass(&[*byte]);
        }
        assert!(position.is_between());
    }

    #[test]
    fn bytes_of_heads_are_counted_however_they_are_cut() {
        let head = [0, 0, 2, 1, 0, 0, 0, 0, 1, 7, 7];
        let last_head = [0, 0, 1, 9, 4, 0, 0, 0, 1, 7];
        let bytes = [&PING[..], &head, &last_head, &PING].concat();
        for at in 0..bytes.len() {
            let mut position = Position::default();
            position.pass(&bytes[..at]);
            let before = position.take_heads();
            position.pass(&bytes[at..]);
            assert_eq!(before + position.take_heads(), 3, "{at}");
        }
    }

    #[test]
    fn what_passes_ends_before_a_frame_that_stops_it_or_whose_header_is_cut() {
        let data = [0, 0, 1, 0, 0, 0, 0, 0, 1, 7];
        let bytes = [&data[..], &PING, &data].concat();
        let free = |bytes: &[u8], kind| Position::default().free(bytes, |header| header.is(kind));
        assert_eq!(free(&bytes, 6), 10);
        assert_eq!(free(&bytes, 4), bytes.len());
        assert_eq!(free(&bytes[..30], 4), 27, "the third header is cut");
        assert_eq!(Position::after(3).free(&bytes[..3], |_| true), 3);
    }
}
