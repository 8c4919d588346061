// SPDX-License-Identifier: Apache-2.0
//! Addresses: what `getsockname()` and `getpeername()` say is what the server sees, and both are as without ambassador.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ambassador_tests::{Ambassador, Link, Namespace, TcpPeer, comparison};
use anyhow::{Context, Result, ensure};

const PORT: u16 = 7500;

/// A second address of the client, which its routes never choose.
const SECOND: [&str; 2] = ["10.77.0.5", "fd77::5"];

fn link() -> Result<Link> {
    let link = Link::new()?;
    for (address, bits) in SECOND.into_iter().zip([24, 64]) {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        link.client.ip(&format!("addr add {address}/{bits} dev {} {nodad}", Link::DEVICE))?;
    }
    Ok(link)
}

/// Tells each client from where it comes.
fn observer(namespace: &Namespace, address: SocketAddr) -> Result<TcpPeer> {
    TcpPeer::start(namespace, address, |mut stream, _| {
        let peer = stream.peer_addr()?;
        writeln!(stream, "{} {}", peer.ip(), peer.port())?;
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    })
}

const NAMES: &str = r#"
def plain(ip):
    return ip.replace("::ffff:", "")
def names(case, address, bind=None, protocol=0, nonblocking=False):
    with socket.socket(family_of(address), socket.SOCK_STREAM, protocol) as s:
        if bind:
            # The direct run has left the same port in TIME_WAIT.
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(bind)
        if nonblocking:
            s.setblocking(False)
            s.connect_ex(address)
            assert wait_poll(s, 5) and not s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            s.setblocking(True)
        else:
            s.connect(address)
        ip, port = s.makefile().readline().split()
        own = s.getsockname()
        port = "bound" if bind else "same-port" if int(port) == own[1] else "other-port"
        print(case, own[0], ip, "same" if plain(own[0]) == ip else "other", port, s.getpeername()[:2])
"#;

fn check(cases: &str) -> Result<String> {
    let link = link()?;
    let _v4 = observer(&link.server, Link::v4(PORT))?;
    let _v6 = observer(&link.server, Link::v6(PORT))?;
    let script = format!("{NAMES}\nV4, V6 = ('10.77.0.2', {PORT}), ('fd77::2', {PORT})\n{cases}");
    let program = comparison::python(&script);
    Ok(Ambassador::run("-q")?.check_like_direct(&link.client, &program, b"")?.text())
}

/// The source port is kept, too, on Linux 6.3 and later.
#[test]
fn getsockname_is_what_the_server_sees() -> Result<()> {
    let told = check(
        "
for n in range(3):
    names('v4', V4)
    names('v6', V6)
    names('mapped', ('::ffff:' + V4[0], V4[1]))
    names('nonblocking', V4, nonblocking=True)
    names('mptcp', V4, protocol=IPPROTO_MPTCP)
    names('mptcp6', V6, protocol=IPPROTO_MPTCP)
",
    )?;
    ensure!(
        told.lines().count() == 18 && told.lines().all(|line| line.contains(" same same-port ")),
        "{told}"
    );
    ensure!(told.contains("v4 10.77.0.1 10.77.0.1") && told.contains("mapped ::ffff:10.77.0.1"), "{told}");
    Ok(())
}

#[test]
fn the_server_sees_the_address_that_the_program_bound() -> Result<()> {
    let told = check(
        "
for n in range(2):
    names('v4', V4, bind=('10.77.0.5', 0))
    names('v4-port', V4, bind=('10.77.0.5', 47001 + n))
    names('port', V4, bind=('0.0.0.0', 47003 + n))
    names('v6', V6, bind=('fd77::5', 0))
    names('mapped', ('::ffff:' + V4[0], V4[1]), bind=('::ffff:10.77.0.5', 0))
",
    )?;
    ensure!(
        told.contains("v4 10.77.0.5 10.77.0.5 same") && told.contains("v6 fd77::5 fd77::5 same"),
        "{told}"
    );
    Ok(())
}

