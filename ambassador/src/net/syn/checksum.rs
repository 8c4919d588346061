// SPDX-License-Identifier: Apache-2.0
//! The Internet checksum (RFC 1071).

/// The one's complement sum of 16-bit words, as far as it has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checksum(u32);

impl Checksum {
    /// Adds `bytes`, padded with a zero byte if their number is odd: only the last ones may be odd.
    ///
    /// The sum cannot overflow: it takes 65 537 words, and what is summed here is a few hundred bytes.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        let last = rest.first().map_or(0, |byte| u32::from(*byte) << 8);
        Self(words.iter().fold(self.0 + last, |sum, word| sum + u32::from(u16::from_be_bytes(*word))))
    }

    /// The checksum of all that was added.
    pub(super) fn finish(self) -> [u8; 2] {
        // Twice, because the first carry can carry once more.
        let folded = (self.0 & 0xffff) + (self.0 >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        let [_, _, high, low] = (!folded).to_be_bytes();
        [high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let sum = Checksum::default().add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), (!0xddf2_u16).to_be_bytes());
    }

    #[test]
    fn an_odd_byte_counts_as_the_high_half_of_a_word() {
        assert_eq!(
            Checksum::default().add(&[1, 2, 3]).finish(),
            Checksum::default().add(&[1, 2, 3, 0]).finish()
        );
    }
}
