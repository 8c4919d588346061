// SPDX-License-Identifier: Apache-2.0
//! Load generators, and what they say of a run. A run with an error is no measurement.

pub(crate) mod h2load;
pub(crate) mod wrk;
