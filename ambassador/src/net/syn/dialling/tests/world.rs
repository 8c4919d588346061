// SPDX-License-Identifier: Apache-2.0
//! A kernel side and a wire that only take notes, and a connection between them that is held.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::Stream;
use tokio::{task::JoinHandle, time::Instant};

use crate::kernel::Ticket;
use crate::net::{
    dial::{DialError, DialFailure},
    syn::{
        FlowKey, Packet,
        dialling::{Answers, Holding, Near, Report, Verdicts},
        fixtures::{NETNS, dst, key, syn},
        table::Table,
    },
};

/// What was done, in order, by the kernel side and on the wire.
#[derive(Default)]
pub(super) struct World {
    pub(super) said: Mutex<Vec<Said>>,
    /// Whether the kernel side knows that the program has given up.
    pub(super) gone: bool,
    pub(super) verdicts_to_refuse: AtomicU32,
    pub(super) packets_to_lose: AtomicU32,
    pub(super) on_allow: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Allow(Ticket),
    Good(SocketAddr),
    NotGood(SocketAddr),
    Sent(Packet, Duration),
}

impl World {
    fn say(&self, said: Said) {
        self.said.lock().expect("no panic").push(said);
    }

    /// What was done until now.
    pub(super) fn said(&self) -> Vec<Said> {
        self.said.lock().expect("no panic").clone()
    }
}

fn spend(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

impl Verdicts for World {
    fn allow(&self, flow: &FlowKey, ticket: Ticket) -> io::Result<bool> {
        assert_eq!(*flow, key());
        if spend(&self.verdicts_to_refuse) {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        if let Some(observe) = self.on_allow.lock().expect("no panic").take() {
            observe();
        }
        self.say(Said::Allow(ticket));
        Ok(!self.gone)
    }

    fn is_open(&self, _: &FlowKey, _: Ticket) -> bool {
        !self.gone
    }

    fn settled(&self, _: Ticket) {
        panic!("whoever dials is told by its promise");
    }

    fn sweep(&self, _: &mut Vec<u64>) {
        panic!("whoever dials does not sweep");
    }

    fn good(&self, netns_cookie: u64, dst: SocketAddr, _: Near<'_>) {
        assert_eq!(netns_cookie, NETNS);
        self.say(Said::Good(dst));
    }

    fn still_good(&self, _: u64, _: SocketAddr, _: Near<'_>, _: Instant) {
        panic!("a dial says nothing of idle connections");
    }

    fn not_good(&self, netns_cookie: u64, dst: SocketAddr) {
        assert_eq!(netns_cookie, NETNS);
        self.say(Said::NotGood(dst));
    }
}

impl Answers for World {
    fn send(&self, packet: &Packet) -> io::Result<()> {
        if spend(&self.packets_to_lose) {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        self.say(Said::Sent(packet.clone(), crate::clock::now().since(crate::policy::clock::Now::ORIGIN)));
        Ok(())
    }
}

/// Of the program's socket.
pub(super) const TICKET: Ticket = Ticket { socket_cookie: 11, isn: 1 };

/// A held connection that is being dialled.
pub(super) struct Case {
    world: Arc<World>,
    pub(super) table: Arc<Table>,
    driver: JoinHandle<Report>,
}

impl Case {
    /// Begins to dial.
    pub(super) fn start(
        world: World,
        attempts: impl Stream<Item = Result<TcpStream, DialError>> + Send + 'static,
    ) -> Self {
        let (world, table) = (Arc::new(world), Arc::new(Table::new(8)));
        let promise = table.hold(key(), dst(), TICKET.socket_cookie, Some(1)).expect("room");
        let holding = Holding { key: key(), dst: dst(), ticket: TICKET, syn: Some(syn(1)), promise };
        let (verdicts, answers) = (Arc::clone(&world), Arc::clone(&world));
        let driver = tokio::spawn(async move { holding.dial(attempts, &*verdicts, &*answers).await });
        Self { world, table, driver }
    }

    /// Waits for the end: what is reported, and what was done.
    pub(super) async fn end(self) -> (Report, Vec<Said>) {
        let report = self.driver.await.expect("no panic");
        (report, self.world.said())
    }
}

/// A dial that failed.
pub(super) fn error(errno: i32) -> Result<TcpStream, DialError> {
    let source = io::Error::from_raw_os_error(errno);
    Err(DialError { dst: dst(), failure: DialFailure::from(&source), source })
}

/// The packets that were sent.
pub(super) fn sent(said: &[Said]) -> Vec<&Packet> {
    said.iter()
        .filter_map(|said| if let Said::Sent(packet, _) = said { Some(packet) } else { None })
        .collect()
}
