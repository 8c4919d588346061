// SPDX-License-Identifier: Apache-2.0
//! What holds for every case.

use std::net::{IpAddr, Ipv4Addr};

use ambassador_ebpf::{
    admission::Admission,
    decide::{Facts as _, Verdict, decide},
    landing::{Endpoint, Landing},
};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

use crate::case::{Case, NOW, refusal};

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let any_ip = proptest::prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u8; 3]>().prop_map(|[b, c, d]| IpAddr::from([127, b, c, d])),
    ];
    (any_ip, any::<u16>()).prop_map(|(ip, port)| Endpoint { address: ip.into(), port_be: port.to_be() })
}

fn any_landing() -> impl Strategy<Value = Landing> {
    let ports = proptest::collection::vec(1_u16.., 0..=8);
    (1_u8..=254, 0_u8..=64, 1_u16.., ports, 0_u8..2).prop_map(
        |(first, count, v4_port, v6_ports, truthful)| {
            let count = count.min(255 - first);
            let landing = Landing::new(Ipv4Addr::new(127, 77, 0, first), count, v4_port, &v6_ports);
            Landing { truthful, ..landing }
        },
    )
}

fn any_case() -> impl Strategy<Value = Case> {
    let rule = proptest::option::of((0_u64..2 * NOW, 0_u8..2));
    let bools = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let waits = (any::<bool>(), any::<bool>(), 0_u64..2 * NOW);
    let landing = proptest::option::of(any_landing());
    (bools, waits, any_endpoint(), rule, 0_u64..2 * NOW, 0_u32..4, landing).prop_map(
        |(bools, (room, eager, good_until_ns), destination, rule, beat_ns, interface, landing)| Case {
            tcp: bools.0,
            any_destination: Some(destination),
            include_loopback: bools.1,
            marked: bools.2,
            excluded: bools.3,
            refusal: rule.and_then(|(until_ns, while_stale)| refusal(until_ns, while_stale)),
            beat_ns,
            interface,
            landing,
            room,
            eager,
            good_until_ns,
            ..Case::default()
        },
    )
}

proptest! {
    #[test]
    fn a_redirect_goes_to_a_registered_listener_and_never_to_where_it_went(case in any_case()) {
        if let Verdict::Redirect { listener, .. } = decide(&case) {
            let destination = case.destination();
            prop_assert!(case.landing.unwrap().is_listener(&listener));
            prop_assert!(listener != destination);
            prop_assert_eq!(listener.address.family(), destination.address.family());
            prop_assert!(listener.address.is_loopback());
        }
    }

    #[test]
    fn marked_excluded_and_foreign_connections_are_never_touched(case in any_case()) {
        if case.marked || case.excluded || !case.tcp || case.destination().address.is_listener() {
            prop_assert!(matches!(decide(&case), Verdict::Pass(_)));
        }
    }

    #[test]
    fn a_dead_proxy_refuses_only_what_is_meant_to_stay_refused(case in any_case()) {
        let case = Case { beat_ns: 0, ..case };
        match decide(&case) {
            Verdict::Pass(_) => {}
            Verdict::Refuse(_) => prop_assert!(case.refusal.unwrap().while_stale == 1),
            Verdict::Redirect { .. } => prop_assert!(false, "redirected to a dead proxy"),
        }
    }

    #[test]
    fn only_what_waits_at_a_filtered_listener_is_held_and_never_what_is_known_or_configured(case in any_case()) {
        if let Verdict::Redirect { admission, .. } = decide(&case) {
            let truthful = case.landing.unwrap().truthful == 1;
            prop_assert_eq!(admission == Admission::Unfiltered, !truthful);
            prop_assert_eq!(admission == Admission::Eager, truthful && case.eager);
            let good = case.good_until_ns > NOW;
            prop_assert_eq!(admission == Admission::Held, truthful && !case.eager && !good);
            prop_assert!(case.room);
        }
    }

    #[test]
    fn one_destination_always_goes_to_one_listener(landing in any_landing(), destination in any_endpoint()) {
        prop_assert_eq!(landing.listener_for(&destination), landing.listener_for(&destination));
    }
}
