// SPDX-License-Identifier: Apache-2.0
//! Whether a route's policies act, only say what they would have done, or rest.
//!
//! Shadow exists so that an operator can see a policy's effect before it has one. A shadowed policy must never change
//! what the program sees.

/// How much a route's policies may do (`mode`), most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Policies act.
    #[default]
    Enforce,
    /// Policies decide and are counted, but nothing is refused, retried or cut short.
    Shadow,
    /// Policies are not consulted; connections are only relayed and counted.
    Off,
}

impl Mode {
    /// Whether decisions change what happens.
    pub const fn acts(self) -> bool {
        matches!(self, Self::Enforce)
    }

    /// Whether decisions are made and counted at all.
    pub const fn decides(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// The word of the configuration: `enforce`, `shadow` or `off`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}
