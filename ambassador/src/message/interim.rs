// SPDX-License-Identifier: Apache-2.0
//! The way back to the program while its reply is still awaited, whatever version of HTTP carries it.

use std::{io, sync::Arc};

use h2::Reason;

use crate::{http1::peer::Peer, http2::stream::ProgramStream};

/// Where interim replies (1xx) of a request go.
#[derive(Clone)]
pub struct InterimSink(To);

#[derive(Clone)]
enum To {
    Nobody,
    Http1(Arc<Peer>),
    Http2(Arc<ProgramStream>),
}

impl InterimSink {
    /// Interim replies are dropped.
    pub fn none() -> Self {
        Self(To::Nobody)
    }

    pub(crate) fn http1(peer: Arc<Peer>) -> Self {
        Self(To::Http1(peer))
    }

    pub(crate) fn http2(stream: Arc<ProgramStream>) -> Self {
        Self(To::Http2(stream))
    }

    /// Relays the bytes of an HTTP/1 interim reply; returns when the kernel has them.
    pub async fn send(&self, head: &[u8]) -> io::Result<()> {
        match &self.0 {
            To::Http1(peer) => peer.write(head).await,
            To::Nobody | To::Http2(_) => Ok(()),
        }
    }

    /// Relays an HTTP/2 interim reply.
    pub(crate) fn send_http2(&self, head: http::Response<()>) -> io::Result<()> {
        match &self.0 {
            To::Http2(stream) => stream.interim(head),
            To::Nobody | To::Http1(_) => Ok(()),
        }
    }

    /// The program has reset its connection, which its upstream should see as well.
    pub fn is_reset(&self) -> bool {
        matches!(&self.0, To::Http1(peer) if peer.is_reset())
    }

    /// The rest of the request is waited for: the program has not sent it.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(&self.0, To::Http1(peer) if peer.is_awaited())
    }

    /// The program has sent FIN, which its upstream should see as well.
    pub fn is_half_closed(&self) -> bool {
        matches!(&self.0, To::Http1(peer) if peer.is_half_closed())
    }

    /// The upstream has seen the program's FIN: it comes behind a request, unless other bytes do.
    pub(crate) fn has_passed_end(&self) -> bool {
        self.is_half_closed() && !self.has_more()
    }

    /// Nothing is left to be passed on of what the program has sent, its FIN included.
    pub(crate) fn note_passed_end(&self) {
        if let To::Http1(peer) = &self.0 {
            peer.set_end_passed();
        }
    }

    /// The program goes on behind a request, and its upstream is to see that.
    pub(crate) fn has_more(&self) -> bool {
        self.has_strayed() || self.is_pipelined()
    }

    /// The program does not wait for the reply to a request before it goes on.
    pub(crate) fn is_pipelined(&self) -> bool {
        matches!(&self.0, To::Http1(peer) if peer.is_pipelined())
    }

    /// The program goes on, behind a request, with what is none; its upstream may wait for that.
    pub(crate) fn has_strayed(&self) -> bool {
        matches!(&self.0, To::Http1(peer) if peer.has_strayed())
    }

    /// The origin's connection carries no further request, whatever its reply says: neither does the program's.
    pub(crate) fn spend(&self) {
        if let To::Http1(peer) = &self.0 {
            peer.set_spent();
        }
    }

    /// The origin has replied and then reset its connection in the middle of the request, which the program is to see.
    pub(crate) fn cut_off(&self) {
        if let To::Http1(peer) = &self.0 {
            peer.set_cut_off();
        }
    }

    /// How the connection of an attempt ended whose reply nobody sees says nothing of the program's.
    pub(crate) fn forget_end(&self) {
        if let To::Http1(peer) = &self.0 {
            peer.forget_end();
        }
    }

    /// With which code an HTTP/2 exchange is reset that is given up now.
    pub(crate) fn reset_reason(&self) -> Reason {
        match &self.0 {
            To::Http2(stream) => stream.reason(),
            To::Nobody | To::Http1(_) => Reason::CANCEL,
        }
    }
}
