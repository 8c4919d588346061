// SPDX-License-Identifier: Apache-2.0
//! `ambassador run` around the client, in a cgroup of its own, driven line by line.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use ambassador_tests::{Cgroup, Process, wait};
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::client::{GREETING, Sight};
use super::servers;

/// A running client under ambassador.
pub(crate) struct Program {
    process: Process,
    answered: usize,
    /// The group that ambassador was started in.
    pub(crate) cgroup: Cgroup,
}

impl Program {
    /// Starts both, and waits for the client's greeting: it comes when the kernel programs are loaded and attached.
    pub(crate) fn start() -> Result<Self> {
        std::fs::write(POLICY_FILE, servers::policy())?;
        let cgroup = Cgroup::new()?;
        let process = Process::spawn(command(&cgroup).args(["-c", POLICY_FILE, "--", GUEST, "client"]))?;
        let mut program = Self { process, answered: 0, cgroup };
        let greeting = program.next_line(START)?;
        ensure!(greeting == GREETING, "the client said {greeting:?}");
        Ok(program)
    }

    /// What the client sees of a connection.
    pub(crate) fn dial(&mut self, address: &str) -> Result<Sight> {
        self.ask("connect", address)
    }

    /// The same of a client that gives up soon.
    pub(crate) fn try_dial(&mut self, address: &str) -> Result<Sight> {
        self.ask("try", address)
    }

    /// Ambassador's own pid.
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        self.process.pid()
    }

    /// Sends a signal to ambassador.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ends the client; ambassador ends with it and leaves nothing.
    pub(crate) fn end(self) -> Result<()> {
        self.process.finish(START)?.expect_success()?;
        self.cgroup.until_clean()
    }

    fn ask(&mut self, word: &str, address: &str) -> Result<Sight> {
        self.process.say(&format!("{word} {address}"))?;
        let line = self.next_line(ANSWER).with_context(|| format!("{word} {address}"))?;
        Sight::from_line(&line)
    }

    fn next_line(&mut self, within: Duration) -> Result<String> {
        let line = wait::until("a line of the client", within, || {
            let text = self.process.stdout();
            if text.matches('\n').count() > self.answered {
                return Ok(text.lines().nth(self.answered).map(str::to_owned));
            }
            ensure!(self.process.is_talking(), "ended: {}", self.process.stderr());
            Ok(None)
        });
        self.answered += 1;
        line.with_context(|| self.process.stderr())
    }
}

/// The value of the first metric that begins with `name`, from ambassador itself.
pub(crate) fn metric(name: &str) -> Result<f64> {
    let address: SocketAddr = servers::METRICS.parse()?;
    let mut stream = TcpStream::connect(address).context("dial the metrics")?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let line = page.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next()).with_context(|| format!("no {name}"))?;
    Ok(value.parse()?)
}

/// `ambassador run -q` in `cgroup`.
pub(crate) fn command(cgroup: &Cgroup) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", ENTER_CGROUP]).arg(cgroup.path()).args([AMBASSADOR, "run", "-q"]);
    command
}

const ENTER_CGROUP: &str = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
pub(crate) const AMBASSADOR: &str = "/bin/ambassador";
pub(crate) const GUEST: &str = "/bin/guest";
const POLICY_FILE: &str = "/tmp/policy.yaml";
const START: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);
