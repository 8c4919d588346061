// SPDX-License-Identifier: Apache-2.0
//! What is known of one intercepted connection, whatever protocol it turns out to speak.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpStream;

use super::ahead::Ahead;
use crate::net::{
    dial::{DialError, DialFailure, Dialer, Sockets, use_here},
    orig_dst::App,
    presence::Presence,
    source::Source,
    syn::dialling::Verdicts,
};
use crate::policy::facts::L4Facts;

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
    pub source: Source,
    /// Who dialled.
    pub app: App,
    /// `SO_NETNS_COOKIE` of the program's network namespace.
    pub netns_cookie: u64,
    /// Makes sockets inside that namespace.
    pub sockets: Arc<dyn Sockets>,
    /// Connects them.
    pub dialer: Dialer,
    /// Who wants to know which destinations accept; `None` if connects are never held.
    pub verdicts: Option<Arc<dyn Verdicts>>,
    /// The places of the connection that is dialled ahead for it.
    pub ahead: Ahead,
    /// The program's end.
    pub program: Arc<Presence>,
}

impl Flow {
    /// Dials `dst` from the flow's namespace for at most `limit`, and notes whether it accepts.
    pub async fn dial(&self, dst: SocketAddr, limit: Duration) -> Result<TcpStream, DialError> {
        let result = self.dialer.dial(&*self.sockets, &self.source, dst, limit).await;
        if let Some(verdicts) = &self.verdicts {
            match &result {
                Ok(stream) => verdicts.good(self.netns_cookie, dst, &|| stream.local_addr().ok()),
                Err(error) if error.failure == DialFailure::Local => {}
                Err(_) => verdicts.not_good(self.netns_cookie, dst),
            }
        }
        result.and_then(|stream| use_here(stream, dst))
    }

    /// Lets the next connects to `dst` ask first: its circuit breaker does not admit calls freely.
    pub fn doubt(&self, dst: SocketAddr) {
        if let Some(verdicts) = &self.verdicts {
            verdicts.not_good(self.netns_cookie, dst);
        }
    }

    /// What routes are matched by before the first byte.
    pub fn l4(&self) -> L4Facts<'_> {
        L4Facts { destination: self.original_dst, app: &self.app.comm }
    }
}
