// SPDX-License-Identifier: Apache-2.0
//! The checks of one kernel, each with a line on the console.

use std::time::Duration;

use ambassador_tests::wait;
use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;

use super::checks::{FAILS, HOLDS, MARK, SUPPORTED, checks};
use super::client::{self, Sight};
use super::health;
use super::program::{Program, metric};
use super::servers::{self, BlackHole};

/// Runs them all; what needs a program that could not be started is left out, and missed by the host.
pub(crate) fn run() -> Result<()> {
    let release = nix::sys::utsname::uname()?.release().to_string_lossy().into_owned();
    let mut report = Report { checks: checks(&release), next: 0 };
    if report.checks.len() < SUPPORTED.len() {
        report.check(health::doctor_refuses(&release));
        report.check(health::run_refuses(&release));
        return Ok(());
    }
    servers::start_witnesses()?;
    let black_hole = BlackHole::open()?;
    report.check(health::doctor_is_content());

    let mut program = match Program::start() {
        Ok(program) => program,
        Err(error) => {
            report.check(Err(error));
            return Ok(());
        }
    };
    report.check(Ok("every program passes the verifier".to_owned()));
    report.check(attached(&program));
    report.check(health::nothing_is_kept(program.pid()));
    for address in [servers::V4, servers::V6, servers::MAPPED] {
        report.check(redirected(&mut program, address));
    }
    report.check(named(&mut program));
    report.check(held());
    for address in [servers::CLOSED, servers::NO_HOST, servers::NO_NETWORK] {
        report.check(like_direct(&mut program, address));
    }
    report.check(silent(&mut program));
    report.check(eager(&mut program));
    report.check(refused(&mut program));
    report.check(passed_by(&mut program));
    report.check(refused_by_kernel(&mut program));
    report.check(taken_back(&mut program));
    report.check(program.end().map(|()| "no program and no cgroup is left".to_owned()));
    report.check(killed());
    drop(black_hole);
    Ok(())
}

fn attached(program: &Program) -> Result<String> {
    let count = program.cgroup.attached_programs();
    ensure!(count > 0, "no program is attached");
    Ok(format!("{count} programs"))
}

fn redirected(program: &mut Program, address: &str) -> Result<String> {
    match program.dial(address)? {
        Sight::Peer { direct: false, .. } => Ok(address.to_owned()),
        other => bail!("{address}: {other:?}"),
    }
}

fn named(program: &mut Program) -> Result<String> {
    for address in [servers::V4, servers::V6, servers::MAPPED] {
        let wanted = Sight::Peer { peer: address.parse()?, direct: false };
        let seen = program.dial(address)?;
        ensure!(seen == wanted, "{address}: {seen:?}");
    }
    Ok("as dialled".to_owned())
}

/// The first connect to each of the two addresses, when nobody knew yet that they accept.
fn held() -> Result<String> {
    let count = metric("ambassador_connect_hold_seconds_count{outcome=\"allowed\"")?;
    ensure!(count >= 2.0, "{count} were held until their destination accepted");
    Ok(format!("{count} held"))
}

/// The program is told what it is told without ambassador, and by `connect()`.
fn like_direct(program: &mut Program, address: &str) -> Result<String> {
    let direct = client::dial("connect", address.parse()?);
    let Sight::Errno(errno) = direct else { bail!("{address} directly: {direct:?}") };
    let seen = program.dial(address)?;
    ensure!(seen == direct, "{address}: {seen:?}, directly {direct:?}");
    Ok(nix::errno::Errno::from_raw(errno).to_string())
}

fn silent(program: &mut Program) -> Result<String> {
    let direct = client::dial("try", servers::BLACK_HOLE.parse()?);
    ensure!(direct == Sight::GaveUp, "directly: {direct:?}");
    let seen = program.try_dial(servers::BLACK_HOLE)?;
    ensure!(seen == Sight::GaveUp, "{seen:?}");
    Ok("the program's own time passed".to_owned())
}

fn eager(program: &mut Program) -> Result<String> {
    let seen = program.dial(servers::EAGER)?;
    ensure!(seen == Sight::Reset, "{seen:?}");
    Ok("at once, and reset then".to_owned())
}

fn refused(program: &mut Program) -> Result<String> {
    let direct = client::dial("connect", servers::DENIED.parse()?);
    ensure!(matches!(direct, Sight::Peer { direct: true, .. }), "directly: {direct:?}");
    let seen = program.dial(servers::DENIED)?;
    ensure!(seen == Sight::Errno(nix::errno::Errno::ECONNREFUSED as i32), "{seen:?}");
    Ok("a denied destination, by connect()".to_owned())
}

fn passed_by(program: &mut Program) -> Result<String> {
    program.signal(Signal::SIGSTOP)?;
    until_direct(program, true)
}

/// Nobody but the kernel is there to refuse.
fn refused_by_kernel(program: &mut Program) -> Result<String> {
    let seen = program.try_dial(servers::DENIED)?;
    ensure!(seen == Sight::Errno(nix::errno::Errno::ECONNREFUSED as i32), "{seen:?}");
    Ok("a denied destination, while ambassador is stopped".to_owned())
}

fn taken_back(program: &mut Program) -> Result<String> {
    program.signal(Signal::SIGCONT)?;
    until_direct(program, false)
}

fn killed() -> Result<String> {
    let mut program = Program::start()?;
    redirected(&mut program, servers::V4)?;
    program.signal(Signal::SIGKILL)?;
    wait::until_true("no program is left", SOON, || program.cgroup.attached_programs() == 0)?;
    let seen = program.dial(servers::V4)?;
    ensure!(matches!(seen, Sight::Peer { direct: true, .. }), "{seen:?}");
    Ok("the next connect is direct".to_owned())
}

fn until_direct(program: &mut Program, wanted: bool) -> Result<String> {
    let started = std::time::Instant::now();
    wait::until("another way", SOON, || {
        let seen = program.try_dial(servers::V4)?;
        Ok(matches!(seen, Sight::Peer { direct, .. } if direct == wanted).then_some(()))
    })?;
    Ok(format!("after {:.1?}", started.elapsed()))
}

/// Writes the line of one check after the other.
struct Report {
    checks: &'static [&'static str],
    next: usize,
}

impl Report {
    fn check(&mut self, outcome: Result<String>) {
        let name = self.checks[self.next];
        self.next += 1;
        match outcome {
            Ok(detail) => println!("{MARK}{name}{HOLDS}{detail}"),
            Err(error) => println!("{MARK}{name}{FAILS}{}", format!("{error:#}").replace('\n', " · ")),
        }
    }
}

const SOON: Duration = Duration::from_secs(5);
