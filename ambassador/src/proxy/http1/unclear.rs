// SPDX-License-Identifier: Apache-2.0
//! What becomes of a request that cannot be read without a guess: a flow's route decides it, both readers obey.

/// What is done with a request that two parsers could read differently, or that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// It is refused before a byte of it goes out: a policy selects by what requests say.
    Refuse,
    /// Its flow is relayed as it is, on a connection that carries nothing else.
    Relay,
}
