// SPDX-License-Identifier: Apache-2.0
//! A running ambassador under attack, with a bystander: another client, which must be served all the time.
//!
//! It exists so that each hostile suite says only what the attack is. The bystander is the command that ambassador
//! runs; the attackers are put beside it into the same cgroup, so that they are intercepted like it.

use std::ffi::OsStr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use crate::ambassador::Ambassador;
use crate::fault::{Answer, FaultUpstream};
use crate::footprint::{self, Footprint};
use crate::link::Link;
use crate::process::{Finished, Process};
use crate::pulse::Pulse;
use crate::wait;

/// Ambassador, the bystander and what they stand on.
pub struct Siege {
    /// The wire between all clients and all origins.
    pub link: Link,
    ambassador: Ambassador,
    bystander: Process,
    told: usize,
    calm: Footprint,
    _origin: FaultUpstream,
}

/// How the bystander fared during an attack, and what ambassador took.
#[derive(Debug, Clone)]
pub struct Ordeal {
    /// Requests of the bystander.
    pub asked: u64,
    /// Those that failed.
    pub failed: u64,
    /// The longest that one of them took.
    pub worst: Duration,
    /// The latest that this machine woke anybody in the meantime.
    pub pulse: Duration,
    /// How the first failed one did.
    pub failure: String,
    /// By how much ambassador's resident memory grew at its height, in bytes.
    pub grown: u64,
    /// The processor time that ambassador took.
    pub processor: Duration,
}

impl Siege {
    /// Starts `ambassador` with `client` (`CARGO_BIN_EXE_client`) as the bystander.
    pub fn lay(ambassador: Ambassador, client: &str) -> Result<Self> {
        raise_open_files()?;
        let link = Link::new()?;
        let origin = FaultUpstream::start(&link.server, Link::v4(Self::PORT), |_| {
            Answer::status(204).body("").into()
        })?;
        let address = origin.address().to_string();
        let bystander = ambassador.spawn(&link.client, &[client, "watch", &address])?;
        let calm = Footprint { resident: 0, peak: 0, processor: Duration::ZERO, files: 0 };
        let mut siege = Self { link, ambassador, bystander, told: 0, calm, _origin: origin };
        ensure!(siege.line()? == "ready", "the bystander did not start: {}", siege.bystander.stderr());
        siege.rest()?;
        siege.calm = siege.footprint()?;
        Ok(siege)
    }

    /// The port of the bystander's origin.
    pub const PORT: u16 = 7600;

    /// The process of ambassador.
    pub fn pid(&self) -> Pid {
        self.bystander.pid()
    }

    /// What ambassador takes now.
    pub fn footprint(&self) -> Result<Footprint> {
        Footprint::of(self.pid())
    }

    /// What ambassador took before the first attack.
    pub fn calm(&self) -> Footprint {
        self.calm
    }

