// SPDX-License-Identifier: Apache-2.0
//! Who is compared: nobody in between, ambassador, its peers behind netfilter's REDIRECT, and a relay
//! that does nothing, as a measure of what there is to gain. One file per proxy.
//!
//! All proxies have two threads or workers, no access log, retries, limits and outlier detection as far as they know
//! them, and counters of their own, from which the bench knows that they carried what was measured.

pub(crate) mod ambassador;
mod envoy;
mod haproxy;
mod nginx;
mod relay;

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};

use ambassador_tests::{Namespace, Process};
use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::page::page;
use super::programs::Programs;
use super::station::ready;
use super::world::{Place, Service};

/// A row of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The program alone.
    Direct,
    /// The program under `ambassador run`.
    Ambassador,
    /// Envoy, with the original destination.
    Envoy,
    /// `HAProxy`, with one configured server.
    Haproxy,
    /// nginx, with one configured server.
    Nginx,
    /// Copies and looks at nothing, and is dialled itself: neither a redirect nor a policy costs anything.
    Relay,
}

/// Everybody who proxies or does not.
pub(crate) const ALL: [Contender; 5] =
    [Contender::Direct, Contender::Ambassador, Contender::Envoy, Contender::Haproxy, Contender::Nginx];

/// The same, and the limit: where one connection of the program is one to the server, and messages are small.
pub(crate) const WITH_LIMIT: [Contender; 6] = [
    Contender::Direct,
    Contender::Ambassador,
    Contender::Envoy,
    Contender::Haproxy,
    Contender::Nginx,
    Contender::Relay,
];

impl Contender {
    /// What its program dials instead of the server.
    pub(crate) fn dialled(self) -> Option<SocketAddrV4> {
        (self == Self::Relay).then_some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, LISTEN))
    }

    /// Its name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ambassador => "ambassador",
            Self::Envoy => "Envoy",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
            Self::Relay => "(bare relay)",
        }
    }

    /// How many requests or connections its own counters have seen; nothing if there is no proxy.
    pub(crate) fn counted(self, namespace: &Namespace, service: Service) -> Result<Option<f64>> {
        let path = match self {
            Self::Direct => return Ok(None),
            Self::Ambassador => ambassador::COUNTERS,
            Self::Envoy => envoy::COUNTERS,
            Self::Haproxy => haproxy::COUNTERS,
            Self::Nginx => nginx::COUNTERS,
            Self::Relay => relay::COUNTERS,
        };
        let page = page(namespace, COUNTERS, path)?;
        let counted = match self {
            Self::Ambassador => ambassador::counted(&page, service),
            Self::Envoy => envoy::counted(&page, service),
            Self::Haproxy => haproxy::counted(&page, service),
            Self::Direct | Self::Nginx => nginx::counted(&page, service),
            Self::Relay => relay::counted(&page, service),
        };
        counted.map(Some).with_context(|| format!("the counters of {}: {page}", self.name()))
    }
}

/// A running peer, and the files that it reads.
pub(crate) struct Peer {
    // Dropped in this order: the proxy before its directory.
    pub(crate) process: Process,
    _files: TempDir,
}

impl Peer {
    /// Starts `contender` where it is redirected to; ready means that it shows its counters.
    pub(crate) fn start(contender: Contender, programs: &Programs, place: &Place) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("ambassador-bench-").tempdir()?;
        let root = files.path().display().to_string();
        let file = files.path().join("configuration.yaml");
        let (configuration, words) = match contender {
            Contender::Envoy => (envoy::configuration(place), envoy::command(programs)?),
            Contender::Haproxy => (haproxy::configuration(place), haproxy::command()),
            Contender::Nginx => (nginx::configuration(place), nginx::command()),
            Contender::Relay => (String::new(), relay::command(programs, place)?),
            Contender::Direct | Contender::Ambassador => bail!("{} is no peer", contender.name()),
        };
        fs::write(&file, configuration.replace("ROOT", &root)).context("write a configuration")?;
        if contender != Contender::Relay {
            redirect(place)?;
        }
        // Its own connections go out with a group that the rule leaves alone.
        let mut command = place.namespace.command("setpriv");
        command.args(["--regid", EXEMPT, "--clear-groups", "--"]).args(words).arg(file);
        let mut process = Process::spawn(&mut command)?;
        ready(contender.name(), &mut process, || {
            matches!(contender.counted(&place.namespace, place.service), Ok(Some(_)))
        })?;
        Ok(Self { process, _files: files })
    }
}

/// Sends what the program dials to the peer, as a sidecar's rules do.
fn redirect(place: &Place) -> Result<()> {
    let (network, port) = (place.destination.ip(), place.destination.port());
    // What is not to be redirected passes the rule all the same.
    let port = if place.service == Service::Excluded { port + 1 } else { port };
    let rules = format!(
        "table ip bench {{ chain output {{ type nat hook output priority -100; policy accept;
        meta skgid != {EXEMPT} ip daddr {network}/24 tcp dport {port} redirect to :{LISTEN}; }}; }}"
    );
    let mut nft = place.namespace.command("nft");
    Process::run(nft.arg(rules), std::time::Duration::from_secs(10))?.expect_success()?;
    Ok(())
}

/// Where peers are redirected to.
const LISTEN: u16 = 15001;
/// Where all show their counters.
pub(crate) const COUNTERS: u16 = 9000;
/// The group of the peers, nogroup.
const EXEMPT: &str = "65534";
