// SPDX-License-Identifier: Apache-2.0
//! [`Holding`]: dials for one held connection and answers its SYN.
//!
//! It ends as soon as the program gives the connection up, whatever it is doing. It answers only what the last
//! attempt said; see [`Answer`].

use std::{
    io,
    net::{SocketAddr, TcpStream},
    pin::pin,
    time::Duration,
};

use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep};

use super::{
    answer::Answer, captured::Syn, handover::Promise, key::FlowKey, packet::Packet, raw::RawSockets,
};
use crate::{
    kernel::Ticket,
    net::dial::{DialError, DialFailure},
};

/// What the kernel side is told.
pub trait Verdicts: Send + Sync {
    /// Lets the next SYN of this flow and ticket, which is sent at once, through to the listener. `false` if the program
    /// has given it up, as far as is known yet: [`settled`](Self::settled) follows.
    fn allow(&self, key: &FlowKey, ticket: Ticket) -> io::Result<bool>;

    /// Whether the program still has this connection, waiting or connected; where that cannot be told, it has.
    fn is_open(&self, key: &FlowKey, ticket: Ticket) -> bool;

    /// Takes back what was allowed: the connection was accepted, or the program's socket is closed.
    fn settled(&self, ticket: Ticket);

    /// Takes back what has been allowed for longer than since the call before, of whose end nobody told. `seen` belongs
    /// to the caller, and is empty at first.
    fn sweep(&self, seen: &mut Vec<u64>);

    /// Notes that `dst` accepts, seen from the network namespace: for a while its SYNs need not be held. `near` tells
    /// the own end of the connection that shows it.
    fn good(&self, netns_cookie: u64, dst: SocketAddr, near: Near<'_>);

    /// Notes it of a destination to which a connection has been open and idle since then, unless it failed after that.
    fn still_good(&self, netns_cookie: u64, dst: SocketAddr, near: Near<'_>, since: Instant);

    /// Withdraws it.
    fn not_good(&self, netns_cookie: u64, dst: SocketAddr);
}

/// Tells the own end of a connection, if it can be told. Most notes are no news and do without this system call.
pub type Near<'a> = &'a dyn Fn() -> Option<SocketAddr>;

/// Sends packets inside the network namespace of the held connection.
pub trait Answers: Send + Sync {
    /// Sends one, without waiting.
    fn send(&self, packet: &Packet) -> io::Result<()>;
}

impl Answers for RawSockets {
    fn send(&self, packet: &Packet) -> io::Result<()> {
        self.send(packet)
    }
}

/// A held connection in the hands of who dials for it.
#[derive(Debug)]
pub struct Holding {
    /// Its flow.
    pub key: FlowKey,
    /// Where the program wants to go.
    pub dst: SocketAddr,
    /// By which the kernel side knows it.
    pub ticket: Ticket,
    /// What waits for an answer; `None` if it was let through unasked, because the destination is known to accept.
    pub syn: Option<Syn>,
    /// From [`super::table::Table::hold`]: its claim is what keeps the connection held.
    pub promise: Promise,
}

/// How a held connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What came of it.
    pub outcome: Outcome,
    /// From the start of the dial to its result: how long the SYN waited for it.
    pub held: Duration,
    /// Packets that were sent.
    pub sent: u32,
    /// Packets that could not be sent.
    pub unsent: u32,
}

/// What came of a held connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was dialled and let through, if it had not been before. If its SYN could not be sent again, the program's
    /// own repetition will do.
    Allowed,
    /// It was dialled, but the kernel side did not take the verdict: the program waits.
    NotAllowed,
    /// It was refused or declared unreachable.
    Answered(Answer),
    /// It was left to the program's own timers, because the dial timed out or could not be made here.
    Silent(DialFailure),
    /// It had been let through unasked, and then failed: `connect()` succeeded in vain.
    Lied(DialFailure),
    /// The program gave it up before it could know a result.
    Abandoned,
}

impl Holding {
    /// Makes the attempts until one succeeds, they end, or the program gives up, and answers by the last one.
    ///
    /// The attempts are the policy's: how often, how far apart, for how long each. They should not end before the
    /// program gives up as long as they meet only silence or failures of this machine, since the destination may yet
    /// answer. An attempt that waits for ever is fine.
    pub async fn dial(
        mut self,
        attempts: impl Stream<Item = Result<TcpStream, DialError>>,
        verdicts: &dyn Verdicts,
        answers: &dyn Answers,
    ) -> Report {
        let start = Instant::now();
        let (netns, dst) = (self.key.netns_cookie(), self.dst);
        let result = tokio::select! {
            biased;
            () = self.promise.unwanted() => None,
            result = last(attempts, || verdicts.not_good(netns, dst)) => Some(result),
        };
        let mut wire = Wire::new(answers);
        let held = start.elapsed();
        let outcome = match result {
            None => Outcome::Abandoned,
            Some(None) => Outcome::Silent(DialFailure::Local),
            Some(Some(Ok(stream))) => {
                // It has accepted, whoever still wants it; and only while the socket is here it can be asked.
                verdicts.good(netns, dst, &|| stream.local_addr().ok());
                self.succeed(stream, verdicts, &mut wire).await
            }
            Some(Some(Err(error))) => self.fail(error, &mut wire).await,
        };
        wire.report(outcome, held)
    }

