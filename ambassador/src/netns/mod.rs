// SPDX-License-Identifier: Apache-2.0
//! Network namespaces: running a closure in one, and making sockets there.
//!
//! A thread that enters another namespace never leaves it and is never one of the workers: it hands back file
//! descriptors. A socket stays in the namespace that it was made in, whoever drives it, so the workers serve all
//! namespaces without being in any of them.

mod cookie;
mod error;
mod namespace;
mod sockets;

pub use error::NamespaceError;
pub use namespace::Namespace;
pub use sockets::SocketFactory;
