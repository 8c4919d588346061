// SPDX-License-Identifier: Apache-2.0
//! The subcommands, one file each; no logic.

pub mod check;
pub mod explain;
pub mod output;
pub mod schema;
