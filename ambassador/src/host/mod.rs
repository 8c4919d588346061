// SPDX-License-Identifier: Apache-2.0
//! The machine around the proxy: cgroups, the wrapped command, its signals, and the proxy's own privileges.

pub mod caller_signals;
pub mod cgroup;
pub mod command;
pub mod confinement;
pub mod free_memory;
pub mod privileges;
mod readable;
pub mod signals;
pub mod spare_blocks;
pub mod user;
