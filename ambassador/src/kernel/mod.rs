// SPDX-License-Identifier: Apache-2.0
//! The kernel side as user space sees it: loading the programs, attaching them, and their maps.
//!
//! It is the only place that names aya. [`Kernel`] owns what keeps interception alive (the links, never pinned: when
//! it is dropped or the process dies, the kernel detaches everything and new connections go direct).
//! [`KernelMaps`] is what the rest of the program works with; it is cheap, lock-free and needs no capability.
//!
//! aya parses and loads the object; maps and links are then driven by direct `bpf(2)` calls (`syscall`). aya's map
//! types need `&mut self` to write, which would put a lock on the way of every connection, and its program types
//! keep the parsed object in memory for as long as they live.

mod attach;
mod clock;
mod error;
mod event;
mod filter;
mod good;
mod load;
mod log;
mod maps;
mod object;
mod origin;
mod ring_wait;
mod support;
mod syn_events;
mod syscall;
mod table;
mod targets;
mod truthful;
mod words;

pub use ambassador_ebpf::{counter::Counter, landing::Landing, listener::MAX_RINGS, verdict::Ticket};
pub use attach::{Kernel, LoadOptions};
pub use clock::monotonic_ns;
pub use error::KernelError;
pub use event::{FlowKey, SynEvent, SynEventError};
pub use filter::detach_filter;
pub use load::{FILTER, PROGRAMS, Tried, may, try_programs};
pub use log::KernelLog;
pub use maps::{Counters, KernelMaps};
pub use origin::{Caller, OrigDst, Origin};
pub use support::{Support, support};
pub use syn_events::{SynEventStream, SynEvents};
pub use targets::{RefuseRule, WhileStale};
