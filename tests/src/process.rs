// SPDX-License-Identifier: Apache-2.0
//! A child process whose output is captured, that is awaited with a deadline and killed when its guard is dropped.
//!
//! It exists because `std::process` can neither wait with a bound nor read while the child runs. It never leaves a
//! child behind: the whole process group is killed.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::wait;

/// A running child in a process group of its own.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Capture,
    stderr: Capture,
    started: Instant,
}

/// What a child left when it ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The command line, for messages.
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote to stdout.
    pub stdout: Vec<u8>,
    /// Everything it wrote to stderr.
    pub stderr: Vec<u8>,
    /// From its start to its end.
    pub took: Duration,
}

impl Process {
    /// Starts `command` with captured output and an open stdin.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let stdin = child.stdin.take();
        let stdout = Capture::of(child.stdout.take().context("stdout is piped")?);
        let stderr = Capture::of(child.stderr.take().context("stderr is piped")?);
        Ok(Self { name, child, stdin, stdout, stderr, started: Instant::now() })
    }

    /// Starts `command`, closes its stdin and waits for its end.
    pub fn run(command: &mut Command, within: Duration) -> Result<Finished> {
        Self::spawn(command)?.finish(within)
    }

    /// Starts `command`, gives it `input` as its whole stdin and waits for its end.
    pub fn run_with_input(command: &mut Command, input: &[u8], within: Duration) -> Result<Finished> {
        let mut process = Self::spawn(command)?;
        if let Some(mut stdin) = process.stdin.take() {
            let input = input.to_vec();
            // A child that ends without reading its input is a result, not an error of the writer.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        process.finish(within)
    }

    /// The process id, which is the process group id too.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends a signal to this process only, not to its group.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Writes one line to its stdin.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is open")?;
        writeln!(stdin, "{line}").with_context(|| format!("write to {}", self.name))
    }

    /// What it wrote to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until stdout contains `text`.
    pub fn until_stdout(&mut self, text: &str, within: Duration) -> Result<()> {
        let name = self.name.clone();
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        wait::until(&format!("{text:?} on stdout of {name}"), within, || {
            if stdout.text().contains(text) {
                return Ok(Some(()));
            }
            if !self.is_running() && stdout.is_closed() {
                bail!("{name} ended before it wrote {text:?}:\n{}{}", stdout.text(), stderr.text());
            }
            Ok(None)
        })
    }

    /// How long ago it was started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether somebody still holds its stdout open: itself, or a child that outlives it.
    pub fn is_talking(&self) -> bool {
        !self.stdout.is_closed()
    }

    /// Closes stdin and waits for the end.
    pub fn finish(mut self, within: Duration) -> Result<Finished> {
        drop(self.stdin.take());
        let name = self.name.clone();
        let ended = wait::until(&format!("end of {name}"), within, || Ok(self.child.try_wait()?));
        let took = self.started.elapsed();
        let status =
            ended.with_context(|| format!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr()))?;
        // An orphan may hold the pipes open: what was written until now is the result then.
        let _ = wait::until_true("end of output", Duration::from_secs(1), || {
            self.stdout.is_closed() && self.stderr.is_closed()
        });
        Ok(Finished { name, status, stdout: self.stdout.bytes(), stderr: self.stderr.bytes(), took })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl Finished {
    /// stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The exit code; `None` after a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Itself, or an error with everything it wrote when it did not exit with `code`.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        ensure!(
            self.status.code() == Some(code),
            "{}: wanted exit code {code}, got {}\nstdout:\n{}\nstderr:\n{}",
            self.name,
            self.status,
            self.text(),
            self.errors()
        );
        Ok(self)
    }

    /// Itself, or an error with everything it wrote when it failed.
    pub fn expect_success(self) -> Result<Self> {
        self.expect_code(0)
    }
}

/// Everything that a pipe delivered so far.
#[derive(Debug, Clone)]
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Arc<JoinHandle<()>>,
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                lock(&sink).extend_from_slice(&chunk[..count]);
            }
        });
        Self { bytes, reader: Arc::new(reader) }
    }

    fn bytes(&self) -> Vec<u8> {
        lock(&self.bytes).clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }

    fn is_closed(&self) -> bool {
        self.reader.is_finished()
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}
