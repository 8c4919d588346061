// SPDX-License-Identifier: Apache-2.0
//! Held connections one of which meets a panic: it is let in, and the others are served. And one whose end nobody told.

use std::{
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::fd::{BorrowedFd, OwnedFd},
    sync::Mutex,
};

use tokio::{sync::Notify, task::yield_now};

use super::*;
use crate::{
    kernel::{self, Caller, OrigDst, Ticket},
    net::{
        dial::{Dialer, LocalSockets},
        orig_dst::OrigDstSource,
        syn::{
            Packet,
            dialling::Near,
            fixtures::{key, syn, syn_bytes},
        },
    },
    policy::route::RouteTable,
    telemetry::Telemetry,
};

/// Has sockets for every destination but these.
struct Unsound;

/// For this one, making a socket panics.
const PANICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1);
/// For this one, it does when the task is asked for the second time.
const PANICS_LATER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 2);

/// This one waits for a socket for ever.
const WAITS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3);

impl Sockets for Unsound {
    fn stream_socket(&self, dst: SocketAddr) -> BoxFuture<'_, io::Result<OwnedFd>> {
        assert_ne!(dst, PANICS, "as it should");
        match dst {
            WAITS => Box::pin(pending()),
            PANICS_LATER => Box::pin(async {
                yield_now().await;
                panic!("as it should")
            }),
            _ => LocalSockets.stream_socket(dst),
        }
    }
}

/// What was done, in order.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Allow(Ticket),
    Sent(Box<Packet>),
    Settled(Ticket),
    Swept,
}

/// The kernel side and the wire, which take notes.
#[derive(Default)]
struct Notes {
    said: Mutex<Vec<Said>>,
    news: Notify,
}

impl Notes {
    fn say(&self, said: Said) {
        self.said.lock().expect("no panic").push(said);
        self.news.notify_one();
    }

    /// What was said, when it is this much.
    async fn said(&self, count: usize) -> Vec<Said> {
        let enough = async {
            while self.said.lock().expect("no panic").len() < count {
                self.news.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), enough).await.expect("it is said");
        self.said.lock().expect("no panic").clone()
    }
}

impl Verdicts for Notes {
    fn allow(&self, flow: &FlowKey, ticket: Ticket) -> io::Result<bool> {
        assert_eq!(*flow, key());
        self.say(Said::Allow(ticket));
        Ok(true)
    }

    fn is_open(&self, _: &FlowKey, _: Ticket) -> bool {
        true
    }

    fn settled(&self, ticket: Ticket) {
        self.say(Said::Settled(ticket));
        assert_ne!(ticket, ticket_of(UNSETTLED), "as it should");
    }

    fn sweep(&self, _: &mut Vec<u64>) {
        self.say(Said::Swept);
    }

    fn good(&self, _: u64, _: SocketAddr, _: Near<'_>) {}

    fn still_good(&self, _: u64, _: SocketAddr, _: Near<'_>, _: Instant) {}

    fn not_good(&self, _: u64, _: SocketAddr) {}
}

impl Answers for Notes {
    fn send(&self, packet: &Packet) -> io::Result<()> {
        self.say(Said::Sent(Box::new(packet.clone())));
        Ok(())
    }
}

impl OrigDstSource for Notes {
    fn origin(&self, _: BorrowedFd<'_>) -> io::Result<Option<Origin>> {
        Ok(None)
    }
}

fn held() -> (Arc<Held>, Arc<Notes>) {
    let notes = Arc::<Notes>::default();
    let holds = Holds { table: Arc::new(Table::new(64)), verdicts: Arc::clone(&notes) as _ };
    let context = Context::new(
        RouteTable::default(),
        Arc::clone(&notes) as _,
        Dialer::unmarked(),
        Some(holds.clone()),
        Telemetry::silent(),
    );
    let ground = Ground { sockets: Arc::new(Unsound), answers: Arc::clone(&notes) as _ };
    let grounds = [(key().netns_cookie(), ground)].into();
    (Arc::new(Held::new(Arc::new(context), holds, grounds)), notes)
}

/// The event of a connection to `dst`, whose cookie and sequence number are `number`.
fn event(dst: SocketAddr, number: u32) -> SynEvent {
    let caller =
        Caller { pid: 1, uid: 0, cgroup_id: 1, comm: "test".into(), netns_cookie: key().netns_cookie() };
    let origin = kernel::Origin {
        dst: OrigDst(dst),
        caller,
        ticket: ticket_of(number),
        bound: false,
        announced: true,
    };
    SynEvent::Held { key: (&key()).into(), origin, syn: Box::from(syn_bytes(number)) }
}

fn ticket_of(number: u32) -> Ticket {
    Ticket { socket_cookie: number.into(), isn: number }
}

fn let_in(number: u32) -> [Said; 2] {
    [Said::Allow(ticket_of(number)), Said::Sent(Box::new(syn(number).replay()))]
}

#[tokio::test]
async fn a_panic_lets_its_connection_in_and_the_next_one_is_served() {
    let (held, notes) = held();
    held.take(event(PANICS, 1));
    assert_eq!(notes.said(2).await, let_in(1), "not left to wait");
    let destination = TcpListener::bind("127.0.0.1:0").expect("bind");
    held.take(event(destination.local_addr().expect("address"), 2));
    assert_eq!(notes.said(4).await[2..], let_in(2));
    destination.accept().expect("it was dialled");
}

#[tokio::test]
async fn a_panic_in_a_dial_that_lasts_lets_its_connection_in() {
    let (held, notes) = held();
    held.take(event(PANICS_LATER, 1));
    assert_eq!(notes.said(2).await, let_in(1));
}

#[tokio::test]
async fn a_panic_at_the_end_of_a_connection_ends_no_reader() {
    let (held, notes) = held();
    let closed =
        |number| SynEvent::Closed { key: (&key()).into(), ticket: ticket_of(number), admitted: false };
    held.take(closed(UNSETTLED));
    held.take(closed(5));
    assert_eq!(notes.said(2).await, [UNSETTLED, 5].map(|number| Said::Settled(ticket_of(number))));
}

/// Its ring was full when it closed, say.
#[tokio::test(start_paused = true)]
async fn a_connection_of_whose_end_nobody_told_is_given_up() {
    let (held, notes) = held();
    let sweeper = Arc::clone(&held);
    let sweeper = tokio::spawn(async move { sweeper.keep_swept().await });
    let dialling = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = dialling();
    held.take(event(WAITS, 1));
    assert_eq!((held.table.len(), dialling()), (1, before + 1));
    sleep(HOLD_LIMIT.saturating_sub(SWEEP)).await;
    assert_eq!((held.table.len(), dialling()), (1, before + 1), "it may still be wanted");
    sleep(3 * SWEEP).await;
    assert_eq!((held.table.len(), dialling()), (0, before), "the dial has ended, too");
    assert_eq!(*notes.said.lock().expect("no panic"), [Said::Swept], "nothing is answered in its name");
    sweeper.abort();
}

/// The socket at whose end the kernel side panics.
const UNSETTLED: u32 = 4;
