// SPDX-License-Identifier: Apache-2.0
//! Which header lines a head has, as far as one word can tell.
//!
//! Most lines that are asked for are not there, and looking through the bytes only to find nothing costs more than
//! parsing some of them. It may take a line for possible that is not there, never the other way round.

/// One bit for many names, by their length and first letter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Names(u64);

impl Names {
    /// Notes a line called `name`.
    pub(super) fn add(&mut self, name: &str) {
        self.0 |= Self::bit(name);
    }

    /// There may be a line called `name`, in whatever case; if not, there is none.
    pub(super) fn may_have(self, name: &str) -> bool {
        self.0 & Self::bit(name) != 0
    }

    fn bit(name: &str) -> u64 {
        let first = name.bytes().next().unwrap_or_default() | 0x20;
        1 << (name.len().wrapping_mul(7).wrapping_add(usize::from(first)) % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_any_case() {
        let mut names = Names::default();
        names.add("Retry-After");
        assert!(names.may_have("retry-after") && names.may_have("RETRY-AFTER"));
        assert!(!names.may_have("grpc-status") && !Names::default().may_have("retry-after"));
    }
}
