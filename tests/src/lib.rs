// SPDX-License-Identifier: Apache-2.0
//! The harness of the end-to-end tests: namespaces, cgroups, real servers, faulty servers and unmodified clients.
//!
//! It exists so that a suite in `tests/` reads as a rule and not as plumbing. Every guard undoes what it did when it
//! is dropped, also during a panic. The harness never depends on `ambassador` itself: the program is run as a user
//! runs it.

pub mod ambassador;
pub mod ambiguous;
pub mod attack;
pub mod certificate;
pub mod cgroup;
pub mod comparison;
pub mod destinations;
pub mod driver;
pub mod fault;
pub mod footprint;
pub mod http;
#[cfg(target_arch = "x86_64")]
pub mod injection;
pub mod kernel_maps;
pub mod link;
pub mod listener;
pub mod memory_limit;
pub mod metrics;
pub mod namespace;
pub mod nginx;
pub mod path;
pub mod postgres;
pub mod process;
pub mod pulse;
pub mod redis;
pub mod refused_program;
pub mod script;
pub mod siege;
pub mod slow_link;
pub mod summary;
pub mod terminal;
pub mod two_sided;
pub mod wait;
pub mod witness;

pub use ambassador::Ambassador;
pub use attack::Attack;
pub use cgroup::Cgroup;
pub use comparison::{Comparison, Told};
pub use destinations::Destinations;
pub use driver::Driver;
pub use fault::{Answer, FaultUpstream, Reply};
pub use footprint::Footprint;
pub use link::Link;
pub use listener::TcpPeer;
pub use namespace::Namespace;
pub use nginx::Nginx;
pub use postgres::Postgres;
pub use process::{Finished, Process};
pub use redis::Redis;
pub use refused_program::RefusedProgram;
pub use siege::{Ordeal, Siege};
pub use slow_link::SlowLink;
pub use terminal::Terminal;
pub use witness::Witness;
