// SPDX-License-Identifier: Apache-2.0
//! Packets against captured ones, and properties of all of them.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest},
};

use super::*;

/// A kernel's own SYNs and what it answered on its own, captured on the loopback of Linux 6.18. Nothing there fills
/// in checksums: the TCP ones are those of the pseudo-header.
const V4_SYN: &str = "4500003cc91d40004006739c7f0000017f0000018a4a0051fd35565100000000\
    a002ffd7fe3000000204ffd70402080a64458aeb000000000103030a";
const V4_RST: &str = "450000280000400040063cce7f0000017f00000100518a4a00000000fd355652\
    50140000d3aa0000";
const V6_SYN: &str = "6000a9b2002806400000000000000000000000000000000100000000000000000000000000000001\
    b996005111808e1600000000a002ffc4003000000204ffc40402080aaae3d2e9000000000103030a";
const V6_RST: &str = "600a38d70014064000000000000000000000000000000001000000000000000000000000000000010\
    051b9960000000011808e1750140000001c0000";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn syn(hex: &str) -> Syn {
    Syn::parse(&bytes(hex)).expect("a SYN")
}

/// Checks a packet's lengths and checksums by other arithmetic than the code: the sum of all words of a valid packet
/// is a multiple of 0xffff.
fn assert_valid(packet: &[u8]) {
    let sum = |bytes: &[u8]| -> u64 {
        bytes
            .chunks(2)
            .map(|pair| u64::from(pair[0]) * 256 + pair.get(1).map_or(0, |low| u64::from(*low)))
            .sum()
    };
    let (addresses, start, protocol) = if packet[0] >> 4 == 4 {
        let start = usize::from(packet[0] % 16) * 4;
        assert_eq!(usize::from(packet[2]) * 256 + usize::from(packet[3]), packet.len());
        assert_eq!(sum(&packet[..start]) % 0xffff, 0, "IP checksum");
        (12..20, start, packet[9])
    } else {
        assert_eq!(usize::from(packet[4]) * 256 + usize::from(packet[5]) + 40, packet.len());
        (8..40, 40, packet[6])
    };
    let pseudo = sum(&packet[addresses]) + u64::from(protocol) + (packet.len() - start) as u64;
    let pseudo = if protocol == 1 { 0 } else { pseudo };
    assert_eq!((sum(&packet[start..]) + pseudo) % 0xffff, 0, "payload checksum");
}

#[test]
fn a_captured_syn_is_read() {
    let v4 = syn(V4_SYN);
    assert_eq!(
        (v4.src().to_string(), v4.dst().to_string()),
        ("127.0.0.1:35402".into(), "127.0.0.1:81".into())
    );
    assert_eq!(v4.isn(), 0xfd35_5651);
    let v6 = syn(V6_SYN);
    assert_eq!((v6.src().to_string(), v6.dst().to_string()), ("[::1]:47510".into(), "[::1]:81".into()));
    assert_eq!(v6.isn(), 0x1180_8e16);
}

#[test]
fn a_replay_differs_from_the_captured_syn_in_its_checksum_only() {
    for (hex, checksum) in [(V4_SYN, 36..38), (V6_SYN, 56..58)] {
        let (captured, replay) = (bytes(hex), syn(hex).replay());
        assert_valid(replay.as_bytes());
        let differing: Vec<usize> =
            (0..captured.len()).filter(|at| captured[*at] != replay.as_bytes()[*at]).collect();
        assert!(!differing.is_empty() && differing.iter().all(|at| checksum.contains(at)), "{differing:?}");
    }
}

#[test]
fn a_refusal_is_what_the_kernel_itself_answers() {
    assert_eq!(syn(V4_SYN).refuse().as_bytes(), bytes(V4_RST));
    // But for the flow label, which IPv6 makes up, and the checksum, which was not filled in.
    let (ours, theirs) = (syn(V6_SYN).refuse(), bytes(V6_RST));
    assert_valid(ours.as_bytes());
    assert_eq!(ours.as_bytes()[4..56], theirs[4..56]);
}

