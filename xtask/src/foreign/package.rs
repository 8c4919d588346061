// SPDX-License-Identifier: Apache-2.0
//! The packages of Python that carry their tests, and what running those takes: `packages.txt`, read.

use anyhow::{Context, Result, bail};

/// A package whose source distribution carries its tests.
#[derive(Debug)]
pub(super) struct Package {
    /// Its name, as the file of its source distribution has it.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// The SHA-256 of its source distribution.
    pub(super) sha256: &'static str,
    /// Plug-ins of pytest that it needs; no other one is loaded.
    pub(super) plugins: Vec<&'static str>,
    /// Further arguments of pytest.
    pub(super) arguments: Vec<&'static str>,
    pub(super) environment: Vec<(&'static str, &'static str)>,
    /// See [`Program::server`](super::program::Program::server).
    pub(super) server: &'static str,
}

impl Package {
    /// The package of this name.
    pub(super) fn of(name: &str) -> Result<Self> {
        let mut lines = PACKAGES.lines().filter(|line| !line.trim_start().starts_with('#'));
        let head = lines.find_map(|line| {
            let (known, rest) = line.split_once(' ').filter(|(known, _)| *known == name)?;
            let (version, sha256) = rest.split_once(' ')?;
            Some((known, version, sha256))
        });
        let (name, version, sha256) = head.with_context(|| format!("no package is called {name}"))?;
        let mut package = Self {
            name,
            version,
            sha256,
            plugins: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            server: "",
        };
        for line in lines.take_while(|line| !line.is_empty()) {
            package.read(line.trim_start())?;
        }
        Ok(package)
    }

    fn read(&mut self, line: &'static str) -> Result<()> {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "plugins" => self.plugins.extend(rest.split(' ')),
            "words" => self.arguments.extend(rest.split(' ')),
            "phrase" => self.arguments.push(rest),
            "environment" => self.environment.extend(rest.split_once('=')),
            "server" => self.server = server(rest).with_context(|| format!("there is no server {rest}"))?,
            _ => bail!("{what} says nothing of a package"),
        }
        Ok(())
    }
}

/// The lines of a shell that start a server.
fn server(name: &str) -> Option<&'static str> {
    Some(match name {
        "redis" => include_str!("servers/redis.sh"),
        "postgres" => include_str!("servers/postgres.sh"),
        "mariadb" => include_str!("servers/mariadb.sh"),
        _ => return None,
    })
}

const PACKAGES: &str = include_str!("packages.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_read_to_its_end() {
        let heads = PACKAGES.lines().filter(|line| !line.is_empty() && !line.starts_with([' ', '#']));
        for head in heads {
            let name = head.split(' ').next().expect("a name");
            let package = Package::of(name).expect(head);
            assert_eq!(format!("{} {} {}", package.name, package.version, package.sha256), head);
            assert!(package.sha256.len() == 64 && !package.arguments.is_empty(), "{head}");
        }
        assert!(Package::of("none").is_err());
    }

    #[test]
    fn words_are_told_from_phrases_and_variables() {
        let urllib3 = Package::of("urllib3").expect("read");
        assert_eq!(urllib3.plugins, ["pytest_socket", "anyio"]);
        assert_eq!(urllib3.arguments[..3], ["test", "-m", "not requires_network and not integration"]);
        assert_eq!(urllib3.environment, [("CI", "1")]);
        assert!(Package::of("redis").expect("read").server.contains("redis-server"));
    }
}
