// SPDX-License-Identifier: Apache-2.0
//! Debian's PostgreSQL on a fresh cluster, plain and with TLS on the same port.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::{User, chown};
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::link::Link;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait;

/// A running PostgreSQL, as the Unix user `postgres` (it refuses to run as root).
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    directory: TempDir,
}

impl Postgres {
    /// Its port.
    pub const PORT: u16 = 5432;
    /// The name in its certificate.
    pub const NAME: &str = "postgres.example";

    /// Makes a cluster, starts it in `namespace`, and waits until it accepts queries.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let programs = programs()?;
        let user = User::from_name("postgres")?.context("no Unix user postgres: cargo xtask setup")?;
        let directory = tempfile::Builder::new().prefix("ambassador-postgres-").tempdir()?;
        let pair = Certificate::make(directory.path(), Self::NAME)?;
        for path in [directory.path(), &pair.key, &pair.certificate] {
            chown(path, Some(user.uid), Some(user.gid))?;
        }
        let data = directory.path().join("data");
        let mut initdb = as_postgres(Command::new("runuser"), &programs.join("initdb"));
        initdb.args(["--auth=trust", "--no-sync", "--username=postgres", "-D"]).arg(&data).current_dir("/");
        Process::run(&mut initdb, Duration::from_mins(1))?.expect_success()?;
        let access = "local all all trust\nhost all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n";
        std::fs::write(data.join("pg_hba.conf"), access)?;

        let mut server = as_postgres(namespace.command("runuser"), &programs.join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &Self::PORT.to_string(), "-k"]).arg(directory.path());
        for setting in ["listen_addresses=*", "fsync=off", "ssl=on", "shared_buffers=32MB"] {
            server.args(["-c", setting]);
        }
        server.args(["-c", &format!("ssl_cert_file={}", pair.certificate.display())]);
        server.args(["-c", &format!("ssl_key_file={}", pair.key.display())]).current_dir("/");
        let process = Process::spawn(&mut server)?;
        let postgres = Self { process, directory };
        wait::until_true("answer of PostgreSQL", Duration::from_secs(30), || {
            let mut psql = namespace.command("psql");
            psql.args([&Self::url("sslmode=disable"), "-Atc", "select 1"]);
            Process::run(&mut psql, Duration::from_secs(5)).is_ok_and(|psql| psql.code() == Some(0))
        })
        .with_context(|| postgres.process.stderr())?;
        Ok(postgres)
    }

    /// A connection string; `options` is for example `sslmode=require`.
    pub fn url(options: &str) -> String {
        let (host, port) = (Link::SERVER_V4, Self::PORT);
        format!("host={} hostaddr={host} port={port} user=postgres dbname=postgres {options}", Self::NAME)
    }

    /// Its certificate, which is also the authority of it.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("server.crt")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Fast shutdown, so that no shared memory is left; the process guard kills what does not obey.
        let _ = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid"))
            .ok()
            .and_then(|text| text.lines().next()?.parse().ok())
            .map(|pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGINT));
        let _ = wait::until_true("end of PostgreSQL", Duration::from_secs(10), || !self.process.is_running());
    }
}

fn as_postgres(mut runuser: Command, program: &Path) -> Command {
    runuser.args(["-u", "postgres", "--"]).arg(program);
    runuser
}

/// Debian keeps the server's programs outside PATH, one directory per major version.
fn programs() -> Result<PathBuf> {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is missing: cargo xtask setup")?;
    let newest =
        versions.flatten().map(|entry| entry.path()).max().context("no PostgreSQL version is installed")?;
    Ok(newest.join("bin"))
}
