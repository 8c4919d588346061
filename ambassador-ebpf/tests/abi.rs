// SPDX-License-Identifier: Apache-2.0
//! The shapes of the ABI: addresses round-trip, rules match what they name, destinations spread, counters are named.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ambassador_ebpf::{
    address::{Address, Family},
    counter::Counter,
    known::Known,
    landing::{Endpoint, Landing},
    origin::Origin,
    plain,
    target::{ANY_PORT, Target, TargetKey},
    tuple::Tuple,
    verdict::{Ticket, VERDICT_WORDS, place_of},
};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

proptest! {
    #[test]
    fn every_connection_has_a_place_for_its_verdict_and_that_of_the_next_socket_is_another(
        socket_cookie in 1..u64::MAX,
        isns in any::<(u32, u32)>(),
    ) {
        let place = |socket_cookie, isn| place_of(Ticket { socket_cookie, isn }.word());
        prop_assert!(place(socket_cookie, isns.0) < VERDICT_WORDS);
        prop_assert!(place(socket_cookie, isns.0) != place(socket_cookie + 1, isns.1));
    }

    #[test]
    fn what_stands_for_a_connection_stands_for_no_other_of_its_socket(
        socket_cookie in any::<u64>(),
        isns in any::<(u32, u32)>(),
    ) {
        let word = |isn| Ticket { socket_cookie, isn }.word();
        prop_assert_eq!(word(isns.0) == word(isns.1), isns.0 == isns.1);
    }

    #[test]
    fn what_stands_for_a_connection_stands_for_none_of_the_next_four_billion_sockets(
        one in any::<u32>(),
        other in any::<u32>(),
        isns in any::<(u32, u32)>(),
    ) {
        let word = |cookie: u32, isn| Ticket { socket_cookie: cookie.into(), isn }.word();
        prop_assert_eq!(word(one, isns.0) == word(other, isns.1), (one, isns.0) == (other, isns.1));
    }

    #[test]
    fn of_loopback_are_the_addresses_that_std_says(bytes in any::<[u8; 16]>(), v4 in any::<[u8; 4]>()) {
        let own: [IpAddr; 4] = [[0; 4].into(), [127, 9, 8, 7].into(), [0; 16].into(), Ipv6Addr::LOCALHOST.into()];
        for ip in own.into_iter().chain([IpAddr::from(bytes), IpAddr::from(v4)]) {
            let is = ip.to_canonical().is_loopback();
            prop_assert_eq!(Address::from(ip).is_of_loopback(), is, "{}", ip);
        }
    }

    #[test]
    fn link_local_are_the_addresses_that_std_says(bytes in any::<[u8; 16]>(), last in any::<u8>()) {
        for v6 in [bytes, [&[0xfe, 0x80 | last], &bytes[2..]].concat().try_into().unwrap()] {
            let v6 = Ipv6Addr::from(v6);
            let address = Address::from(IpAddr::V6(v6));
            prop_assert_eq!(address.is_link_local_v6(), v6.is_unicast_link_local());
        }
    }

    #[test]
    fn addresses_round_trip_and_mapped_ones_are_ipv4(bytes in any::<[u8; 16]>(), v4 in any::<[u8; 4]>()) {
        let v6 = IpAddr::from(bytes);
        prop_assert_eq!(IpAddr::from(Address::from(v6)), v6.to_canonical());
        let plain = IpAddr::from(v4);
        let mapped = IpAddr::V6(Ipv4Addr::from(v4).to_ipv6_mapped());
        prop_assert_eq!(Address::from(plain), Address::from(mapped));
        prop_assert_eq!(IpAddr::from(Address::from(mapped)), plain);
        prop_assert_eq!(Address::from(mapped).family(), Family::V4);
    }

    #[test]
    fn the_words_of_a_key_are_its_bytes(
        ips in any::<(IpAddr, IpAddr)>(),
        ports in any::<(u16, u16)>(),
        cookie: u64,
        prefix_len in 0_u8..=32,
    ) {
        let ends = [(ips.0, ports.0), (ips.1, ports.1)];
        let [one, other] = ends.map(|(ip, port)| Endpoint { address: ip.into(), port_be: port });
        let tuple = Tuple::new(cookie, &one, &other);
        prop_assert_eq!(plain::read(&bytes(tuple.words())), Some(tuple));
        let known = Known::new(cookie, &one);
        prop_assert_eq!(plain::read(&bytes(known.words())), Some(known));
        for target in [TargetKey::of(&one, ports.0), TargetKey::rule(one.address, prefix_len, Some(ports.1))] {
            prop_assert_eq!(plain::read(&bytes(target.words())), Some(target));
        }
    }

    #[test]
    fn loopback_is_what_std_says_and_the_unspecified(bytes in any::<[u8; 4]>()) {
        let ip = Ipv4Addr::from(bytes);
        let want = ip.is_loopback() || ip.is_unspecified();
        prop_assert_eq!(Address::from(IpAddr::V4(ip)).is_loopback(), want);
        prop_assert_eq!(Address::from(IpAddr::V4(ip)).is_listener(), bytes[..3] == [127, 77, 0]);
    }

    #[test]
    fn an_origin_decodes_to_what_was_dialled(ip in any::<IpAddr>(), port in any::<u16>(), comm in any::<[u8; 16]>()) {
        let origin = Origin { address: ip.into(), port_be: port.to_be(), comm, ..Origin::default() };
        prop_assert_eq!(origin.destination(), SocketAddr::new(ip.to_canonical(), port));
        prop_assert!(!origin.comm_bytes().contains(&0));
    }
}

