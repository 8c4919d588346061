// SPDX-License-Identifier: Apache-2.0
//! The first bytes of a flow, from which its protocol is told.

use ambassador::net::detect::{Sniffed, sniff};
use ambassador::policy::matcher::Protocol;

/// A decision never changes with more bytes. The one exception: nobody waits for the rest of a line that begins with
/// no known method, so such a request that comes in pieces is opaque.
pub fn check(bytes: &[u8]) {
    let whole = sniff(bytes);
    for cut in 0..bytes.len().min(CUTS) {
        let part = sniff(&bytes[..cut]);
        let in_pieces = part == Sniffed::Protocol(Protocol::Opaque)
            && whole == Sniffed::Protocol(Protocol::Http1)
            && !bytes[..cut].contains(&b'\n');
        let holds = part == Sniffed::Undecided || part == whole || in_pieces;
        assert!(holds, "{part:?} after {cut} bytes, then {whole:?}");
    }
}

/// Each cut looks at all bytes before it.
const CUTS: usize = 512;
