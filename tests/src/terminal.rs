// SPDX-License-Identifier: Apache-2.0
//! A pseudo terminal with a session of its own: what a person at a shell has.
//!
//! It exists to test job control, which needs a controlling terminal. Dropping it hangs the session up.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::pty::openpty;

use crate::wait;

/// A program at a terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    read: usize,
}

impl Terminal {
    /// Starts `command` as the leader of a session whose terminal is this one.
    pub fn open(command: &mut Command) -> Result<Self> {
        let pair = openpty(None, None).context("open a pseudo terminal")?;
        let stdio = |fd: &OwnedFd| -> Result<Stdio> { Ok(Stdio::from(fd.try_clone()?)) };
        command.stdin(stdio(&pair.slave)?).stdout(stdio(&pair.slave)?).stderr(stdio(&pair.slave)?);
        // SAFETY: between fork and exec only async-signal-safe calls are made: setsid(2) and ioctl(2) on fd 0.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = command.spawn().with_context(|| format!("start {command:?} at a terminal"))?;
        let keyboard = File::from(pair.master);
        let mut master = keyboard.try_clone()?;
        let screen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut chunk) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..count]);
            }
        });
        Ok(Self { child, keyboard, screen, read: 0 })
    }

    /// Types `keys`; `\x03` is Ctrl-C, `\x1a` is Ctrl-Z.
    pub fn type_keys(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes()).context("type at the terminal")
    }

    /// Waits until `text` appears after what was already expected.
    pub fn expect(&mut self, text: &str, within: Duration) -> Result<()> {
        let shown = || {
            String::from_utf8_lossy(&self.screen.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
        };
        let end = wait::until(&format!("{text:?} at the terminal"), within, || {
            let screen = shown();
            Ok(screen.get(self.read..).and_then(|rest| rest.find(text)).map(|at| self.read + at + text.len()))
        })
        .with_context(|| format!("the screen:\n{}", shown()))?;
        self.read = end;
        Ok(())
    }

    /// Waits for the end of the program; its exit code.
    pub fn finish(mut self, within: Duration) -> Result<Option<i32>> {
        let status =
            wait::until("end of the program at the terminal", within, || Ok(self.child.try_wait()?))?;
        Ok(status.code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
