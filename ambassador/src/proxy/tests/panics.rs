// SPDX-License-Identifier: Apache-2.0
//! A panic, which is a defect of ours, is a failure for the program too, and never an orderly end.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use futures_util::future::BoxFuture;

use super::*;
use crate::{
    kernel::Ticket,
    net::{
        dial::Sockets,
        orig_dst::{OrigDstSource, Origin},
    },
    policy::route::RouteTable,
    proxy::{connection, context::Context},
    telemetry::Telemetry,
};

/// Panics when a socket is asked for.
struct Unsound;

impl Sockets for Unsound {
    fn stream_socket(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<OwnedFd>> {
        panic!("as it should")
    }
}

/// Every connection goes to a port that nobody asks.
struct Anywhere;

impl OrigDstSource for Anywhere {
    fn origin(&self, _: BorrowedFd<'_>) -> io::Result<Option<Origin>> {
        let dst = ([127, 0, 0, 1], 1).into();
        let (app, netns_cookie) = (App::default(), 1);
        let ticket = Ticket { socket_cookie: 1, isn: 0 };
        Ok(Some(Origin { dst, app, netns_cookie, ticket, bound: false, announced: false }))
    }
}

#[tokio::test]
async fn a_panic_before_the_first_byte_resets_the_program() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let mut program = super::connect(address).await;
    let (accepted, peer) = listener.accept().await.expect("accept");
    let (table, dialer) = (RouteTable::default(), Dialer::unmarked());
    let context = Arc::new(Context::new(table, Arc::new(Anywhere), dialer, None, Telemetry::silent()));
    let served = tokio::spawn(connection::serve(accepted, peer, address, Arc::new(Unsound), context));
    assert!(within(served).await.expect_err("it fails").is_panic());
    expect_reset(&mut program).await;
}
