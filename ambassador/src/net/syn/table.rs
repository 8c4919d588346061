// SPDX-License-Identifier: Apache-2.0
//! [`Table`]: the connections whose SYN is held, by flow.
//!
//! The copy of a SYN is read by the worker whose listener it hit; the connection is accepted by whichever worker's
//! listener the kernel chooses (`SO_REUSEPORT` hashes over all of them), which is the same one unless the group has
//! changed in between. So one table serves all workers, parted into shards by a hash of the flow. A shard's lock is
//! held for a single operation on a hash map, never across an await nor while a socket is closed, and is taken three
//! times in the life of a connection (held, accepted or abandoned): requests never meet it.
//!
//! A held connection enters the table before its SYN is let through, so the flow that is accepted for it finds it
//! there. Only where the kernel lets a SYN through unasked and tells of it at the same time may the flow come first;
//! it can wait a moment then.
//!
//! An entry is given up by the socket that it was made for only: a port that is used again belongs to a newer one.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    handover::{Claim, Promise, promise},
    key::FlowKey,
};
use crate::kernel::Ticket;

/// The held connections of all workers.
#[derive(Debug)]
pub struct Table {
    shards: Box<[Mutex<Shard>]>,
    per_shard: usize,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    held: HashMap<FlowKey, Held>,
    waiting: HashMap<FlowKey, Waiting>,
}

/// A connection whose destination is being dialled, or was and has not been accepted yet.
#[derive(Debug)]
struct Held {
    dst: SocketAddr,
    socket_cookie: u64,
    isn: Option<u32>,
    since: Instant,
    claim: Claim,
}

impl Held {
    fn ticket(&self) -> Option<Ticket> {
        Some(Ticket { socket_cookie: self.socket_cookie, isn: self.isn? })
    }
}

/// An accepted flow that came before its entry.
#[derive(Debug)]
struct Waiting {
    dst: SocketAddr,
    hand: oneshot::Sender<Claim>,
}

/// A connection that was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HoldError {
    /// There is no room: let the SYN through undialled rather than leave it without an answer.
    #[error("too many connections are held")]
    Full,
    /// This very SYN is held already: nothing is to be done.
    #[error("the SYN is held already")]
    Already,
}

impl Table {
    /// A table for about so many connections.
    pub fn new(capacity: usize) -> Self {
        let per_shard = capacity.div_ceil(SHARDS).max(1);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            per_shard,
            hasher: RandomState::new(),
        }
    }

    /// Enters the connection of the socket `socket_cookie`, which goes to `dst`, and whose SYN has the sequence number
    /// `isn` (`None` if it is not known, because the SYN was let through unasked). The result of its dial is owed by
    /// the promise. An older entry of the same flow is given up: of another socket, or of another SYN.
    pub fn hold(
        &self,
        key: FlowKey,
        dst: SocketAddr,
        socket_cookie: u64,
        isn: Option<u32>,
    ) -> Result<Promise, HoldError> {
        let mut shard = self.shard(&key);
        let older = shard.held.get(&key);
        if older.is_some_and(|held| held.socket_cookie == socket_cookie && held.isn == isn) {
            return Err(HoldError::Already);
        }
        if older.is_none() && shard.held.len() >= self.per_shard {
            return Err(HoldError::Full);
        }
        let (promise, mut claim) = promise(dst);
        if shard.waiting.get(&key).is_some_and(|waiting| waiting.dst == dst)
            && let Some(waiting) = shard.waiting.remove(&key)
        {
            match waiting.hand.send(claim) {
                Ok(()) => return Ok(promise),
                Err(back) => claim = back,
            }
        }
        let older = shard.held.insert(key, Held { dst, socket_cookie, isn, since: Instant::now(), claim });
        drop(shard);
        drop(older);
        Ok(promise)
    }

    /// Takes the claim of the flow that was accepted on its way to `dst`; if there is none, waits for it at most
    /// `patience`, for which zero is right unless the SYN was let through unasked and is being dialled all the same.
    ///
    /// `None` leaves the dial to the flow. An entry that goes elsewhere is another socket's, and stays.
    pub async fn take_for_accept(&self, key: &FlowKey, dst: SocketAddr, patience: Duration) -> Option<Claim> {
        let (hand, handed) = oneshot::channel();
        {
            let mut shard = self.shard(key);
            if shard.held.get(key).is_some_and(|held| held.dst == dst) {
                return shard.held.remove(key).map(|held| held.claim);
            }
            if patience.is_zero() || shard.waiting.len() >= self.per_shard {
                return None;
            }
            shard.waiting.insert(*key, Waiting { dst, hand });
        }
        let mut wait = Wait { table: self, key, handed };
        if let Ok(claim) = timeout(patience, &mut wait.handed).await {
            return claim.ok();
        }
        wait.leave();
        // It may have come between the end of the wait and leaving.
        wait.handed.try_recv().ok()
    }

    /// Gives up the connection of a socket that was closed before it was accepted, which aborts its dial or its
    /// answers. `false` if it is not held: it was accepted, or the flow belongs to another socket.
    pub fn closed(&self, key: &FlowKey, socket_cookie: u64) -> bool {
        let mut shard = self.shard(key);
        if shard.held.get(key).is_none_or(|held| held.socket_cookie != socket_cookie) {
            return false;
        }
        let held = shard.held.remove(key);
        drop(shard);
        held.is_some()
    }

    /// What has been held for longer than `limit`, so that its end may have been missed. A scan, as `sweep` is.
    pub fn held_for(&self, limit: Duration) -> Vec<(FlowKey, Ticket)> {
        let now = Instant::now();
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let old = shard.held.iter().filter(|(_, held)| now.saturating_duration_since(held.since) > limit);
            found.extend(old.filter_map(|(key, held)| Some((*key, held.ticket()?))));
        }
        found
    }

    /// Gives up what has been held for longer than `limit`, of whose end nobody told: returns how many. A scan, to be
    /// made every few seconds.
    pub fn sweep(&self, limit: Duration) -> usize {
        let now = Instant::now();
        let overdue = |held: &mut Held| now.saturating_duration_since(held.since) > limit;
        let swept = |shard: &Mutex<Shard>| -> Vec<_> {
            lock(shard).held.extract_if(|_, held| overdue(held)).collect()
        };
        self.shards.iter().map(|shard| swept(shard).len()).sum()
    }

    /// How many connections are held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).held.len()).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &FlowKey) -> MutexGuard<'_, Shard> {
        let hash = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        lock(&self.shards[hash])
    }
}

/// The wait of an accepted flow: leaves nothing in the table, however it ends.
struct Wait<'a> {
    table: &'a Table,
    key: &'a FlowKey,
    handed: oneshot::Receiver<Claim>,
}

impl Wait<'_> {
    fn leave(&mut self) {
        self.handed.close();
        let mut shard = self.table.shard(self.key);
        // The next flow of the same key may wait already.
        if shard.waiting.get(self.key).is_some_and(|waiting| waiting.hand.is_closed()) {
            shard.waiting.remove(self.key);
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Every operation leaves a shard sound, even if it panics.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a connection can be held: longer than Linux repeats a SYN by default (`tcp_syn_retries` 6: 127 s).
pub const HOLD_LIMIT: Duration = Duration::from_mins(5);

/// Some times the number of workers, so that two of them seldom meet.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests;
