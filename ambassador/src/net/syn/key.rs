// SPDX-License-Identifier: Apache-2.0
//! [`FlowKey`]: what a held SYN and the connection that is accepted later have in common.

use std::net::SocketAddr;

/// The two ends of a redirected connection, in its network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    client: SocketAddr,
    listener: SocketAddr,
    netns_cookie: u64,
}

impl FlowKey {
    /// The connection from `client` to `listener` in the namespace of this `SO_NETNS_COOKIE`.
    ///
    /// Addresses are compared by address and port alone: a flow label or a scope, which an accepted socket tells and
    /// a packet does not, and IPv4 in the form of IPv6 make no other flow.
    pub fn new(client: SocketAddr, listener: SocketAddr, netns_cookie: u64) -> Self {
        Self { client: plain(client), listener: plain(listener), netns_cookie }
    }

    /// The program's own end.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// The proxy's end.
    pub fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// `SO_NETNS_COOKIE` of the network namespace.
    pub fn netns_cookie(&self) -> u64 {
        self.netns_cookie
    }
}

fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn one_flow_has_one_key() {
        let key =
            |client: &str| FlowKey::new(client.parse().expect("address"), ([127, 77, 0, 1], 9).into(), 7);
        assert_eq!(key("10.0.0.1:5"), key("[::ffff:10.0.0.1]:5"));
        assert_ne!(key("10.0.0.1:5"), key("10.0.0.1:6"));
        let scoped = SocketAddrV6::new("fe80::1".parse().expect("address"), 5, 3, 2);
        assert_eq!(FlowKey::new(scoped.into(), scoped.into(), 7).client(), key("[fe80::1]:5").client());
    }
}
