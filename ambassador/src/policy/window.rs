// SPDX-License-Identifier: Apache-2.0
//! The sliding windows that a breaker's rates are computed over.