    /// Answers without a dial: the circuit breaker is open, or the destination is denied.
    pub async fn answer(mut self, answer: Answer, answers: &dyn Answers) -> Report {
        let mut wire = Wire::new(answers);
        let outcome = self.say(answer, &mut wire).await;
        wire.report(outcome, Duration::ZERO)
    }

    async fn succeed(&mut self, stream: TcpStream, verdicts: &dyn Verdicts, wire: &mut Wire<'_>) -> Outcome {
        // First, so that the flow that is accepted next finds its connection.
        if !self.promise.keep(Ok(stream)) {
            return Outcome::Abandoned;
        }
        let Some(syn) = self.syn.take() else { return Outcome::Allowed };
        for pause in pauses() {
            match let_through(&self.key, self.ticket, &syn, verdicts, wire) {
                Outcome::NotAllowed if !self.is_given_up_within(pause).await => {}
                Outcome::NotAllowed => return Outcome::Abandoned,
                outcome => return outcome,
            }
        }
        Outcome::NotAllowed
    }

    async fn fail(&mut self, error: DialError, wire: &mut Wire<'_>) -> Outcome {
        let (answer, failure) = (Answer::from(&error), error.failure);
        if !self.promise.keep(Err(error)) {
            return Outcome::Abandoned;
        }
        match answer {
            _ if self.syn.is_none() => Outcome::Lied(failure),
            Answer::Silence => Outcome::Silent(failure),
            answer => self.say(answer, wire).await,
        }
    }

    /// Repeats the answer until the connection is gone: the kernel only notes an ICMP error that finds the socket
    /// locked by its owner, and any packet may be lost to a full queue.
    async fn say(&mut self, answer: Answer, wire: &mut Wire<'_>) -> Outcome {
        let packet = match (&self.syn, answer) {
            (Some(syn), Answer::Refuse) => syn.refuse(),
            (Some(syn), Answer::Unreachable(why)) => syn.unreachable(why),
            (None, _) | (_, Answer::Silence) => return Outcome::Silent(DialFailure::Local),
        };
        for pause in pauses() {
            wire.send(&packet);
            if self.is_given_up_within(pause).await {
                break;
            }
        }
        Outcome::Answered(answer)
    }

    async fn is_given_up_within(&mut self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.promise.unwanted() => true,
            () = sleep(pause) => false,
        }
    }
}

/// Lets a SYN through that is not dialled for, as when there is no room to hold it: `connect()` may then succeed in
/// vain, but it is never refused in error.
pub fn let_through_undialled(
    key: &FlowKey,
    ticket: Ticket,
    syn: &Syn,
    verdicts: &dyn Verdicts,
    answers: &dyn Answers,
) -> Report {
    let mut wire = Wire::new(answers);
    let outcome = let_through(key, ticket, syn, verdicts, &mut wire);
    wire.report(outcome, Duration::ZERO)
}

fn let_through(
    key: &FlowKey,
    ticket: Ticket,
    syn: &Syn,
    verdicts: &dyn Verdicts,
    wire: &mut Wire<'_>,
) -> Outcome {
    match verdicts.allow(key, ticket) {
        Ok(true) => {
            wire.send(&syn.replay());
            Outcome::Allowed
        }
        Ok(false) => Outcome::Abandoned,
        Err(error) => {
            tracing::warn!(%error, "the kernel side did not take a verdict");
            Outcome::NotAllowed
        }
    }
}

/// The result of the last attempt, the first success being the last. `None` if there is no attempt.
async fn last(
    attempts: impl Stream<Item = Result<TcpStream, DialError>>,
    withdraw: impl Fn(),
) -> Option<Result<TcpStream, DialError>> {
    let mut attempts = pin!(attempts);
    let mut last = None;
    while let Some(result) = attempts.next().await {
        match &result {
            Ok(_) => return Some(result),
            // A failure of this machine says nothing of the destination.
            Err(error) if error.failure == DialFailure::Local => {}
            Err(_) => withdraw(),
        }
        last = Some(result);
    }
    last
}

/// Sends and counts.
struct Wire<'a> {
    answers: &'a dyn Answers,
    sent: u32,
    unsent: u32,
}

impl<'a> Wire<'a> {
    fn new(answers: &'a dyn Answers) -> Self {
        Self { answers, sent: 0, unsent: 0 }
    }

    fn send(&mut self, packet: &Packet) {
        match self.answers.send(packet) {
            Ok(()) => self.sent += 1,
            Err(error) => {
                self.unsent += 1;
                tracing::debug!(%error, to = %packet.destination(), "a packet could not be sent");
            }
        }
    }

    fn report(self, outcome: Outcome, held: Duration) -> Report {
        Report { outcome, held, sent: self.sent, unsent: self.unsent }
    }
}

/// The pauses between what is tried again: about a second in all, until when the program repeats its SYN.
fn pauses() -> impl Iterator<Item = Duration> {
    (0..TRIES).map(|nth| FIRST_PAUSE * 2_u32.pow(nth))
}

const TRIES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
