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
    command.args(MACHINE.split_whitespace()).arg("-kernel").arg(kernel).arg("-initrd").arg(image);
    let mut machine = Process::spawn(command.args(["-append", COMMAND_LINE]))?;
    let ended = wait::until_true("the end of the machine", LIMIT, || !machine.is_running());
    let mut console = machine.stdout() + &machine.stderr();
    if ended.is_err() {
        console.push_str("\nThe machine was killed: its time was over.\n");
    }
    Ok(console)
}

/// Two processors on one thread: on a thread each, the emulator lets kernels die that patch their own code (6.12 at boot).
const MACHINE: &str = "-accel tcg,thread=single -cpu max -smp 2 -m 1024 -display none -monitor none -serial stdio \
                       -no-reboot -nic none";
/// A panic ends the machine at once.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet mitigations=off rdinit=/init";
const LIMIT: Duration = Duration::from_secs(95);
