// SPDX-License-Identifier: Apache-2.0
//! A named network namespace that disappears with its guard.
//!
//! It exists so that every test has addresses, ports and a loopback of its own. It never enters the namespace on a
//! thread that does anything else, and never through `ip netns exec`, which hides the cgroup file system.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns};
use tempfile::NamedTempFile;

use crate::process::Process;

/// A network namespace with its loopback up.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    hosts: Option<NamedTempFile>,
}

impl Namespace {
    /// Makes a namespace; `role` is a short word for the reader of `ip netns`.
    pub fn new(role: &str) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root: run the tests with sudo -E");
        remove_abandoned();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{role}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name, hosts: None };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Where it can be opened.
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip -n NAME` with the words of `arguments`.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        let mut words = vec!["-n", &self.name];
        words.extend(arguments.split_whitespace());
        ip(&words)
    }

    /// Gives the commands of this namespace an `/etc/hosts` of their own; `lines` are `ADDRESS NAME`.
    pub fn set_hosts(&mut self, lines: &[&str]) -> Result<()> {
        let mut file = NamedTempFile::with_prefix("ambassador-hosts-")?;
        writeln!(file, "127.0.0.1 localhost\n::1 localhost\n{}", lines.join("\n"))?;
        let readable: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(file.path(), readable)?;
        self.hosts = Some(file);
        Ok(())
    }

    /// A command that will run `program` in this namespace, with the private hosts file if there is one.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--");
        if let Some(hosts) = &self.hosts {
            command.args(["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", BIND_HOSTS]);
            command.arg(hosts.path());
        }
        command.arg(program);
        command
    }

    /// Runs `work` on a thread of its own inside the namespace; sockets that it makes stay in the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file =
            std::fs::File::open(self.path()).with_context(|| format!("open namespace {}", self.name))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET).context("enter the network namespace")?;
                work()
            });
            thread.join().map_err(|_| anyhow!("the thread in {} panicked", self.name))?
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    Process::run(Command::new("ip").args(arguments), Duration::from_secs(10))?.expect_success()?;
    Ok(())
}

/// Removes the namespaces of test processes that were killed.
fn remove_abandoned() {
    let Ok(entries) = std::fs::read_dir(DIRECTORY) else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new("/proc").join(owner.to_string()).exists() {
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

const DIRECTORY: &str = "/run/netns";
const PREFIX: &str = "ambassador-";
const BIND_HOSTS: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
static NEXT: AtomicU32 = AtomicU32::new(0);