#[test]
fn an_error_quotes_the_syn() {
    for (hex, header, want) in
        [(V4_SYN, 20, [(3, 0), (3, 1), (3, 3), (3, 13)]), (V6_SYN, 40, [(1, 0), (1, 3), (1, 4), (1, 1)])]
    {
        let kinds =
            [Unreachable::Network, Unreachable::Host, Unreachable::Port, Unreachable::AdminProhibited];
        for (why, (kind, code)) in kinds.into_iter().zip(want) {
            let (syn, packet) = (syn(hex), syn(hex).unreachable(why));
            assert_valid(packet.as_bytes());
            assert_eq!(packet.as_bytes()[header..header + 2], [kind, code]);
            assert_eq!(packet.as_bytes()[header + 4..header + 8], [0; 4]);
            assert_eq!(&packet.as_bytes()[header + 8..], syn.replay().as_bytes());
            assert_eq!(packet.destination(), syn.src().ip());
        }
    }
}

#[test]
fn a_reset_after_allow_comes_from_the_program() {
    let syn = syn(V4_SYN);
    let packet = syn.reset_after_allow();
    assert_valid(packet.as_bytes());
    assert_eq!(packet.destination(), syn.dst().ip());
    let segment = &packet.as_bytes()[20..];
    assert_eq!(segment[..4], bytes(V4_SYN)[20..24]);
    assert_eq!(segment[4..12], [0xfd, 0x35, 0x56, 0x52, 0, 0, 0, 0]);
    assert_eq!(segment[13], RST);
}

#[test]
fn only_a_whole_syn_is_accepted() {
    let spoilt = |hex: &str, at: usize, byte: u8| {
        let mut packet = bytes(hex);
        packet[at] = byte;
        Syn::parse(&packet).expect_err("spoilt")
    };
    assert_eq!(Syn::parse(&[]), Err(PacketError::Truncated { length: 0 }));
    assert_eq!(Syn::parse(&[0x45; 129]), Err(PacketError::TooLong { length: 129 }));
    assert_eq!(spoilt(V4_SYN, 0, 0x55), PacketError::Version(5));
    assert_eq!(spoilt(V4_SYN, 0, 0x44), PacketError::HeaderLength(16));
    assert_eq!(spoilt(V4_SYN, 3, 59), PacketError::Length { declared: 59, headers: 60 });
    assert_eq!(spoilt(V4_SYN, 6, 0x20), PacketError::Fragment);
    assert_eq!(spoilt(V4_SYN, 9, 17), PacketError::Protocol(17));
    assert_eq!(spoilt(V4_SYN, 32, 0x40), PacketError::HeaderLength(16));
    assert_eq!(spoilt(V4_SYN, 32, 0xb0), PacketError::Truncated { length: 60 });
    for flags in [0, SYN | ACK, SYN | RST, SYN | FIN, ACK, RST] {
        assert_eq!(spoilt(V4_SYN, 33, flags), PacketError::Flags(flags));
    }
    assert_eq!(spoilt(V6_SYN, 6, 0), PacketError::Protocol(0));
    assert_eq!(spoilt(V6_SYN, 5, 0), PacketError::Length { declared: 40, headers: 80 });
    let whole = bytes(V6_SYN);
    for length in 0..whole.len() {
        Syn::parse(&whole[..length]).expect_err("truncated");
    }
}

#[test]
fn data_of_a_syn_is_left_out() {
    for (hex, length) in [(V4_SYN, 3), (V6_SYN, 5)] {
        let mut packet = bytes(hex);
        packet[length] += 5;
        assert_eq!(Syn::parse(&packet), Ok(syn(hex)), "data that was not captured");
        packet.extend(*b"hello");
        assert_eq!(Syn::parse(&packet), Ok(syn(hex)), "data that was captured");
    }
}

