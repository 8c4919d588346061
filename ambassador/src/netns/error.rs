// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with a network namespace.

use std::{io, path::PathBuf};

/// An error of opening or entering a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// There is none of this name.
    #[error(
        "there is no network namespace {}: `ip netns list` tells their names; a file such as /proc/PID/ns/net needs a `/`",
        path.display()
    )]
    Unknown {
        /// Where it would be.
        path: PathBuf,
    },
    /// A file that is no network namespace.
    #[error("{} is no network namespace", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
    /// The namespace's file cannot be opened.
    #[error("cannot open the network namespace {}", path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace cannot be entered.
    #[error("cannot enter the network namespace {}; this needs CAP_SYS_ADMIN", path.display())]
    Enter {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The thread that is to enter the namespace cannot be made.
    #[error("cannot start a thread for the network namespace {}", path.display())]
    Thread {
        /// The namespace's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace cannot be told from others.
    #[error("cannot read the cookie of the network namespace {} (Linux 5.14)", path.display())]
    Cookie {
        /// The namespace's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
