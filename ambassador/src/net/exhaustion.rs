// SPDX-License-Identifier: Apache-2.0
//! A machine that has no more descriptors or memory to give, for now.
//!
//! It says nothing about a program or a destination, and it passes when some connection ends: whoever meets it waits
//! and asks again. It must never be asked again at once, which would only burn processor time.

use std::{io, time::Duration};

/// How long to wait before asking again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Whether `error` is one.
pub(super) fn is(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
