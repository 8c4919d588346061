// SPDX-License-Identifier: Apache-2.0
//! Finds where a chunked body ends (RFC 9112 §7.1) without changing it.
//!
//! The bytes are relayed as they are, extensions and trailers included; only sizes and line ends are followed. What
//! parsers are known to read differently (bare LF or CR, sizes beyond 64 bits, folded trailers) is an error. It keeps
//! no bytes, so no peer can make it grow.

/// Follows one chunked body.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    /// Bytes of the current chunk that are still to come.
    left: u64,
    /// Bytes of the current line, or of all trailers.
    line: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the first digit of a size.
    #[default]
    Size,
    /// In a size.
    Digits,
    /// After a size, in whitespace that pads it.
    Padding,
    /// In chunk extensions.
    Extension,
    /// After the CR of a size line.
    SizeEnd,
    Data,
    /// After the data, before its CR.
    DataCr,
    /// After the CR of the data.
    DataEnd,
    /// At the start of a trailer line, or of the empty line that ends the body.
    Trailer,
    TrailerLine,
    /// After the CR of a trailer line.
    TrailerEnd,
    /// After the CR of the last, empty line.
    LastEnd,
    Done,
}

/// The longest size line, with its extensions.
const SIZE_LINE_MAX: usize = 4 * 1024;
/// The most bytes of trailers.
const TRAILERS_MAX: usize = 64 * 1024;

impl Chunked {
    /// Takes the next bytes and returns how many of them belong to the body; fewer than all once it is done.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let rest = (bytes.len() - at) as u64;
                let taken = self.left.min(rest);
                self.left -= taken;
                // `taken` is at most the length of a slice.
                at += usize::try_from(taken).unwrap_or(bytes.len());
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// The last chunk and the trailers have passed.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn step(&mut self, byte: u8) -> Result<State, &'static str> {
        Ok(match (self.state, byte) {
            (State::Size, _) => {
                self.left = hex(byte).ok_or("a chunk has no size")?;
                self.line = 1;
                State::Digits
            }
            (State::Digits | State::Padding | State::Extension, b'\r') => State::SizeEnd,
            (State::Digits | State::Padding, b';') => State::Extension,
            (State::Digits | State::Padding, b' ' | b'\t') => {
                self.grow(SIZE_LINE_MAX, "a chunk's size line is too long")?;
                State::Padding
            }
            (State::Digits, _) => {
                let digit = hex(byte).ok_or("a chunk's size is not a number")?;
                self.grow(SIZE_LINE_MAX, "a chunk's size line is too long")?;
                let shifted = self.left.checked_mul(16).ok_or("a chunk's size is too large")?;
                self.left = shifted + digit;
                State::Digits
            }
            (State::Padding, _) => return Err("a chunk's size is not a number"),
            (State::Extension, byte) if is_text(byte) => {
                self.grow(SIZE_LINE_MAX, "a chunk's size line is too long")?;
                State::Extension
            }
            (State::Extension, _) => return Err("a chunk extension has a control byte"),
            (State::SizeEnd, b'\n') if self.left > 0 => State::Data,
            (State::SizeEnd, b'\n') => {
                self.line = 0;
                State::Trailer
            }
            (State::DataCr, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size,
            (State::DataCr | State::DataEnd, _) => return Err("a chunk is longer than its size"),
            (State::Trailer, b'\r') => State::LastEnd,
            (State::Trailer, byte) if is_name(byte) => {
                self.grow(TRAILERS_MAX, "the trailers are too long")?;
                State::TrailerLine
            }
            (State::Trailer, _) => return Err("a trailer has no name"),
            (State::TrailerLine, b'\r') => State::TrailerEnd,
            (State::TrailerLine, byte) if is_text(byte) => {
                self.grow(TRAILERS_MAX, "the trailers are too long")?;
                State::TrailerLine
            }
            (State::TrailerLine, _) => return Err("a trailer has a control byte"),
            (State::TrailerEnd, b'\n') => State::Trailer,
            (State::LastEnd, b'\n') => State::Done,
            (State::SizeEnd | State::TrailerEnd | State::LastEnd, _) => return Err("a CR without LF"),
            (State::Data | State::Done, _) => self.state,
        })
    }

