// SPDX-License-Identifier: Apache-2.0
//! Panics: told in a line each, and counted.
//!
//! A panic is a defect of ambassador. It ends the flow that it is met in and nothing else, so that nobody but this
//! line and this number would ever tell of it. Both are made before the stack unwinds, wherever the panic is caught.
//! They take no lock of ours: the panic may have come from below it.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{PanicHookInfo, set_hook},
    thread,
};

use prometheus::IntCounter;

use crate::telemetry::access_log::escape;

/// Tells of every panic of the process from here on, and counts it.
pub(super) fn count(panics: IntCounter) {
    set_hook(Box::new(move |panic| {
        panics.inc();
        tell(panic);
    }));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let message = escape(panic.payload_as_str().unwrap_or("no text"));
    let (thread, at) = (thread::current(), panic.location().map(tracing::field::display));
    let thread = thread.name().unwrap_or("without a name");
    tracing::error!(thread, at, "a panic, which is a defect of ambassador: please report it: {message}");
    // Only where `RUST_BACKTRACE` asks for it.
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        tracing::error!("the panic came from:\n{trace}");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::take_hook;

    use super::*;

    #[test]
    fn a_panic_is_counted_wherever_it_is_caught() {
        let panics = IntCounter::new("panics", "as it should").expect("a name");
        count(panics.clone());
        let ended = thread::spawn(|| panic!("as it should")).join();
        drop(take_hook());
        assert!(ended.is_err());
        assert!(panics.get() > 0, "tests beside this one may panic, too");
    }
}