#[test]
fn a_reset_needs_no_captured_syn() {
    for hex in [V4_SYN, V6_SYN] {
        let syn = syn(hex);
        assert_eq!(reset_after_allow(syn.src(), syn.dst(), syn.isn()), Some(syn.reset_after_allow()));
    }
    assert_eq!(reset_after_allow(syn(V4_SYN).src(), syn(V6_SYN).dst(), 1), None);
}

#[test]
fn a_syn_that_offers_ecn_is_a_syn() {
    let mut packet = bytes(V4_SYN);
    packet[33] |= 0xc0;
    packet[32] |= 0x01;
    let syn = Syn::parse(&packet).expect("a SYN");
    assert_eq!(syn.replay().as_bytes()[32..34], packet[32..34]);
}

/// Any SYN with whole headers.
fn any_syn() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![Just(V4_SYN), Just(V6_SYN)];
    let options = vec(any::<u8>(), 0..=10).prop_map(|words| words.repeat(4));
    (header, any::<[u8; 8]>(), any::<u32>(), options).prop_map(|(hex, ends, isn, options)| {
        let mut packet = bytes(hex);
        let (addresses, start) = if hex == V4_SYN { (12, 20) } else { (20, 40) };
        packet.truncate(start + 20);
        packet[addresses..addresses + 4].copy_from_slice(&ends[..4]);
        packet[start..start + 4].copy_from_slice(&ends[4..]);
        packet[start + 4..start + 8].copy_from_slice(&isn.to_be_bytes());
        packet[start + 12] = u8::try_from(5 + options.len() / 4).expect("at most 15") << 4;
        packet.extend(options);
        let length = u8::try_from(packet.len()).expect("at most 100");
        if hex == V4_SYN {
            packet[3] = length;
        } else {
            packet[5] = length - 40;
        }
        packet
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in vec(any::<u8>(), 0..200),
        first in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
    ) {
        let mut bytes = bytes;
        if let Some(version) = bytes.first_mut() {
            *version = first;
        }
        let _ = Syn::parse(&bytes);
    }

    #[test]
    fn a_spoilt_syn_is_read_or_refused(packet in any_syn(), at: proptest::sample::Index, byte: u8) {
        let mut packet = packet;
        let at = at.index(packet.len());
        packet[at] = byte;
        if let Ok(syn) = Syn::parse(&packet) {
            assert_valid(syn.replay().as_bytes());
            assert_valid(syn.unreachable(Unreachable::Host).as_bytes());
        }
    }

    #[test]
    fn a_replay_is_read_as_the_same_syn(packet in any_syn()) {
        let syn = Syn::parse(&packet).expect("a SYN");
        assert_valid(syn.replay().as_bytes());
        prop_assert_eq!(syn.replay().as_bytes().len(), packet.len());
        prop_assert_eq!(Syn::parse(syn.replay().as_bytes()), Ok(syn));
    }

    /// RFC 9293 §3.10.7.3: in SYN-SENT a reset counts if ISS < SEG.ACK ≤ SND.NXT, where SND.NXT = ISS + 1.
    #[test]
    fn a_refusal_is_acceptable(packet in any_syn()) {
        let syn = Syn::parse(&packet).expect("a SYN");
        let refusal = syn.refuse();
        assert_valid(refusal.as_bytes());
        let segment = &refusal.as_bytes()[refusal.as_bytes().len() - 20..];
        let acknowledged = u32::from_be_bytes([segment[8], segment[9], segment[10], segment[11]]);
        prop_assert_eq!(acknowledged.wrapping_sub(syn.isn()), 1);
        prop_assert!(segment[13] == RST | ACK && segment[4..8] == [0; 4]);
        prop_assert_eq!(refusal.destination(), syn.src().ip());
        prop_assert_eq!(u16::from_be_bytes([segment[2], segment[3]]), syn.src().port());
        prop_assert_eq!(u16::from_be_bytes([segment[0], segment[1]]), syn.dst().port());
    }
}
