// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask matrix [KERNEL…]`: ambassador in virtual machines with Debian's kernels, one line per check.
//!
//! It exists because another kernel has another verifier and other hooks, and this machine has one kernel. The machines
//! are emulated, so that it runs where there is no KVM. A kernel on which something hangs ends at a time limit.

pub(crate) mod apt;
mod checks;
mod closing;
mod image;
mod kernel;
mod report;
mod vm;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{setup, steps};
use closing::Closing;
use kernel::Wanted;

/// Boots each kernel and checks ambassador in it. `names` as [`Wanted::parse`] takes them; none means all of
/// [`kernel::DEFAULT`], and [`kernel::TOO_OLD`] if it can be had.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let names: Vec<&str> = if names.is_empty() {
        kernel::DEFAULT.into_iter().chain([kernel::TOO_OLD]).collect()
    } else {
        names.iter().map(String::as_str).collect()
    };
    let wanted = names.iter().map(|name| Wanted::parse(name)).collect::<Result<Vec<_>>>()?;
    setup::run()?;
    let image = image::build()?;
    let (mut failed, mut closing) = (Vec::new(), Closing::default());
    for (name, wanted) in names.into_iter().zip(wanted) {
        let kernel = match wanted.fetch() {
            Ok(kernel) => kernel,
            Err(error) => {
                println!("matrix: SKIPPED {wanted}: {error:#}");
                steps::leave_out(format!("kernel {wanted}: {error:#}"));
                closing.skipped.push(format!("{wanted}: {error:#}"));
                if name != kernel::TOO_OLD {
                    failed.push(format!("{wanted} (skipped)"));
                }
                continue;
            }
        };
        println!("matrix: {wanted}: booting {} …", kernel.version);
        let (started, processor) = (Instant::now(), closing::processor_time());
        let console = vm::boot(&kernel.path, image.path())?;
        closing.checked += 1;
        closing.took += started.elapsed();
        closing.processor += closing::processor_time().saturating_sub(processor);
        let report = report::Report::read(&console);
        print!("{}", report.lines(&kernel.version));
        println!("matrix: {wanted}: {} in {:.0?}", report.verdict(), started.elapsed());
        if !report.holds() {
            println!("{}", report::last_lines(&console));
            failed.push(wanted.to_string());
        }
    }
    print!("{}", closing.lines());
    if !failed.is_empty() {
        bail!("matrix: not on {}", failed.join(", "));
    }
    if closing.is_too_slow() {
        bail!("matrix: the machines took more than {:?} of the processor", closing::BOUND);
    }
    Ok(())
}
