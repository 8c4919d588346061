// SPDX-License-Identifier: Apache-2.0
//! A world whose listeners hold SYNs, and the reader of what it tells.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use ambassador::kernel::{FlowKey, Kernel, Landing, LoadOptions, Origin, SynEvent, SynEvents};

use crate::{
    wire::Syn,
    world::{PATIENCE, Site, World},
};

/// A world that holds SYNs.
pub(crate) struct Truth {
    pub(crate) world: World,
    pub(crate) events: SynEvents,
}

/// A connection that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) key: FlowKey,
    pub(crate) origin: Origin,
    pub(crate) syn: Syn,
}

impl Truth {
    pub(crate) fn new() -> Self {
        Self::loaded(&LoadOptions::default())
    }

    pub(crate) fn loaded(options: &LoadOptions) -> Self {
        let options = LoadOptions { truthful: true, stale_after: Duration::from_hours(1), ..options.clone() };
        Self::of(Kernel::load(&options).unwrap())
    }

    pub(crate) fn of(kernel: Kernel) -> Self {
        let mut world = World::of(kernel);
        let kernel = world.kernel.as_mut().unwrap();
        kernel.truthful_available().unwrap();
        let events = kernel.take_events().pop().unwrap();
        for site in &world.sites {
            let cookie = site.namespace.cookie();
            for listener in &site.listeners {
                kernel.attach_listener_filter(listener.as_fd(), cookie, 0).unwrap();
            }
            world.maps.register_namespace(cookie, &landing(site).truthful()).unwrap();
        }
        Self { world, events }
    }

    /// The next event; fails when there is none in time.
    pub(crate) fn event(&mut self) -> SynEvent {
        self.event_within(PATIENCE).expect("no event")
    }

    pub(crate) fn event_within(&mut self, patience: Duration) -> Option<SynEvent> {
        let start = Instant::now();
        loop {
            if let Some(event) = self.events.take() {
                return Some(event);
            }
            if start.elapsed() > patience {
                return None;
            }
            std::thread::yield_now();
        }
    }

    /// The next event, which tells of a connection to `dst` that is held.
    pub(crate) fn held(&mut self, dst: SocketAddr) -> Held {
        let event = self.event();
        let SynEvent::Held { key, origin, syn } = event else { panic!("not held: {event:?}") };
        assert_eq!(origin.dst.0, dst);
        assert!(origin.announced);
        assert!(syn.len() <= 120, "{}", syn.len());
        let syn = Syn::parse(&syn);
        assert_eq!((syn.source(), syn.destination()), (key.client, key.listener));
        assert_eq!(key.netns_cookie, origin.caller.netns_cookie);
        Held { key, origin, syn }
    }

    /// The next event, which says that `held` was closed: whether it had been admitted.
    pub(crate) fn closed(&mut self, held: &Held) -> bool {
        let event = self.event();
        let SynEvent::Closed { key, ticket, admitted } = event else { panic!("not closed: {event:?}") };
        assert_eq!((key, ticket), (held.key, held.origin.ticket));
        admitted
    }

    /// The next event, which tells of a SYN that nobody redirected.
    pub(crate) fn stray(&mut self) -> (FlowKey, Syn) {
        let event = self.event();
        let SynEvent::Stray { key, syn } = event else { panic!("no stray: {event:?}") };
        let syn = Syn::parse(&syn);
        assert_eq!((syn.source(), syn.destination()), (key.client, key.listener));
        (key, syn)
    }

    /// Admits a held connection and sends its SYN.
    pub(crate) fn let_in(&self, held: &Held) {
        assert!(self.world.maps.admit(&held.key, held.origin.ticket).unwrap());
        held.syn.replay(&self.site(held).namespace);
    }

    pub(crate) fn refuse(&self, held: &Held) {
        held.syn.refuse(&self.site(held).namespace);
    }

    pub(crate) fn site(&self, held: &Held) -> &Site {
        let cookie = held.key.netns_cookie;
        self.world.sites.iter().find(|site| site.namespace.cookie() == cookie).unwrap()
    }

    /// Waits until no connection is left, and no more than `verdicts`.
    pub(crate) fn closes(&self, verdicts: u32) {
        let maps = &self.world.maps;
        let start = Instant::now();
        let left = || (maps.pending_tuples().unwrap(), maps.pending_verdicts(1).unwrap());
        // An entry goes first, and its verdict after it.
        while left() != (0, verdicts) && start.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        assert_eq!(left(), (0, verdicts));
    }

    /// Waits until no connection and no verdict is left, and checks that nothing more was told.
    pub(crate) fn ends_empty(&mut self) {
        self.closes(0);
        assert_eq!(self.world.maps.open_flows().unwrap(), 0);
        assert_eq!(self.events.take(), None);
    }
}

/// The listeners of a site, as the kernel programs know them.
pub(crate) fn landing(site: &Site) -> Landing {
    let addresses: Vec<_> = site.listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    let v6: Vec<_> = addresses.iter().filter(|a| a.is_ipv6()).map(SocketAddr::port).collect();
    let v4_count = u8::try_from(addresses.len() - v6.len()).unwrap();
    let IpAddr::V4(first) = addresses[0].ip() else { panic!("the first listener is IPv4") };
    Landing::new(first, v4_count, addresses[0].port(), &v6)
}
