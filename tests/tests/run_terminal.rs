// SPDX-License-Identifier: Apache-2.0
//! At a terminal `ambassador run` is invisible: the command owns the terminal, and Ctrl-C, Ctrl-Z and `fg` work.

use std::process::Command;
use std::time::Duration;

use ambassador_tests::{Ambassador, Namespace, Terminal};
use anyhow::{Result, ensure};

const SOON: Duration = Duration::from_secs(15);

/// An interactive shell at a terminal, and the line to type that runs `program` under ambassador.
fn shell(ambassador: &Ambassador, namespace: &Namespace, program: &[&str]) -> Result<(Terminal, String)> {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "prompt> ").env_remove("PROMPT_COMMAND");
    let mut terminal = Terminal::open(&mut bash)?;
    terminal.expect("prompt> ", SOON)?;
    let command = ambassador.command(namespace, program);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> =
        words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))).collect();
    Ok((terminal, line.join(" ") + "\n"))
}

#[test]
fn the_command_has_the_terminal_in_the_foreground() -> Result<()> {
    let (namespace, ambassador) = (Namespace::new("terminal")?, Ambassador::run("-q")?);
    let script = "import os; print('is', 'all' if all(map(os.isatty, range(3))) else 'no', 'tty,', \
        'foreground' if os.tcgetpgrp(0) == os.getpgrp() else 'background')";
    let (mut terminal, line) = shell(&ambassador, &namespace, &["/usr/bin/python3", "-c", script])?;
    terminal.type_keys(&line)?;
    terminal.expect("is all tty, foreground", SOON)?;
    terminal.expect("prompt> ", SOON)
}

#[test]
fn the_command_reads_what_is_typed() -> Result<()> {
    let (namespace, ambassador) = (Namespace::new("terminal")?, Ambassador::run("-q")?);
    let (mut terminal, line) =
        shell(&ambassador, &namespace, &["sh", "-c", "echo re''ady; read word; echo \"got: $word\""])?;
    terminal.type_keys(&line)?;
    terminal.expect("ready", SOON)?;
    terminal.type_keys("something\n")?;
    terminal.expect("got: something", SOON)
}

#[test]
fn control_c_reaches_the_command_once() -> Result<()> {
    let (namespace, ambassador) = (Namespace::new("terminal")?, Ambassador::run("-q")?);
    let script = "import signal, time\nseen = []\nsignal.signal(signal.SIGINT, lambda *_: seen.append(1))\nprint('re' + 'ady', flush=True)\n\
        end = time.monotonic() + 60\nwhile not seen and time.monotonic() < end: time.sleep(0.01)\ntime.sleep(0.5)\n\
        print('interrupts:', len(seen))";
    let (mut terminal, line) = shell(&ambassador, &namespace, &["/usr/bin/python3", "-c", script])?;
    terminal.type_keys(&line)?;
    terminal.expect("ready", SOON)?;
    terminal.type_keys("\x03")?;
    terminal.expect("interrupts: 1", SOON)
}

#[test]
fn control_c_ends_a_command_that_does_not_catch_it() -> Result<()> {
    let (namespace, ambassador) = (Namespace::new("terminal")?, Ambassador::run("-q")?);
    let (mut terminal, line) =
        shell(&ambassador, &namespace, &["sh", "-c", "echo re''ady; exec sleep 1000"])?;
    terminal.type_keys(&line)?;
    terminal.expect("ready", SOON)?;
    terminal.type_keys("\x03")?;
    terminal.expect("prompt> ", SOON)?;
    terminal.type_keys("echo co''de=$?\n")?;
    terminal.expect("code=130", SOON)?;
    ambassador.cgroup.until_clean()
}

#[test]
fn control_z_stops_and_fg_continues() -> Result<()> {
    let (namespace, ambassador) = (Namespace::new("terminal")?, Ambassador::run("-q")?);
    let (mut terminal, line) =
        shell(&ambassador, &namespace, &["sh", "-c", "echo re''ady; read word; echo \"got: $word\""])?;
    terminal.type_keys(&line)?;
    terminal.expect("ready", SOON)?;
    terminal.type_keys("\x1a")?;
    terminal.expect("Stopped", SOON)?;
    terminal.expect("prompt> ", SOON)?;
    terminal.type_keys("fg\n")?;
    terminal.expect("ambassador", SOON)?;
    terminal.type_keys("again\n")?;
    terminal.expect("got: again", SOON)?;
    terminal.expect("prompt> ", SOON)?;
    terminal.type_keys("exit 0\n")?;
    ensure!(terminal.finish(SOON)? == Some(0));
    ambassador.cgroup.until_clean()
}
