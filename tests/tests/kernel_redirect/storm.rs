// SPDX-License-Identifier: Apache-2.0
//! Fifty thousand connections from two namespaces with the same source ports: each is delivered with the right
//! origin, and nothing is left behind.

use std::{
    cell::Cell,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::AsFd as _,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use ambassador::kernel::{Counter, KernelMaps, Origin};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    runtime::Builder,
    task::LocalSet,
};

use crate::{
    client::Client,
    world::{PATIENCE, World},
};

const CONNECTIONS: u32 = 50_000;
const CLIENTS: u32 = 64;
/// Two namespaces share the work.
const PER_CLIENT: u32 = CONNECTIONS / CLIENTS;
const LIMIT: Duration = Duration::from_mins(2);

#[test]
fn fifty_thousand_connections_are_delivered_right() {
    storm("wait");
}

#[test]
fn fire_and_forget_clients_of_a_slow_acceptor_are_delivered_right() {
    storm("forget");
}

/// What the acceptors have seen.
#[derive(Default)]
struct Tally {
    right: Cell<u32>,
    wrong: Cell<u32>,
    missing: Cell<u32>,
    accepted: Cell<u32>,
}

fn storm(mode: &'static str) {
    let world = World::new();
    let mut clients: Vec<_> = world.sites.iter().map(|site| Client::start(site, &world.cgroup)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(&format!("Storm {index} {mode}"));
    }
    let tally = Rc::new(Tally::default());
    let runtime = Builder::new_current_thread().enable_all().build().expect("runtime");
    let local = LocalSet::new();
    for (site, client) in world.sites.iter().zip(&clients) {
        let who = Expected { pid: client.pid(), netns_cookie: site.namespace.cookie() };
        for listener in &site.listeners {
            let listener = listener.try_clone().expect("duplicate");
            let maps = world.maps.clone();
            local.spawn_local(accept(listener, maps, who, Rc::clone(&tally), mode == "forget"));
        }
    }
    let answers = thread::spawn(move || {
        let answers: Vec<_> = clients.iter_mut().map(Client::answer).collect();
        (clients, answers)
    });
    let start = Instant::now();
    local.block_on(&runtime, async {
        while tally.right.get() + tally.wrong.get() + tally.missing.get() < CONNECTIONS
            && start.elapsed() < LIMIT
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let seen = (tally.right.get(), tally.wrong.get(), tally.missing.get());
    assert_eq!(seen, (CONNECTIONS, 0, 0), "(right, wrong, missing) of {} accepted", tally.accepted.get());
    let (clients, answers) = answers.join().expect("clients");
    assert_eq!(answers, vec![format!("failed 0 misnamed 0"); 2]);
    drop(clients);
    eprintln!("{mode}: {CONNECTIONS} connections in {:?}", start.elapsed());
    let start = Instant::now();
    while world.maps.pending_tuples().expect("scan") != 0 && start.elapsed() < PATIENCE {
        thread::yield_now();
    }
    assert_eq!(world.maps.pending_tuples().expect("scan"), 0, "left in the tuple table");
    let counters = world.maps.counters().expect("counters");
    assert_eq!(counters.of(Counter::TupleFailed) + counters.of(Counter::DeliveryMissing), 0);
}

/// Who a listener's connections come from.
#[derive(Clone, Copy)]
struct Expected {
    pid: u32,
    netns_cookie: u64,
}

async fn accept(
    listener: TcpListener,
    maps: std::sync::Arc<KernelMaps>,
    who: Expected,
    tally: Rc<Tally>,
    slow: bool,
) {
    listener.set_nonblocking(true).expect("non-blocking");
    let listener = tokio::net::TcpListener::from_std(listener).expect("register");
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        tally.accepted.set(tally.accepted.get() + 1);
        if slow && tally.accepted.get().is_multiple_of(50) {
            // The slowness is what is tested: the clients are gone before they are accepted.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let origin = maps.orig_dst(stream.as_fd()).expect("read the origin");
        tokio::task::spawn_local(check(stream, origin, who, Rc::clone(&tally)));
    }
}

/// Compares the origin with what the client says that it dialled.
async fn check(mut stream: TcpStream, origin: Option<Origin>, who: Expected, tally: Rc<Tally>) {
    let add = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let mut header = [0; HEADER];
    let claimed = stream.read_exact(&mut header).await.map(|_| decode(&header));
    match (origin, claimed) {
        (None, _) => add(&tally.missing),
        (Some(origin), Ok(claimed))
            if origin.dst.0 == claimed
                && origin.caller.pid == who.pid
                && origin.caller.netns_cookie == who.netns_cookie =>
        {
            add(&tally.right);
        }
        _ => add(&tally.wrong),
    }
    let _ = stream.write_all(b"1").await;
    let _ = stream.read(&mut [0]).await;
}

/// The client's side: its half of the connections, by its half of the dialling tasks.
pub(crate) fn client(arguments: &str) -> String {
    let (index, mode) = arguments.split_once(' ').expect("two words");
    let (index, waits): (u8, bool) = (index.parse().expect("number"), mode == "wait");
    let runtime = Builder::new_current_thread().enable_all().build().expect("runtime");
    let tasks: Vec<_> = (0..CLIENTS / 2).map(|task| runtime.spawn(dial_all(index, task, waits))).collect();
    let (mut failed, mut misnamed) = (0, 0);
    for task in tasks {
        let (task_failed, task_misnamed) = runtime.block_on(task).expect("task");
        failed += task_failed;
        misnamed += task_misnamed;
    }
    format!("failed {failed} misnamed {misnamed}")
}

async fn dial_all(index: u8, task: u32, waits: bool) -> (u32, u32) {
    let (mut failed, mut misnamed) = (0, 0);
    // Half of the namespaces' share; the odd connection of an uneven share is dialled by the first tasks.
    for i in 0..PER_CLIENT + u32::from(task < (CONNECTIONS - PER_CLIENT * CLIENTS) / 2) {
        let n = task * 4096 + i;
        let port = u16::try_from(1000 + task).expect("port");
        let [_, high, middle, low] = n.to_be_bytes();
        let dst: SocketAddr = if n.is_multiple_of(2) {
            (Ipv4Addr::new(10, 16 * (index + 1) + high, middle, low), port).into()
        } else {
            let tail = [u16::from(high), u16::from_be_bytes([middle, low])];
            (Ipv6Addr::new(0xfd00, u16::from(index) + 1, 0, 0, 0, 0, tail[0], tail[1]), port).into()
        };
        // The same source ports in both namespaces.
        let source_port = u16::try_from(10_000 + task * 600 + i % 600).expect("port");
        match dial(dst, waits.then_some(source_port)).await {
            Ok(peer) => misnamed += u32::from(peer != dst),
            Err(error) => {
                eprintln!("{dst}: {error}");
                failed += 1;
            }
        }
    }
    (failed, misnamed)
}

/// With a source port: waits for the answer and closes by RST, so that the port is free again. Without: writes and
/// closes at once.
async fn dial(dst: SocketAddr, source_port: Option<u16>) -> io::Result<SocketAddr> {
    let socket = if dst.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(port) = source_port {
        socket.set_reuseaddr(true)?;
        socket.set_zero_linger()?;
        let any: IpAddr = if dst.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        bind(&socket, SocketAddr::new(any, port)).await?;
    }
    let mut stream = socket.connect(dst).await?;
    let peer = stream.peer_addr()?;
    stream.write_all(&encode(dst)).await?;
    if source_port.is_some() {
        stream.read_exact(&mut [0]).await?;
    }
    Ok(peer)
}

/// The previous user of the port may not be gone yet.
async fn bind(socket: &TcpSocket, address: SocketAddr) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match socket.bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && start.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            bound => return bound,
        }
    }
}

const HEADER: usize = 18;

fn encode(dst: SocketAddr) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let ip = match dst.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    header[..16].copy_from_slice(&ip.octets());
    header[16..].copy_from_slice(&dst.port().to_be_bytes());
    header
}

fn decode(header: &[u8; HEADER]) -> SocketAddr {
    let (ip, port) = header.split_at(16);
    let ip = Ipv6Addr::from(<[u8; 16]>::try_from(ip).expect("16 bytes"));
    SocketAddr::new(IpAddr::V6(ip).to_canonical(), u16::from_be_bytes([port[0], port[1]]))
}
