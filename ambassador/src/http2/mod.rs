// SPDX-License-Identifier: Apache-2.0
//! What both sides of an HTTP/2 flow share: limits, bodies, and the program's end of a stream.
//!
//! The frames are those of the `h2` crate, used directly: what it tells apart (a reset and its code, a lost connection,
//! a GOAWAY, an interim reply) must reach the other side as what it was. A cut body must never look complete.

pub(crate) mod limits;
pub(crate) mod windows;
pub(crate) mod heads;
pub(crate) mod incoming;
pub(crate) mod pump;
pub(crate) mod stream;
pub(crate) mod ending;
pub(crate) mod heard_out;
mod frame;
mod position;
mod pace;
pub(crate) mod link;
mod tap;
pub(crate) mod tapped;
pub(crate) mod program_tap;
pub(crate) mod upstream_tap;
#[cfg(test)]
mod tests;
