// SPDX-License-Identifier: Apache-2.0
//! [`Case`]: one connection to decide about, by its facts.

use std::{cell::RefCell, net::Ipv4Addr};

use ambassador_ebpf::{
    decide::Facts,
    landing::{Endpoint, Landing},
    refusal::Refusal,
    settings::Heartbeat,
};

/// The time at which everything is decided.
pub(crate) const NOW: u64 = 1_000_000;
/// How old a heartbeat may be.
pub(crate) const LIMIT: u64 = 1_000;

/// The answers to every question, and which of them were asked.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "one answer per question")]
pub(crate) struct Case {
    pub(crate) tcp: bool,
    pub(crate) destination: &'static str,
    pub(crate) any_destination: Option<Endpoint>,
    pub(crate) include_loopback: bool,
    pub(crate) marked: bool,
    pub(crate) excluded: bool,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) beat_ns: u64,
    pub(crate) interface: u32,
    pub(crate) from_loopback: bool,
    pub(crate) landing: Option<Landing>,
    pub(crate) room: bool,
    pub(crate) eager: bool,
    pub(crate) good_until_ns: u64,
    pub(crate) asked: RefCell<Vec<&'static str>>,
}

impl Default for Case {
    /// A connection that is redirected.
    fn default() -> Self {
        Self {
            tcp: true,
            destination: "10.0.0.1:80",
            any_destination: None,
            include_loopback: false,
            marked: false,
            excluded: false,
            refusal: None,
            beat_ns: NOW,
            interface: 0,
            from_loopback: false,
            landing: Some(landing()),
            room: true,
            eager: false,
            good_until_ns: 0,
            asked: RefCell::default(),
        }
    }
}

impl Case {
    fn ask<T>(&self, question: &'static str, answer: T) -> T {
        self.asked.borrow_mut().push(question);
        answer
    }
}

impl Facts for Case {
    fn is_tcp(&self) -> bool {
        self.ask("tcp", self.tcp)
    }
    fn destination(&self) -> Endpoint {
        self.any_destination.unwrap_or_else(|| endpoint(self.destination))
    }
    fn intercepts_loopback(&self) -> bool {
        self.ask("flags", self.include_loopback)
    }
    fn is_marked(&self) -> bool {
        self.ask("mark", self.marked)
    }
    fn is_excluded(&self) -> bool {
        self.ask("exclude", self.excluded)
    }
    fn refusal(&self) -> Option<Refusal> {
        self.ask("deny", self.refusal)
    }
    fn now_ns(&self) -> u64 {
        NOW
    }
    fn heartbeat(&self) -> Heartbeat {
        self.ask("beat", Heartbeat { last_ns: self.beat_ns, stale_after_ns: LIMIT })
    }
    fn bound_interface(&self) -> u32 {
        self.ask("interface", self.interface)
    }
    fn is_bound_to_loopback(&self) -> bool {
        self.ask("source", self.from_loopback)
    }
    fn landing(&self) -> Option<&Landing> {
        self.ask("landing", self.landing.as_ref())
    }
    fn has_room(&self) -> bool {
        self.ask("room", self.room)
    }
    fn is_eager(&self) -> bool {
        self.ask("eager", self.eager)
    }
    fn good_until_ns(&self) -> u64 {
        self.ask("good", self.good_until_ns)
    }
}

/// Listeners of both families that hold nothing.
pub(crate) fn landing() -> Landing {
    Landing::new(Ipv4Addr::new(127, 77, 0, 1), 8, 15_001, &[15_002, 15_003])
}

fn endpoint(text: &str) -> Endpoint {
    let address: std::net::SocketAddr = text.parse().expect("an address");
    Endpoint { address: address.ip().into(), port_be: address.port().to_be() }
}

/// A rule that refuses.
#[allow(clippy::unnecessary_wraps, reason = "it is the answer to a question")]
pub(crate) fn refusal(until_ns: u64, while_stale: u8) -> Option<Refusal> {
    Some(Refusal { until_ns, errno: 111, while_stale, padding: [0; 5] })
}

/// A rule that refuses nothing.
pub(crate) fn exception(while_stale: u8) -> Option<Refusal> {
    refusal(0, while_stale).map(|refusal| Refusal { errno: 0, ..refusal })
}
