// SPDX-License-Identifier: Apache-2.0
//! One virtual machine: no disk, no network, a serial console, and an end in any case.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ambassador_tests::{Process, wait};
use anyhow::Result;

/// Boots, and gives what came over the console until the machine was switched off, or until its time was over.
pub(crate) fn boot(kernel: &Path, image: &Path) -> Result<String> {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(MACHINE.split_whitespace()).args(["-cpu", processor(kernel)]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(image);
    let mut machine = Process::spawn(command.args(["-append", COMMAND_LINE]))?;
    let ended = wait::until_true("the end of the machine", LIMIT, || !machine.is_running());
    let mut console = machine.stdout() + &machine.stderr();
    if ended.is_err() {
        console.push_str("\nThe machine was killed: its time was over.\n");
    }
    Ok(console)
}

/// What the kernel of this file is to see. The emulator (7.2) now and then gets `cmpxchg16b` wrong, which 6.1
/// and 6.12 do without if they have to; 7.2 does not boot without it, and did not fail with it.
fn processor(kernel: &Path) -> &'static str {
    let name = kernel.file_name().unwrap_or_default().to_string_lossy();
    let mut numbers =
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < (6, 13) => "max,-cx16",
        _ => "max",
    }
}

/// Two processors on one thread: on a thread each, the emulator lets kernels die that patch their own code (6.12 at
/// boot).
const MACHINE: &str = "-accel tcg,thread=single -smp 2 -m 1024 -display none -monitor none -serial stdio \
                       -no-reboot -nic none";
/// A panic ends the machine at once.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet mitigations=off rdinit=/init";
const LIMIT: Duration = Duration::from_secs(95);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_kernels_do_without_what_the_emulator_gets_wrong() {
        for (name, want) in [
            ("vmlinuz-6.12.95+deb12-cloud-amd64", "max,-cx16"),
            ("vmlinuz-6.1.0-44-cloud-amd64", "max,-cx16"),
            ("vmlinuz-7.2.13+deb14-cloud-amd64", "max"),
            ("bzImage", "max"),
        ] {
            assert_eq!(processor(Path::new(name)), want, "{name}");
        }
    }
}
