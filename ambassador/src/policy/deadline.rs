// SPDX-License-Identifier: Apache-2.0
//! What is left of a request's time.
//!
//! The total limit bounds everything: no attempt, connect or wait may outlive it, whatever its own limit is.