fn bytes<const N: usize>(words: [u64; N]) -> Vec<u8> {
    words.map(u64::to_ne_bytes).concat()
}

/// Whether an LPM rule covers a destination, by the trie's own definition: the leading bits agree.
fn covers(rule: &TargetKey, target: &Target) -> bool {
    let bits = |target: &Target| {
        let mut bytes = Vec::from(target.family.to_ne_bytes());
        bytes.extend(target.port_be.to_ne_bytes());
        target.address.words_be.iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
        bytes
    };
    let (rule_bits, target_bits) = (bits(&rule.target), bits(target));
    (0..rule.prefix_len as usize).all(|i| (rule_bits[i / 8] ^ target_bits[i / 8]) & (0x80 >> (i % 8)) == 0)
}

#[test]
fn rules_cover_their_network_on_their_port() {
    for (network, len, port, dst, covered) in [
        ("10.0.0.0", 8, None, "10.255.0.1:80", true),
        ("10.0.0.0", 8, None, "[::ffff:10.1.1.1]:80", true),
        ("10.0.0.0", 8, None, "11.0.0.1:80", false),
        ("10.0.0.0", 8, Some(80), "10.1.1.1:80", true),
        ("10.0.0.0", 8, Some(80), "10.1.1.1:81", false),
        ("10.0.0.1", 32, None, "10.0.0.2:80", false),
        ("0.0.0.0", 0, Some(22), "192.168.1.1:22", true),
        ("0.0.0.0", 0, None, "[fd00::1]:22", false),
        ("::", 0, None, "[fd00::1]:22", true),
        ("::", 0, None, "10.0.0.1:22", false),
        ("fd00::", 64, Some(443), "[fd00::9]:443", true),
        ("fd00::", 64, Some(443), "[fd00:0:0:1::9]:443", false),
    ] {
        let rule = TargetKey::rule(Address::from(network.parse::<IpAddr>().unwrap()), len, port);
        let dst: SocketAddr = dst.parse().unwrap();
        let endpoint = Endpoint { address: dst.ip().into(), port_be: dst.port().to_be() };
        let looked_up = [endpoint.port_be, ANY_PORT].map(|port_be| Target::of(&endpoint, port_be));
        let found = looked_up.iter().any(|target| covers(&rule, target));
        assert_eq!(found, covered, "{network}/{len} {port:?} {dst}");
    }
}

#[test]
fn destinations_spread_evenly_over_the_listeners() {
    let landing = Landing::new(Ipv4Addr::new(127, 77, 0, 1), 8, 1, &[1, 2, 3, 4]);
    // Neighbours, as in one cluster: consecutive addresses, few ports.
    let neighbours = (0..4096_u32).map(|i| {
        let ip = Ipv4Addr::from_bits(0x0a00_0000 + i / 2);
        (IpAddr::V4(ip), if i % 2 == 0 { 80 } else { 443 })
    });
    let ports = (0..4096_u16).map(|port| (IpAddr::from([10, 0, 0, 1]), port));
    let v6 = (0..4096_u16).map(|i| (IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, i]), 80));
    for (what, listeners, destinations) in [
        ("neighbours", 8, neighbours.collect::<Vec<_>>()),
        ("ports", 8, ports.collect()),
        ("IPv6", 4, v6.collect()),
    ] {
        let mut hits = BTreeMap::new();
        for (ip, port) in destinations {
            let destination = Endpoint { address: ip.into(), port_be: u16::to_be(port) };
            let listener = landing.listener_for(&destination).unwrap();
            *hits.entry((IpAddr::from(listener.address), listener.port_be)).or_insert(0_u32) += 1;
        }
        let fair = 4096 / listeners;
        assert_eq!(hits.len(), listeners as usize, "{what}: {hits:?}");
        assert!(hits.values().all(|n| (fair * 8 / 10..=fair * 12 / 10).contains(n)), "{what}: {hits:?}");
    }
}

#[test]
fn counters_have_a_slot_and_a_name_of_their_own() {
    for (slot, counter) in Counter::ALL.into_iter().enumerate() {
        assert_eq!(counter.slot() as usize, slot);
    }
    let names: BTreeSet<_> = Counter::ALL.map(Counter::name).into();
    assert_eq!(names.len(), Counter::ALL.len());
}
