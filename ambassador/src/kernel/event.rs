// SPDX-License-Identifier: Apache-2.0
//! What the kernel side tells of connections that wait for their destination, in safe types.
//!
//! Decoding never panics: a record that does not make sense is an error, although only the kernel programs write them.

use std::{fmt, net::SocketAddr};

use ambassador_ebpf::{
    address::Address,
    event as abi,
    landing::Endpoint,
    plain::{self, Plain},
    tuple::Tuple,
    verdict::Ticket,
};

use super::origin::Origin;

/// The addresses of one redirected connection, as its client and its listener see them. Of an accepted connection
/// they are the peer's and the own address, and the namespace of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The client's address; of a v4-mapped client the IPv4 address.
    pub client: SocketAddr,
    /// The listener's address.
    pub listener: SocketAddr,
    /// Cookie of their network namespace.
    pub netns_cookie: u64,
}

/// What happened to a connection before it was established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SynEvent {
    /// Its SYN is held: it waits for [`KernelMaps::admit`](super::KernelMaps::admit) and its SYN, or for an answer.
    ///
    /// Once per connection, but for a rare second time when the client repeats its SYN at the very same moment.
    Held {
        /// The connection's addresses.
        key: FlowKey,
        /// Where it is meant to go, and who makes it. Its `ticket` tells connections of one key, or of one socket, apart.
        origin: Origin,
        /// The SYN: its IP and TCP headers with all options, never a payload (the length in the IP header may count
        /// one). The TCP checksum covers only the pseudo header.
        syn: Box<[u8]>,
    },
    /// The client gave up before the connection was established at the listener, or was told of a failure. Follows a
    /// `Held` of the same ticket, or comes alone for one that was let in because its destination is known to accept.
    Closed {
        /// The connection's addresses.
        key: FlowKey,
        /// That of its `Held`.
        ticket: Ticket,
        /// Whether the connection had been admitted, so that the listener may hold a half-open connection of it.
        admitted: bool,
    },
    /// A SYN came to a listener, but nobody was redirected from there: a program dials the listener itself. It waits
    /// for an answer, a reset.
    Stray {
        /// The connection's addresses.
        key: FlowKey,
        /// The SYN, as that of [`Held`](Self::Held).
        syn: Box<[u8]>,
    },
}

/// Why a record of the ring buffer is none of the known events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SynEventError {
    /// It is shorter than its kind.
    #[error("an event of {len} bytes is too short for its kind")]
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// Its kind is unknown.
    #[error("an event is of the unknown kind {kind}")]
    UnknownKind {
        /// Its kind.
        kind: u32,
    },
    /// It says that its SYN is longer than there is room for.
    #[error("an event has a SYN of {syn_len} bytes, more than there is room for")]
    SynTooLong {
        /// What it says, in bytes.
        syn_len: u32,
    },
}

impl SynEvent {
    /// The connection's addresses.
    pub fn key(&self) -> &FlowKey {
        match self {
            Self::Held { key, .. } | Self::Closed { key, .. } | Self::Stray { key, .. } => key,
        }
    }
}

impl TryFrom<&[u8]> for SynEvent {
    type Error = SynEventError;

    fn try_from(record: &[u8]) -> Result<Self, Self::Error> {
        let event: abi::Event = read(record)?;
        let key = FlowKey::from(&event.tuple);
        match event.kind {
            abi::HELD => {
                Ok(Self::Held { key, origin: Origin::announced(&event.origin, event.isn), syn: syn(record)? })
            }
            abi::STRAY => Ok(Self::Stray { key, syn: syn(record)? }),
            abi::CLOSED => Ok(Self::Closed {
                key,
                ticket: Ticket { socket_cookie: event.origin.socket_cookie, isn: event.isn },
                admitted: event.admitted != 0,
            }),
            kind => Err(SynEventError::UnknownKind { kind }),
        }
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} -> {}", self.client, self.listener)
    }
}

