// SPDX-License-Identifier: Apache-2.0
//! A program and its origin, both Python scripts that print what they saw, run directly and under ambassador.
//!
//! It exists because a relay of HTTP/2 is judged by both of its sides: what the program was told, and what the origin
//! got. The scripts stand on `clients/http2_peers.py` and speak in frames, or on grpcio.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::ambassador::{Ambassador, LONG};
use crate::link::Link;
use crate::namespace::Namespace;
use crate::process::Process;

/// What both sides of one run printed, and what ambassador said.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The program's stdout.
    pub program: String,
    /// The origin's stdout.
    pub origin: String,
    /// What ambassador, or the program, wrote to stderr.
    pub errors: String,
}

impl Seen {
    /// Both sides printed just this.
    pub fn check(&self, program: &str, origin: &str) -> Result<()> {
        ensure!(self.program.trim_end() == program, "the program saw {}\n{}", self.program, self.errors);
        ensure!(self.origin.trim_end() == origin, "the origin saw {}", self.origin);
        Ok(())
    }
}

/// A case: what both scripts stand on, and the scripts.
#[derive(Debug, Clone, Copy)]
pub struct TwoSided<'a> {
    /// [`PEERS`] or [`GRPC`].
    pub prelude: &'a str,
    /// The origin's script; it serves until its stdin ends.
    pub origin: &'a str,
    /// The program's script.
    pub program: &'a str,
}

impl TwoSided<'_> {
    /// Runs the program without ambassador.
    pub fn direct(&self) -> Result<Seen> {
        let link = Link::new()?;
        let origin = PythonOrigin::start(&link.server, self.prelude, self.origin)?;
        let script = Script::new(self.prelude, self.program)?;
        let [python, file] = script.program();
        let finished = Process::run(link.client.command(python).arg(file), LONG)?.expect_success()?;
        Ok(Seen { program: finished.text(), errors: finished.errors(), origin: origin.finish()? })
    }

    /// Runs the program under `ambassador`.
    pub fn under(&self, ambassador: &Ambassador) -> Result<Seen> {
        let link = Link::new()?;
        let origin = PythonOrigin::start(&link.server, self.prelude, self.origin)?;
        let script = Script::new(self.prelude, self.program)?;
        let finished = ambassador.output(&link.client, &script.program())?;
        let errors = finished.errors();
        let finished = finished.expect_success().with_context(|| format!("origin: {}", origin.text()))?;
        Ok(Seen { program: finished.text(), errors, origin: origin.finish()? })
    }

    /// Runs both ways without any policy; both sides must see the same. Returns the direct run, so that a test can say
    /// what the case is about: a comparison of two failures would prove nothing.
    pub fn like_direct(&self) -> Result<Seen> {
        let direct = self.direct()?;
        let under = self.under(&Ambassador::run("-q")?)?;
        for (side, want, got) in
            [("program", &direct.program, &under.program), ("origin", &direct.origin, &under.origin)]
        {
            ensure!(
                want == got,
                "the {side} saw a difference\ndirect:\n{want}\nunder ambassador:\n{got}\n{}",
                under.errors
            );
        }
        Ok(direct)
    }
}

/// [`TwoSided::direct`] of frames.
pub fn direct(origin: &str, program: &str) -> Result<Seen> {
    TwoSided { prelude: PEERS, origin, program }.direct()
}

/// [`TwoSided::under`] of frames.
pub fn under(ambassador: &Ambassador, origin: &str, program: &str) -> Result<Seen> {
    TwoSided { prelude: PEERS, origin, program }.under(ambassador)
}

/// [`TwoSided::under`] of frames, without any policy: for a case in which the two ends are separate connections, so that
/// it differs from the direct run by design.
pub fn under_nothing(origin: &str, program: &str) -> Result<Seen> {
    under(&Ambassador::run("-q")?, origin, program)
}

/// [`TwoSided::like_direct`] of frames.
pub fn like_direct(origin: &str, program: &str) -> Result<Seen> {
    TwoSided { prelude: PEERS, origin, program }.like_direct()
}

/// A script, in a file.
#[derive(Debug)]
pub struct Script(NamedTempFile);

impl Script {
    /// Writes `script` down, behind its prelude.
    pub fn new(prelude: &str, script: &str) -> Result<Self> {
        let mut file = tempfile::Builder::new().prefix("ambassador-").suffix(".py").tempfile()?;
        write!(file, "{prelude}\n{script}\n")?;
        Ok(Self(file))
    }

    /// The command line that runs it.
    pub fn program(&self) -> [String; 2] {
        ["/usr/bin/python3".to_owned(), self.0.path().display().to_string()]
    }
}

/// A running origin; dropping it ends it.
#[derive(Debug)]
pub struct PythonOrigin {
    process: Process,
    _script: Script,
}

impl PythonOrigin {
    /// Starts `script` in `namespace`, and waits until it listens.
    pub fn start(namespace: &Namespace, prelude: &str, script: &str) -> Result<Self> {
        let script = Script::new(prelude, script)?;
        let [python, file] = script.program();
        let mut process = Process::spawn(namespace.command(python).arg(file))?;
        process.until_stdout("ready\n", Duration::from_secs(20))?;
        Ok(Self { process, _script: script })
    }

    /// What it printed so far.
    pub fn text(&self) -> String {
        printed(&self.process.stdout())
    }

    /// Lets it end, and returns all that it printed.
    pub fn finish(self) -> Result<String> {
        let finished = self.process.finish(LONG)?.expect_success()?;
        ensure!(finished.errors().is_empty(), "the origin said: {}", finished.errors());
        Ok(printed(&finished.text()))
    }
}

fn printed(text: &str) -> String {
    text.strip_prefix("ready\n").unwrap_or(text).to_owned()
}

/// Frames of HTTP/2, one by one.
pub const PEERS: &str = include_str!("../clients/http2_peers.py");
/// Floods of such frames; stands on [`PEERS`].
pub const FLOODS: &str = include_str!("../clients/http2_floods.py");
/// grpcio.
pub const GRPC: &str = include_str!("../clients/grpc_peers.py");
