// SPDX-License-Identifier: Apache-2.0
//! [`SocketFactory`]: sockets inside a network namespace, made on request.
//!
//! Entering a namespace needs `CAP_SYS_ADMIN`, which is dropped after start. So a thread enters each foreign
//! namespace once and stays there to make sockets; in the process's own namespace a worker makes them itself.

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::mpsc::sync_channel,
    thread::{self, JoinHandle},
};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::{Namespace, NamespaceError, namespace::Entry};
use crate::{
    host::privileges::drop_all_but,
    net::dial::{Sockets, new_stream_socket},
};

/// Makes stream sockets inside one network namespace. Shared between workers; dropping it ends its thread.
pub struct SocketFactory {
    /// `None` in the process's own namespace.
    remote: Option<Remote>,
}

impl SocketFactory {
    pub(super) fn new(namespace: &Namespace) -> Result<Self, NamespaceError> {
        let remote = namespace.entry()?.map(|entry| Remote::start(entry, namespace)).transpose()?;
        Ok(Self { remote })
    }

    /// A new, non-blocking, close-on-exec TCP socket of the address family of `dst`.
    pub async fn socket(&self, dst: SocketAddr) -> io::Result<OwnedFd> {
        match &self.remote {
            None => new_stream_socket(dst),
            Some(remote) => remote.socket(dst).await,
        }
    }
}

impl Sockets for SocketFactory {
    fn stream_socket(&self, dst: SocketAddr) -> BoxFuture<'_, io::Result<OwnedFd>> {
        match &self.remote {
            None => Box::pin(std::future::ready(new_stream_socket(dst))),
            Some(remote) => Box::pin(remote.socket(dst)),
        }
    }
}

/// A thread inside a foreign namespace. It ends when nobody can ask it any more.
struct Remote {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    dst: SocketAddr,
    reply: oneshot::Sender<io::Result<OwnedFd>>,
}

impl Remote {
    fn start(entry: Entry, namespace: &Namespace) -> Result<Self, NamespaceError> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (entered, result) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("netns-sockets".to_owned())
            .spawn(move || {
                let outcome = entry.enter().and_then(|()| drop_all_but(&[]).map_err(io::Error::other));
                let failed = outcome.is_err();
                if entered.send(outcome).is_ok() && !failed {
                    serve(queue);
                }
            })
            .map_err(|source| namespace.thread_error(source))?;
        let remote = Self { requests: Some(requests), thread: Some(thread) };
        match result.recv() {
            Ok(Ok(())) => Ok(remote),
            Ok(Err(source)) => Err(namespace.enter_error(source)),
            Err(gone) => Err(namespace.thread_error(io::Error::other(gone))),
        }
    }

    async fn socket(&self, dst: SocketAddr) -> io::Result<OwnedFd> {
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        requests
            .send(Request { dst, reply })
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        answer.await.map_err(io::Error::other)?
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            // It only makes sockets, which never waits.
            let _ = thread.join();
        }
    }
}

fn serve(mut queue: mpsc::Receiver<Request>) {
    while let Some(Request { dst, reply }) = queue.blocking_recv() {
        // Who asked may have given up: the socket is closed then.
        let _ = reply.send(new_stream_socket(dst));
    }
}

/// Requests that may wait; a socket takes microseconds to make.
const QUEUE: usize = 256;
