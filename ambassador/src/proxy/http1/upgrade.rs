// SPDX-License-Identifier: Apache-2.0
//! A connection after its protocol was changed: bytes both ways, until both sides have ended.
//!
//! It begins only after the origin agreed (101, or 2xx to CONNECT). Each side's end is passed on as it was: FIN as
//! FIN, reset as reset.

use bytes::Bytes;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

use super::wire;
use crate::proxy::message::Upgrade;

/// Relays between the program and the upstream; `sent` is what the program has sent ahead. Returns the bytes that
/// the upstream sent.
pub(super) async fn splice(mut client: TcpStream, sent: Bytes, upgrade: Upgrade) -> u64 {
    let Upgrade { mut upstream, received } = upgrade;
    let relayed = async {
        upstream.write_all(&sent).await?;
        client.write_all(&received).await?;
        copy_bidirectional(&mut client, &mut upstream).await
    };
    match relayed.await {
        Ok((_, from_upstream)) => from_upstream + received.len() as u64,
        Err(_) => {
            wire::reset_on_close(&client);
            wire::reset_on_close(&upstream);
            0
        }
    }
}
