// SPDX-License-Identifier: Apache-2.0
//! Which kernels are checked, and where each lies: in a cache outside of the tree that is renewed once a week.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};

use super::apt::Apt;
use crate::steps::cache;

/// The oldest that is fully supported, the kernel of the current long-term releases, and the newest.
pub(crate) const DEFAULT: [&str; 3] = ["6.1", "6.12", "newest"];

/// A kernel below the floor, on which ambassador must refuse to run. Debian has given it up, so it may not be had.
pub(crate) const TOO_OLD: &str = "5.10";

/// A kernel that is asked for.
pub(crate) enum Wanted {
    /// The newest of a Debian suite, under the name that the user gave.
    Suite { name: String, suite: String },
    /// A kernel image of the user's own.
    File(PathBuf),
}

/// A kernel that can be booted.
pub(crate) struct Kernel {
    /// Its release, or the name of its file.
    pub(crate) version: String,
    /// The compressed image.
    pub(crate) path: PathBuf,
}

impl Wanted {
    /// `6.1`, `6.12`, `newest`, the name of a Debian suite such as `trixie-backports`, or the path of an image.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        if name.contains('/') {
            return Ok(Self::File(name.into()));
        }
        let suite = SUITES.iter().find(|(known, _)| *known == name).map_or(name, |(_, suite)| suite);
        let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
        ensure!(
            !suite.is_empty() && suite.chars().all(is_word),
            "{name}: name 5.10, 6.1, 6.12, newest, a suite of Debian, or the path of a kernel image"
        );
        Ok(Self::Suite { name: name.to_owned(), suite: suite.to_owned() })
    }

    /// From the cache if it is fresh, else from Debian's mirrors, else from the cache as it is.
    pub(crate) fn fetch(&self) -> Result<Kernel> {
        let suite = match self {
            Self::File(path) => {
                ensure!(path.is_file(), "no such file");
                return Ok(Kernel { version: file_name(path), path: path.clone() });
            }
            Self::Suite { suite, .. } => suite,
        };
        let cache = cache()?.join("kernels").join(suite);
        let cached = Kernel::newest_in(&cache);
        if let Some((kernel, _)) = cached.as_ref().filter(|(_, age)| *age < FRESH) {
            return Ok(Kernel { version: kernel.version.clone(), path: kernel.path.clone() });
        }
        println!("matrix: {self}: asking Debian's mirrors …");
        match (download(suite, &cache), cached) {
            (Ok(kernel), _) => Ok(kernel),
            (Err(error), Some((kernel, age))) => {
                let days = age.as_secs() / 86400;
                println!(
                    "matrix: {self}: the mirrors cannot be asked, the cache is {days} days old: {error:#}"
                );
                Ok(kernel)
            }
            (Err(error), None) => Err(error.context("neither in the cache nor to be had")),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suite { name, suite } if name == suite => write!(f, "{name}"),
            Self::Suite { name, suite } => write!(f, "{name} ({suite})"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Kernel {
    /// The image that was fetched last, and how long ago.
    fn newest_in(cache: &Path) -> Option<(Self, Duration)> {
        let entries = fs::read_dir(cache).ok()?.flatten();
        let aged = entries.filter_map(|entry| {
            let fetched = entry.metadata().ok()?.modified().ok()?;
            let age = SystemTime::now().duration_since(fetched).unwrap_or_default();
            Some((Self { version: file_name(&entry.path()), path: entry.path() }, age))
        });
        aged.min_by_key(|(_, age)| *age)
    }
}

/// Puts the newest kernel of `suite` into the cache, in place of what was there.
fn download(suite: &str, cache: &Path) -> Result<Kernel> {
    let scratch = tempfile::tempdir()?;
    let apt = Apt::update(suite, scratch.path())?;
    let package = apt.kernel_package()?;
    println!("matrix: {suite}: downloading {} …", package.name);
    let unpacked = apt.unpack(&package.name)?;
    let image = find_image(&unpacked).with_context(|| format!("no kernel image in {}", package.name))?;
    let _ = fs::remove_dir_all(cache);
    fs::create_dir_all(cache).with_context(|| format!("make {}", cache.display()))?;
    let path = cache.join(&package.release);
    fs::copy(&image, &path).with_context(|| format!("write {}", path.display()))?;
    Ok(Kernel { version: package.release, path })
}

/// `boot/vmlinuz-VERSION`, and `usr/lib/modules/VERSION/vmlinuz` in newer packages.
fn find_image(directory: &Path) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path()).collect();
    let is_image = |path: &&PathBuf| path.is_file() && file_name(path).starts_with("vmlinuz");
    let here = entries.iter().find(is_image).cloned();
    here.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find_image(path)))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The suite of Debian in which a kernel is found.
const SUITES: [(&str, &str); 4] =
    [("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "bookworm-backports"), ("newest", "sid")];
const FRESH: Duration = Duration::from_hours(7 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_named_by_series_suite_or_path() {
        let shown = |name| Wanted::parse(name).map(|wanted| wanted.to_string()).map_err(|_| ());
        assert_eq!(shown("6.1"), Ok("6.1 (bookworm)".to_owned()));
        assert_eq!(shown("trixie-backports"), Ok("trixie-backports".to_owned()));
        assert_eq!(shown("./vmlinuz"), Ok("./vmlinuz".to_owned()));
        assert_eq!(shown("5.4"), Err(()));
        assert_eq!(shown(""), Err(()));
    }

    #[test]
    fn a_kernel_image_is_found_where_any_package_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("usr/lib/modules/7.2");
        fs::create_dir_all(&place).unwrap();
        assert_eq!(find_image(directory.path()), None);
        fs::write(place.join("vmlinuz"), "").unwrap();
        assert_eq!(find_image(directory.path()), Some(place.join("vmlinuz")));
    }
}
