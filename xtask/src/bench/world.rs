// SPDX-License-Identifier: Apache-2.0
//! The machines of one scenario: a namespace for the server, and one for each contender with its program.
//!
//! It exists so that contenders do not pay for each other: netfilter, which the peers need, is there only where it is
//! used, and what each keeps in memory begins with the scenario.

use std::net::{Ipv4Addr, SocketAddrV4};

use ambassador_tests::Namespace;
use anyhow::{Context as _, Result};

use super::contender::Contender;
use super::interrupt;
use super::origin::Origin;
use super::programs::Programs;
use super::server::{Manner, Server};
use super::station::Station;

/// What is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TCP, the server speaks first.
    Tcp(Manner),
    /// A closed port that no contender carries.
    Excluded,
}

/// A running world.
pub(crate) struct World {
    // Dropped in this order: the proxies and programs, then what they dial, then where that lives.
    stations: Vec<Station>,
    _origin: Option<Origin>,
    _server: Option<Server>,
    _servers: Namespace,
}

/// Where one contender works.
pub(crate) struct Place {
    /// Its namespace.
    pub(crate) namespace: Namespace,
    /// What its program dials.
    pub(crate) destination: SocketAddrV4,
    /// What is there.
    pub(crate) service: Service,
}

impl World {
    /// Starts the service and all `contenders`.
    pub(crate) fn start(programs: &Programs, service: Service, contenders: &[Contender]) -> Result<Self> {
        let servers = Namespace::new("server")?;
        let (mut origin, mut server) = (None, None);
        let port = match service {
            Service::Http1 | Service::Http2 => {
                origin = Some(Origin::start(&servers)?);
                if service == Service::Http1 { Origin::HTTP } else { Origin::HTTP2 }
            }
            Service::Tcp(manner) => server.insert(Server::start(&servers, manner)?).port(),
            Service::Excluded => CLOSED,
        };
        let mut stations = Vec::new();
        for (number, contender) in (1_u8..).zip(contenders) {
            interrupt::check()?;
            let (program, destination) = (Ipv4Addr::new(10, 78, number, 1), Ipv4Addr::new(10, 78, number, 2));
            let namespace = Namespace::new(contender.name())?;
            let (peer, name) = (format!("peer{number}"), servers.name());
            namespace.ip(&format!("link add name wire0 type veth peer name {peer} netns {name}"))?;
            namespace.ip(&format!("addr add {program}/24 dev wire0"))?;
            servers.ip(&format!("addr add {destination}/24 dev {peer}"))?;
            servers.ip(&format!("link set {peer} up"))?;
            namespace.ip("link set wire0 up")?;
            allow_many_connections(&namespace)?;
            let place = Place { namespace, destination: SocketAddrV4::new(destination, port), service };
            let station = Station::start(*contender, programs, place);
            stations.push(station.with_context(|| format!("start {}", contender.name()))?);
        }
        Ok(Self { stations, _origin: origin, _server: server, _servers: servers })
    }

    /// The contenders, in the order in which they were named.
    pub(crate) fn stations(&mut self) -> &mut [Station] {
        &mut self.stations
    }
}

/// Lets clients that close first have a port for each of the connections of a round.
fn allow_many_connections(namespace: &Namespace) -> Result<()> {
    namespace.enter(|| {
        for (name, value) in [("ip_local_port_range", "2048 65535"), ("tcp_tw_reuse", "1")] {
            let path = format!("/proc/sys/net/ipv4/{name}");
            std::fs::write(&path, value).with_context(|| format!("write {path}"))?;
        }
        Ok(())
    })
}

/// Nobody listens there.
const CLOSED: u16 = 9;
