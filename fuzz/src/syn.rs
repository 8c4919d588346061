// SPDX-License-Identifier: Apache-2.0
//! The copy of a SYN that the kernel side hands over, and the packets that are built from it.

use ambassador::net::syn::{Packet, Syn, Unreachable};

/// What can be read can be sent again, and be answered, in packets of its own size and way.
pub fn check(bytes: &[u8]) {
    let Ok(syn) = Syn::parse(bytes) else { return };
    let again = syn.replay();
    assert!(again.as_bytes().len() <= bytes.len().min(Syn::MAX_LENGTH));
    assert_eq!(again.destination(), syn.dst().ip());
    let reread = Syn::parse(again.as_bytes()).unwrap_or_else(|error| panic!("own packet: {error}"));
    assert_eq!((reread.src(), reread.dst(), reread.isn()), (syn.src(), syn.dst(), syn.isn()));
    assert_eq!(reread.replay(), again, "sealed once, sealed for good");

    let whys = [Unreachable::Network, Unreachable::Host, Unreachable::Port, Unreachable::AdminProhibited];
    let answers = whys.map(|why| syn.unreachable(why));
    for answer in answers.iter().chain([&syn.refuse()]) {
        assert_eq!(answer.destination(), syn.src().ip());
        assert!(answer.as_bytes().len() <= Packet::CAPACITY);
    }
    assert_eq!(syn.reset_after_allow().destination(), syn.dst().ip());
}