    fn grow(&mut self, most: usize, error: &'static str) -> Result<(), &'static str> {
        self.line += 1;
        if self.line > most { Err(error) } else { Ok(()) }
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// Visible, space, tab, or beyond ASCII.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// May begin the name of a field.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(input: &[u8], want: Result<Option<usize>, ()>) {
        let mut chunked = Chunked::default();
        let got = chunked.advance(input).map(|end| chunked.is_done().then_some(end)).map_err(|_| ());
        assert_eq!(got, want, "{}", input.escape_ascii());
    }

    #[test]
    fn a_body_ends_where_it_says() {
        check(b"0\r\n\r\n", Ok(Some(5)));
        check(b"0\r\n\r\nGET / HTTP/1.1\r\n", Ok(Some(5)));
        check(b"5\r\nhello\r\n000\r\n\r\n", Ok(Some(17)));
        check(b"A;x=\"y;z\"\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nY:\r\n\r\nrest", Ok(Some(47)));
        check(b"5  \r\nhello\r\n0 ;a\r\n\r\n", Ok(Some(20)));
        check(b"ffffffffffffffff\r\nx", Ok(None));
        check(b"5\r\nhel", Ok(None));
    }

    #[test]
    fn what_two_parsers_may_read_differently_is_refused() {
        for input in [
            &b"5\nhello\r\n"[..],
            b"5\r\nhello\n0\r\n\r\n",
            b"5;a\nb\r\nhello\r\n",
            b"5;a\rb\r\nhello\r\n",
            b"10000000000000000\r\n",
            b"0x5\r\nhello\r\n",
            b"-1\r\n",
            b"+5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"\r\n",
            b"5\r\nhello!\r\n",
            b"5 5\r\nhello\r\n",
            b"0\r\n\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\nX: a\nY: b\r\n\r\n",
            b"0\r\nX: \0\r\n\r\n",
            b"0\r\n\rx",
        ] {
            check(input, Err(()));
        }
    }

    #[test]
    fn lines_are_bounded() {
        let mut size_line = b"1;".to_vec();
        size_line.resize(SIZE_LINE_MAX + 2, b'a');
        check(&size_line, Err(()));
        let mut trailers = b"0\r\n".to_vec();
        while trailers.len() < TRAILERS_MAX + 16 {
            trailers.extend(b"a: b\r\n");
        }
        trailers.extend(vec![b'a'; TRAILERS_MAX / 2]);
        check(&trailers, Err(()));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_end(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in prop::collection::vec(1_usize..20, 1..40),
            rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:x};e=1\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\nT: v\r\n\r\n");
            let end = wire.len();
            wire.extend(rest);
            let mut chunked = Chunked::default();
            let (mut at, mut consumed) = (0, 0);
            for cut in cuts.iter().cycle() {
                let piece = &wire[at..(at + cut).min(wire.len())];
                let taken = chunked.advance(piece).expect("well-formed");
                consumed += taken;
                at += piece.len();
                if chunked.is_done() || at == wire.len() {
                    break;
                }
                prop_assert_eq!(taken, piece.len());
            }
            prop_assert!(chunked.is_done());
            prop_assert_eq!(consumed, end);
        }

        #[test]
        fn any_split_of_anything_gives_the_same_verdict(input in "[0-9a-f;\r\n x]{0,60}", cut in 0_usize..60) {
            let whole = { let mut c = Chunked::default(); c.advance(input.as_bytes()).map(|n| (n, c.is_done())) };
            let cut = cut.min(input.len());
            let mut c = Chunked::default();
            let split = c.advance(&input.as_bytes()[..cut]).and_then(|first| {
                let second = c.advance(&input.as_bytes()[cut..])?;
                Ok((first + second, c.is_done()))
            });
            prop_assert_eq!(whole, split);
        }
    }
}
