// SPDX-License-Identifier: Apache-2.0
//! Facts about connections: dials, connects that were held, and what was accepted for nobody.

use std::net::SocketAddr;
use std::time::Duration;

use super::Destination;
use crate::telemetry::labels::{ErrorType, HoldOutcome, TestResult};

/// A dial has succeeded or failed.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectFinished {
    /// What was dialled.
    pub destination: Destination,
    /// How long it took.
    pub duration: Duration,
    /// Why it failed.
    pub error: Option<ErrorType>,
}

/// A SYN that was held has been answered, or is left to the program's timers.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectHeld {
    /// Where it was going.
    pub destination: Destination,
    /// What came of it.
    pub outcome: HoldOutcome,
    /// How long it was held.
    pub held: Duration,
}

/// `connect()` had succeeded at once, and then the dial failed.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectLied {
    /// Where it was going.
    pub destination: Destination,
}

/// The self-test was made.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfTested {
    /// What came of it.
    pub result: TestResult,
}

/// An accepted connection had no original destination; it was reset, never guessed.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingDestination {
    /// The program's side of the connection.
    pub client: SocketAddr,
}
