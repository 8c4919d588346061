// SPDX-License-Identifier: Apache-2.0
//! What is known of one intercepted connection, whatever protocol it turns out to speak.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpStream;

use crate::net::{
    dial::{DialError, Dialer, Sockets},
    orig_dst::App,
};

/// Identifies a flow within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// One intercepted connection.
pub struct Flow {
    /// Its identity.
    pub id: FlowId,
    /// The address that the program dialled.
    pub original_dst: SocketAddr,
    /// The program's own end of the connection.
    pub client: SocketAddr,
    /// Who dialled.
    pub app: App,
    /// `SO_NETNS_COOKIE` of the program's network namespace.
    pub netns_cookie: u64,
    /// Makes sockets inside that namespace.
    pub sockets: Arc<dyn Sockets>,
    /// Connects them.
    pub dialer: Dialer,
}

impl Flow {
    /// Dials `dst` from the flow's namespace for at most `limit`.
    pub async fn dial(&self, dst: SocketAddr, limit: Duration) -> Result<TcpStream, DialError> {
        self.dialer.dial(&*self.sockets, dst, limit).await
    }
}
