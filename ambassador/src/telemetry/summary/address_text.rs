// SPDX-License-Identifier: Apache-2.0
//! [`AddressText`]: an address in words, without memory of the heap: each flow without a name has one.

use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
    str,
};

/// Room for the words of an address.
pub(super) struct AddressText {
    bytes: [u8; LONGEST],
    length: usize,
}

impl AddressText {
    /// An address as it displays itself.
    pub(super) fn of(&mut self, address: SocketAddr) -> &str {
        self.length = 0;
        // It has room for every address; a longer one would be cut.
        let _ = write!(self, "{address}");
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Default for AddressText {
    fn default() -> Self {
        Self { bytes: [0; LONGEST], length: 0 }
    }
}

impl fmt::Write for AddressText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes[self.length..].get_mut(..part.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length += part.len();
        Ok(())
    }
}

/// `[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535`
const LONGEST: usize = 58;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_an_address_displays() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535";
        assert_eq!(longest.len(), LONGEST);
        let mut text = AddressText::default();
        for address in [longest, "10.0.0.1:80", "[::1]:443"] {
            assert_eq!(text.of(address.parse().expect("an address")), address);
        }
    }
}
