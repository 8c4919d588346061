// SPDX-License-Identifier: Apache-2.0
//! Reading `Retry-After`.
//!
//! The header is an upstream's claim: any text is accepted, and one that is malformed counts as absent.
