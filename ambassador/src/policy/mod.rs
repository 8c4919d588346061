// SPDX-License-Identifier: Apache-2.0
//! Every decision of the program, and nothing else: which route, whether to retry, whether the breaker admits.
//!
//! It exists so that each rule can be read and tested without a runtime or a socket. It must never do I/O, read a
//! clock, block, or draw its own randomness: `now` ([`clock::Now`]) and `rng` are arguments. What workers share here
//! is atomic; no lock is ever taken for a request.

pub mod clock;
pub mod mode;

pub mod facts;
pub mod matcher;
pub mod route;
pub mod foresight;
pub mod eager;
pub mod down;

pub mod deadline;
pub mod timeouts;

pub mod classify;
pub mod retry;
pub mod pushback;
pub mod retry_after;

pub mod backoff;
pub mod budget;

pub mod breaker;
pub mod tally;
pub mod window;

pub mod balance;
pub mod bulkhead;