impl From<&Tuple> for FlowKey {
    fn from(tuple: &Tuple) -> Self {
        Self {
            client: SocketAddr::new(tuple.client.into(), u16::from_be(tuple.client_port_be)),
            listener: SocketAddr::new(tuple.listener.into(), u16::from_be(tuple.listener_port_be)),
            netns_cookie: tuple.netns_cookie,
        }
    }
}

impl From<&FlowKey> for Tuple {
    fn from(key: &FlowKey) -> Self {
        Self::new(key.netns_cookie, &endpoint(key.client), &endpoint(key.listener))
    }
}

pub(super) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { address: Address::from(address.ip()), port_be: address.port().to_be() }
}

/// The SYN that a record ends with.
fn syn(record: &[u8]) -> Result<Box<[u8]>, SynEventError> {
    let abi::HeldEvent { event: abi::Event { syn_len, .. }, syn } = read(record)?;
    let syn = usize::try_from(syn_len).ok().and_then(|len| syn.get(..len).map(Box::from));
    syn.ok_or(SynEventError::SynTooLong { syn_len })
}

fn read<T: Plain>(record: &[u8]) -> Result<T, SynEventError> {
    plain::read(record).ok_or(SynEventError::TooShort { len: record.len() })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use ambassador_ebpf::{event as abi, tuple::Tuple};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{FlowKey, SynEvent, SynEventError};

    const HELD_LEN: usize = size_of::<abi::HeldEvent>();

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(record in proptest::collection::vec(any::<u8>(), 0..2 * HELD_LEN)) {
            let _ = SynEvent::try_from(record.as_slice());
        }

        #[test]
        fn any_bytes_of_a_known_kind_are_decoded_or_too_long(
            kind in 0_u32..6,
            syn_len in 0_u32..200,
            body in proptest::collection::vec(any::<u8>(), HELD_LEN),
        ) {
            let mut record = body;
            record[..4].copy_from_slice(&kind.to_ne_bytes());
            record[8..12].copy_from_slice(&syn_len.to_ne_bytes());
            let decoded = SynEvent::try_from(record.as_slice());
            match kind {
                abi::HELD | abi::STRAY if syn_len > 128 => prop_assert_eq!(decoded, Err(SynEventError::SynTooLong { syn_len })),
                abi::HELD | abi::STRAY => {
                    let len = usize::try_from(syn_len).unwrap();
                    let want = &record[size_of::<abi::Event>()..][..len];
                    let held = matches!(decoded, Ok(SynEvent::Held { syn, .. } | SynEvent::Stray { syn, .. }) if *syn == *want);
                    prop_assert!(held);
                }
                abi::CLOSED => {
                    let closed = matches!(decoded, Ok(SynEvent::Closed { .. }));
                    prop_assert!(closed);
                }
                _ => prop_assert_eq!(decoded, Err(SynEventError::UnknownKind { kind })),
            }
        }

        #[test]
        fn flow_keys_round_trip(
            ips in any::<(IpAddr, IpAddr)>(),
            ports in any::<(u16, u16)>(),
            netns_cookie in any::<u64>(),
        ) {
            let key = FlowKey {
                client: SocketAddr::new(ips.0.to_canonical(), ports.0),
                listener: SocketAddr::new(ips.1.to_canonical(), ports.1),
                netns_cookie,
            };
            prop_assert_eq!(FlowKey::from(&Tuple::from(&key)), key);
        }
    }

    #[test]
    fn a_record_shorter_than_its_kind_is_refused() {
        let mut record = [0; HELD_LEN];
        record[..4].copy_from_slice(&abi::HELD.to_ne_bytes());
        for len in [0, 4, size_of::<abi::Event>(), HELD_LEN - 1] {
            assert_eq!(SynEvent::try_from(&record[..len]), Err(SynEventError::TooShort { len }));
        }
    }
}
