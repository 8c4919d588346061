// SPDX-License-Identifier: Apache-2.0
//! A program cannot tell that its connection is intercepted: `getpeername` shows what it dialled, and the bytes reach
//! exactly that address, in every way in which programs dial.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Ambassador, Link, Process, Witness};
use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const FIRST: u16 = 7001;
const SECOND: u16 = 7002;

/// Runs `program` directly and under ambassador; both must see the destinations that they dialled. `path` is what the
/// witness must see under ambassador: `proxied`, or `direct` where interception has to step aside.
fn check(program: &[&str], dialled: &[String], path: &str) -> Result<()> {
    let link = Link::new()?;
    let witness = |address| Witness::start(&link.server, address);
    let _first = (witness(Link::v4(FIRST))?, witness(Link::v6(FIRST))?);
    let _second = (witness(Link::v4(SECOND))?, witness(Link::v6(SECOND))?);
    let want = |path: &str| -> Vec<String> {
        dialled.iter().map(|address| format!("dialled={address} peer={address} path={path}")).collect()
    };

    let mut direct = link.client.command(program[0]);
    let direct = Process::run(direct.args(&program[1..]), LONG)?.expect_success()?;
    ensure!(direct.text().lines().eq(want("direct")), "direct: {}", direct.text());

    let ambassador = Ambassador::run("")?;
    let under = ambassador.output(&link.client, program)?.expect_success()?;
    ensure!(under.text().lines().eq(want(path)), "under ambassador: {}{}", under.text(), under.errors());
    Ok(())
}

fn check_kind(kind: &str, arguments: &[String], dialled: &[String]) -> Result<()> {
    let words: Vec<&str> =
        [CLIENT, "connect", kind].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    check(&words, dialled, if kind == "device" { "direct" } else { "proxied" })
}

fn first_v4() -> String {
    Link::v4(FIRST).to_string()
}

fn both_v4() -> Vec<String> {
    vec![first_v4(), Link::v4(SECOND).to_string()]
}

#[test]
fn blocking_connect_is_transparent() -> Result<()> {
    check_kind("blocking", &[first_v4()], &[first_v4()])
}

#[test]
fn blocking_connect_over_ipv6_is_transparent() -> Result<()> {
    let address = Link::v6(FIRST).to_string();
    check_kind("blocking", std::slice::from_ref(&address), std::slice::from_ref(&address))
}

#[test]
fn nonblocking_connect_is_transparent() -> Result<()> {
    check_kind("nonblocking", &[first_v4()], &[first_v4()])
}

#[test]
fn nonblocking_connect_over_ipv6_is_transparent() -> Result<()> {
    let address = Link::v6(FIRST).to_string();
    check_kind("nonblocking", std::slice::from_ref(&address), std::slice::from_ref(&address))
}

#[test]
fn a_socket_unconnected_by_af_unspec_reaches_its_second_destination() -> Result<()> {
    check_kind("reconnect", &both_v4(), &both_v4())
}

#[test]
fn a_connect_that_passes_leaves_no_destination_of_the_socket_behind() -> Result<()> {
    check_kind("reconnect-past-loopback", &both_v4(), &both_v4())
}

#[test]
fn ipv4_mapped_connect_is_transparent() -> Result<()> {
    check_kind("mapped", &[first_v4()], &[first_v4()])
}

#[test]
fn connect_from_a_bound_source_is_transparent() -> Result<()> {
    check_kind("bound", &[first_v4(), format!("{}:0", Link::CLIENT_V4)], &[first_v4()])
}

#[test]
fn connect_from_a_bound_source_port_is_transparent() -> Result<()> {
    check_kind("bound", &[first_v4(), format!("{}:47001", Link::CLIENT_V4)], &[first_v4()])
}

#[test]
fn socket_bound_to_a_device_passes_untouched() -> Result<()> {
    check_kind("device", &[first_v4()], &[first_v4()])
}

#[test]
fn msg_fastopen_is_transparent() -> Result<()> {
    check_kind("fast-open", &[first_v4()], &[first_v4()])
}

#[test]
fn tcp_fastopen_connect_is_transparent() -> Result<()> {
    check_kind("fast-open-connect", &[first_v4()], &[first_v4()])
}

#[test]
fn mptcp_connect_is_transparent() -> Result<()> {
    check_kind("mptcp", &[first_v4()], &[first_v4()])
}

#[test]
fn io_uring_connect_is_transparent() -> Result<()> {
    check_kind("io-uring", &[first_v4()], &[first_v4()])
}

#[test]
fn static_binary_is_transparent() -> Result<()> {
    let (_directory, program) = static_client()?;
    let program = program.to_str().context("a temporary path is UTF-8")?;
    check(&[program, &first_v4()], &[first_v4()], "proxied")
}

#[test]
fn python_is_transparent() -> Result<()> {
    let address = Link::v4(FIRST);
    let program = format!("{PATH}{PYTHON}");
    check(&["/usr/bin/python3", "-c", &program, &address.ip().to_string(), "7001"], &[first_v4()], "proxied")
}

#[test]
fn python_asyncio_is_transparent() -> Result<()> {
    let address = Link::v4(FIRST);
    let program = format!("{PATH}{PYTHON_ASYNCIO}");
    check(&["/usr/bin/python3", "-c", &program, &address.ip().to_string(), "7001"], &[first_v4()], "proxied")
}

/// Links the client statically with the toolchain that runs the tests.
fn static_client() -> Result<(TempDir, PathBuf)> {
    let directory = tempfile::Builder::new().prefix("ambassador-static-").tempdir()?;
    let program = directory.path().join("static_client");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/static_client.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut compile = Command::new(rustc);
    compile.args(["--edition=2024", "-Ctarget-feature=+crt-static", source, "-o"]).arg(&program);
    Process::run(&mut compile, Duration::from_mins(1))?.expect_success()?;
    Ok((directory, program))
}

/// As `ambassador_tests::path`, of IPv4.
const PATH: &str = r#"
def path(own):
    connections = [line.split()[1:3] for line in open("/proc/thread-self/net/tcp")]
    port = ":%04X" % own[1]
    return "proxied" if any(l.endswith(port) and r[2:8] == "004D7F" for l, r in connections) else "direct"
"#;

const PYTHON: &str = r#"
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"who\n")
seen, dialled = s.makefile().readline().split()
print("dialled=%s peer=%s:%d path=%s" % ((dialled,) + s.getpeername() + (path(s.getsockname()),)))
"#;

const PYTHON_ASYNCIO: &str = r#"
import asyncio, sys
async def main():
    reader, writer = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    writer.write(b"who\n")
    seen, dialled = (await reader.readline()).decode().split()
    peer = "%s:%d" % writer.get_extra_info("peername")
    print("dialled=%s peer=%s path=%s" % (dialled, peer, path(writer.get_extra_info("sockname"))))
asyncio.run(main())
"#;