/// Connections that are kept for others never come from an address that nobody bound, nor the other way round.
#[test]
fn a_pooled_connection_never_comes_from_another_address() -> Result<()> {
    let link = link()?;
    let _server = TcpPeer::start(&link.server, Link::v4(PORT), |mut stream, _| {
        let seen = stream.peer_addr()?.ip().to_string();
        let mut lines = BufReader::new(stream).lines();
        while lines.next().transpose()?.is_some() {
            while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{seen}", seen.len())?;
        }
        Ok(())
    })?;
    let script = format!(
        "
import http.client
for bind in (None, ('10.77.0.5', 0), None, ('10.77.0.5', 0), ('10.77.0.1', 0), None):
    connection = http.client.HTTPConnection('10.77.0.2', {PORT}, timeout=5, source_address=bind)
    connection.request('GET', '/')
    print(bind, connection.getresponse().read())
    connection.close()
"
    );
    let pooled = "version: v1\ndefaults: {connectionPool: {maxRequests: 100}}\n";
    let ambassador = Ambassador::with_policy("-q", pooled)?;
    ambassador.check_like_direct(&link.client, &comparison::python(&script), b"")?;
    Ok(())
}

/// The upstream connection of the program's first one has its port, and stays: it must not be in the way.
#[test]
fn the_port_of_a_connection_that_is_kept_for_others_can_be_bound_again() -> Result<()> {
    let link = Link::new()?;
    let _server = TcpPeer::start(&link.server, Link::v4(PORT), |mut stream, _| {
        let port = stream.peer_addr()?.port().to_string();
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{port}", port.len())?;
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    })?;
    let script = format!(
        "
import http.client
connection = http.client.HTTPConnection('10.77.0.2', {PORT}, timeout=5)
connection.connect()
connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
own = connection.sock.getsockname()[1]
connection.request('GET', '/')
print(int(connection.getresponse().read()) == own)
connection.close()
with socket.socket() as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('10.77.0.1', own))
    s.listen()
    print(s.getsockname()[1] == own)
"
    );
    let pooled = "version: v1\ndefaults: {connectionPool: {maxRequests: 100}}\n";
    let ambassador = Ambassador::with_policy("-q", pooled)?;
    let told = ambassador.check_like_direct(&link.client, &comparison::python(&script), b"")?.text();
    ensure!(told == "True\nTrue\n", "{told}");
    Ok(())
}

const ACTIVE_FTP: &str = "
import ftplib
ftp = ftplib.FTP()
ftp.connect('10.77.0.2', 7521, timeout=5)
ftp.login()
ftp.set_pasv(False)
ftp.retrlines('LIST')
ftp.quit()
";

/// In active mode an FTP client tells its server, in the protocol, the address that `getsockname()` says.
#[test]
fn an_ftp_client_is_called_back() -> Result<()> {
    let wire = Arc::new(Link::new()?);
    let back = Arc::clone(&wire);
    let _server = TcpPeer::start(&wire.server, Link::v4(7521), move |mut control, _| {
        control.write_all(b"220 ready\r\n")?;
        let mut caller = None;
        for line in BufReader::new(control).lines() {
            let line = line?;
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let answer = match word {
                "PORT" => {
                    caller = Some(port_argument(rest)?);
                    "200 ok"
                }
                "LIST" => {
                    control.write_all(b"150 calling\r\n")?;
                    let address = caller.context("LIST without PORT")?;
                    back.server.enter(|| Ok(writeln!(TcpStream::connect(address)?, "a file")?))?;
                    "226 done"
                }
                "QUIT" => "221 bye",
                _ => "230 ok",
            };
            write!(control, "{answer}\r\n")?;
        }
        Ok(())
    })?;
    let ambassador = Ambassador::run("-q")?;
    let told = ambassador.check_like_direct(&wire.client, &comparison::python(ACTIVE_FTP), b"")?.text();
    ensure!(told == "a file\n", "{told}");
    Ok(())
}

/// `h1,h2,h3,h4,p1,p2` of RFC 959.
fn port_argument(text: &str) -> Result<SocketAddr> {
    let numbers: Vec<u8> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let &[a, b, c, d, high, low] = numbers.as_slice() else { anyhow::bail!("PORT {text}") };
    Ok(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
}
