// SPDX-License-Identifier: Apache-2.0
//! Packages of a Debian suite that is not this machine's, verified by apt with Debian's own keys.
//!
//! It never touches the lists, the cache or the packages of the system: all state is in a directory of the caller.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ambassador_tests::Process;
use anyhow::{Context, Result};

/// Private apt state with the index of one suite.
pub(crate) struct Apt {
    state: PathBuf,
}

/// A package that holds a kernel image.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// The release of its kernel, as `uname -r` says it.
    pub(crate) release: String,
}

impl Apt {
    /// Fetches the index of `suite` into `state`.
    pub(crate) fn update(suite: &str, state: &Path) -> Result<Self> {
        Self::update_kinds(&["deb"], suite, state)
    }

    /// The same with the index of sources.
    pub(crate) fn update_with_sources(suite: &str, state: &Path) -> Result<Self> {
        Self::update_kinds(&["deb", "deb-src"], suite, state)
    }

    fn update_kinds(kinds: &[&str], suite: &str, state: &Path) -> Result<Self> {
        for directory in ["lists/partial", "cache/archives/partial", "unpacked"] {
            fs::create_dir_all(state.join(directory))?;
        }
        let mirror = std::env::var("AMBASSADOR_DEBIAN_MIRROR").unwrap_or_else(|_| MIRROR.to_owned());
        let line = |kind: &&str| format!("{kind} [signed-by={KEYRING}] {mirror} {suite} main\n");
        fs::write(state.join("sources.list"), kinds.iter().map(line).collect::<String>())?;
        let apt = Self { state: state.to_owned() };
        output(apt.command("apt-get").args(["update", "-qq", "--error-on=any"]))?;
        Ok(apt)
    }

    /// The package of the newest kernel for virtual machines: small, with all that is needed built in.
    pub(crate) fn kernel_package(&self) -> Result<Package> {
        let newest = output(self.command("apt-cache").args(["show", "--no-all-versions", NEWEST]))?;
        let release = release_of(&newest).with_context(|| format!("{NEWEST} depends on no kernel"))?;
        // Newer kernels have their image in a package of its own.
        let names = ["linux-binary", "linux-image"].map(|kind| format!("{kind}-{release}"));
        let exists = |name: &&String| output(self.command("apt-cache").args(["show", name])).is_ok();
        let name = names.iter().find(exists).with_context(|| format!("no package of kernel {release}"))?;
        Ok(Package { name: name.clone(), release })
    }

    /// Downloads a package and unpacks it, beside what was unpacked before, without installing anything.
    pub(crate) fn unpack(&self, package: &str) -> Result<PathBuf> {
        let into = self.state.join("unpacked");
        let mut download = self.command("apt-get");
        output(download.args(["download", "-qq", package]).current_dir(&self.state))?;
        let files = fs::read_dir(&self.state)?.flatten().map(|entry| entry.path());
        let is_package = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with(&format!("{package}_"))
                && path.extension().is_some_and(|extension| extension == "deb")
        };
        let file = files.into_iter().find(is_package).context("apt-get download left no package")?;
        output(Command::new("dpkg").arg("-x").arg(file).arg(&into))?;
        Ok(into)
    }

    /// Downloads the source of a package and unpacks it, with Debian's changes, into a directory of `into`.
    pub(crate) fn source(&self, package: &str, into: &Path) -> Result<PathBuf> {
        let sources = into.join("sources");
        fs::create_dir_all(&sources)?;
        output(self.command("apt-get").args(["source", "-qq", package]).current_dir(&sources))?;
        let entries = fs::read_dir(&sources)?.flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| path.is_dir()).context("apt-get source left no directory")
    }

    /// An apt command that knows nothing but this state.
    fn command(&self, program: &str) -> Command {
        let state = self.state.display();
        let mut command = Command::new(program);
        for option in [
            format!("Dir::Etc::SourceList={state}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            format!("Dir::State={state}"),
            "Dir::State::Status=/dev/null".to_owned(),
            format!("Dir::Cache={state}/cache"),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            // The state belongs to the caller, and is not readable by apt's own user.
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=2".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

fn output(command: &mut Command) -> Result<String> {
    Ok(Process::run(command, LIMIT)?.expect_success()?.text())
}

/// The release in the line `Depends: …, linux-image-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)` of a metapackage.
fn release_of(shown: &str) -> Option<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let packages = depends.split(',').filter_map(|dependency| dependency.split_whitespace().next());
    let release = packages.filter_map(|package| package.strip_prefix("linux-image-"));
    release.map(str::to_owned).next()
}

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const NEWEST: &str = "linux-image-cloud-amd64";
const LIMIT: Duration = Duration::from_mins(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_old_and_new_metapackages() {
        for (depends, release) in [
            ("linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)", Some("6.1.0-50-cloud-amd64")),
            (
                "linux-base-cloud-amd64 (= 7.2.13-1), linux-image-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)",
                Some("7.2.13+deb14-cloud-amd64"),
            ),
            ("linux-base", None),
        ] {
            let shown = format!("Package: linux-image-cloud-amd64\nDepends: {depends}\n");
            assert_eq!(release_of(&shown).as_deref(), release);
        }
    }
}