    /// What ambassador wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.bystander.stderr()
    }

    /// Starts `program` in the namespace and the cgroup of the clients.
    pub fn attack<S: AsRef<OsStr>>(&self, program: &[S]) -> Result<Process> {
        Process::spawn(&mut self.attacker(program)?)
    }

    /// The same as a command that is not started yet.
    pub fn attacker<S: AsRef<OsStr>>(&self, program: &[S]) -> Result<Command> {
        let groups = self.ambassador.cgroup.children();
        let group = groups.iter().find(|group| group.ends_with("cmd")).context("ambassador made no group")?;
        let mut command = self.link.client.command("sh");
        command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(group).args(program);
        Ok(command)
    }

    /// Lets the bystander ask while `work` goes on.
    pub fn during(&mut self, work: impl FnOnce(&Self) -> Result<()>) -> Result<Ordeal> {
        footprint::forget_peak(self.pid())?;
        let before = self.footprint()?;
        let pulse = Pulse::feel();
        self.bystander.say("go")?;
        let worked = work(self);
        let told = self.rested().with_context(|| format!("the attack: {worked:?}"))?;
        worked?;
        let pulse = pulse.worst();
        let after = self.footprint()?;
        let [asked, failed, worst, failure] = told.split(' ').collect::<Vec<_>>()[..] else {
            anyhow::bail!("the bystander said {told:?}");
        };
        Ok(Ordeal {
            asked: asked.parse()?,
            failed: failed.parse()?,
            worst: Duration::from_millis(worst.parse()?),
            pulse,
            failure: failure.to_owned(),
            grown: after.peak.saturating_sub(self.calm.resident),
            processor: after.processor.saturating_sub(before.processor),
        })
    }

    /// [`Siege::during`] of an attack that must harm nobody: the bystander is served at once, memory is bounded, and
    /// both memory and processor come down afterwards.
    #[allow(clippy::print_stdout, reason = "the figures are shown by `--nocapture`, and when a test fails")]
    pub fn withstand(&mut self, work: impl FnOnce(&Self) -> Result<()>) -> Result<Ordeal> {
        let ordeal = self.during(work)?;
        let worst = WORST + WAKES * ordeal.pulse.min(PULSE_MOST);
        ensure!(ordeal.failed == 0 && ordeal.worst < worst, "the bystander: {ordeal:?}\n{}", self.stderr());
        ensure!(ordeal.grown < GROWN_MOST, "memory: {ordeal:?}");
        self.recovers().with_context(|| format!("{ordeal:?}"))?;
        println!("{ordeal:?}");
        Ok(ordeal)
    }

    /// Memory and processor come down.
    pub fn recovers(&self) -> Result<()> {
        self.recovers_within(RECOVERY)
    }

    /// Both come down, and that takes no longer than `within`.
    pub fn recovers_within(&self, within: Duration) -> Result<()> {
        let (begun, most) = (Instant::now(), self.calm.resident + LEFT_MOST);
        wait::until("memory back to what it was before, and 64 MiB", within, || {
            Ok((self.footprint()?.resident <= most).then_some(()))
        })
        .with_context(|| format!("before {:?}, now {:?}", self.calm, self.footprint()))?;
        footprint::until_idle(self.pid(), IDLE, within.saturating_sub(begun.elapsed()))
    }

    /// Ends the bystander, and ambassador with it.
    pub fn lift(self) -> Result<Finished> {
        self.bystander.finish(RECOVERY)?.expect_success()
    }

    /// Asks a little, so that everything has been used once.
    fn rest(&mut self) -> Result<()> {
        self.bystander.say("go")?;
        self.rested()?;
        footprint::until_idle(self.pid(), IDLE, RECOVERY)
    }

    fn rested(&mut self) -> Result<String> {
        self.bystander.say("stop")?;
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let line = wait::until("a line of the bystander", ANSWER, || {
            let text = self.bystander.stdout();
            if text.matches('\n').count() > self.told {
                return Ok(text.lines().nth(self.told).map(str::to_owned));
            }
            ensure!(self.bystander.is_talking(), "the bystander ended: {}", self.bystander.stderr());
            Ok(None)
        })?;
        self.told += 1;
        Ok(line)
    }
}

/// The origins live in this process: thousands of connections are thousands of files.
fn raise_open_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("read the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raise the limit of open files")
}

/// The longest that a bystander may wait, on a machine that has nothing else to do.
const WORST: Duration = Duration::from_secs(2);
/// Who is woken for one request on a connection of its own: the proxy for the SYN, for its dial, for the handshake, for
/// the request and for its reply, the origin twice, and the bystander twice.
const WAKES: u32 = 9;
/// What is allowed for the machine itself has an end: beyond it a defect would pass as well.
const PULSE_MOST: Duration = Duration::from_millis(200);
/// How much memory may grow while an attack lasts.
const GROWN_MOST: u64 = 256 << 20;
/// How much of that may stay.
const LEFT_MOST: u64 = 64 << 20;
/// The share of one processor that counts as idle: three threads note ten times a second that they run.
const IDLE: f64 = 0.1;
const RECOVERY: Duration = Duration::from_secs(20);
/// A bystander makes up to twenty requests before it rests.
const ANSWER: Duration = Duration::from_secs(40);
