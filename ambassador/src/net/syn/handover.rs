// SPDX-License-Identifier: Apache-2.0
//! [`Promise`] and [`Claim`]: the two ends of a dial that is made for a held connection.
//!
//! Whoever dials holds the promise; the table, and later the accepted flow, holds the claim. Dropping the claim is
//! what ends a dial, or its answers, that nobody waits for any more: there is no other way to abort one, so a dial
//! cannot outlive its connection. Neither end knows on which worker the other one is.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;
use tokio::sync::oneshot;

use crate::{
    net::dial::{DialError, use_here},
    policy::bulkhead::Permit,
};

/// Makes both ends for a connection to `dst`.
pub(super) fn promise(dst: SocketAddr) -> (Promise, Claim) {
    let (result, awaited) = oneshot::channel();
    let (wanted, unwanted) = oneshot::channel();
    (
        Promise { result: Some(result), places: Vec::new(), unwanted },
        Claim { dst, result: awaited, _wanted: wanted },
    )
}

/// Of the one who dials: the result is owed to whoever holds the claim.
#[derive(Debug)]
pub struct Promise {
    result: Option<oneshot::Sender<Result<Dialled, DialError>>>,
    /// Those of the connection that is dialled, from its dial on.
    places: Vec<Permit>,
    unwanted: oneshot::Receiver<Infallible>,
}

/// Of the one who waits: the result of the dial, once there is one. Dropping it aborts the dial.
#[derive(Debug)]
pub struct Claim {
    dst: SocketAddr,
    result: oneshot::Receiver<Result<Dialled, DialError>>,
    _wanted: oneshot::Sender<Infallible>,
}

impl Promise {
    /// The connection that is dialled has these places among those that its route allows.
    pub fn take_places(&mut self, places: Vec<Permit>) {
        self.places = places;
    }

    /// Gives the result. `false` if nobody waits for it, and it has been dropped.
    pub(super) fn keep(&mut self, result: Result<TcpStream, DialError>) -> bool {
        let sender = self.result.take();
        let places = std::mem::take(&mut self.places);
        let result = result.map(|stream| Dialled { stream: Some(stream), places });
        sender.is_some_and(|sender| sender.send(result).is_ok())
    }

    /// Completes when the claim is dropped.
    pub(super) async fn unwanted(&mut self) {
        // It is never sent to: it ends with the other end.
        let _ = (&mut self.unwanted).await;
    }
}

impl Claim {
    /// Waits for the dial, and makes its socket, which comes with its places, one of the calling thread's event loop. `None` if the dial was given
    /// up without a result, as when its worker ends: whoever needs the socket may dial.
    pub async fn finish(self) -> Option<Result<(tokio::net::TcpStream, Vec<Permit>), DialError>> {
        let Self { dst, result, _wanted } = self;
        match result.await.ok()? {
            Ok(mut dialled) => {
                let places = std::mem::take(&mut dialled.places);
                let stream = dialled.stream.take()?;
                Some(use_here(stream, dst).map(|stream| (stream, places)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// A socket on its way from one end to the other. If nobody takes it, its program has given the connection up before
/// it was accepted, by a reset or while it still connected: its upstream sees a reset, as it would have without a proxy.
#[derive(Debug)]
struct Dialled {
    stream: Option<TcpStream>,
    places: Vec<Permit>,
}

impl Drop for Dialled {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // It fails only on a socket that is gone already.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}
