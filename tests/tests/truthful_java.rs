// SPDX-License-Identifier: Apache-2.0
//! A real Java virtual machine, whose sockets are of IPv6 and dial IPv4 as v4-mapped addresses: the same results, the
//! same exceptions with the same words, at the same time.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use ambassador_tests::{Ambassador, Comparison, Destinations, Link, TcpPeer};
use anyhow::{Result, ensure};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/Dial.java");

/// A virtual machine compiles while it runs, here beside the proxy on few cores.
const JITTER: Duration = Duration::from_millis(100);

#[test]
fn java_sees_no_difference() -> Result<()> {
    let destinations = Destinations::new()?;
    let _http = TcpPeer::start(&destinations.link.server, Link::v4(7080), |mut stream, _| {
        let mut lines = BufReader::new(stream).lines();
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")?;
        Ok(())
    })?;
    let program = ["/usr/bin/java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", PROGRAM].map(str::to_owned);
    let comparison = Comparison::of(&Ambassador::run("-q")?, &destinations.link.client, &program)?;
    let refused = "java.net.ConnectException:Connection_refused;";
    comparison.check_direct(&[
        ("socket-open", "10.77.0.2_7000<10.77.0.1"),
        ("socket-closed", refused),
        ("channel-closed6", refused),
        ("socket-unreachable", "java.net.NoRouteToHostException:No_route_to_host;"),
        ("socket-black-hole", "java.net.SocketTimeoutException:Connect_timed_out;"),
        ("selector-black-hole", "own-timeout"),
        ("url-connection-7080", "200hello"),
        ("http-client-7080", "200helloHTTP_1_1"),
        ("own-server", "hello<10.77.0.1<10.77.0.1"),
    ])?;
    ensure!(comparison.direct.len() == 35, "{}", comparison.direct.len());
    comparison.check(JITTER)
}
