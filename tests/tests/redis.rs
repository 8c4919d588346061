// SPDX-License-Identifier: Apache-2.0
//! Debian's redis-server, redis-cli and redis-benchmark see no difference under ambassador.

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Ambassador, Link, Process, Redis, summary};
use anyhow::{Result, ensure};

fn start() -> Result<(Link, Redis)> {
    let link = Link::new()?;
    let redis = Redis::start(&link.server)?;
    Ok((link, redis))
}

const CLI: [&str; 3] = ["redis-cli", "-h", "10.77.0.2"];

#[test]
fn commands_are_answered_like_directly() -> Result<()> {
    let (link, _redis) = start()?;
    let script =
        b"FLUSHALL\nSET key value\nGET key\nDEL list\nRPUSH list a b c\nLRANGE list 0 -1\nNOSUCHCOMMAND\n\
        MULTI\nSET counter 1\nINCR counter\nEXEC\nGET missing\n";
    Ambassador::run("")?.check_like_direct(&link.client, &CLI, script)?.expect_success()?;
    Ok(())
}

#[test]
fn a_large_value_is_equal() -> Result<()> {
    let (link, _redis) = start()?;
    let value: Vec<u8> =
        (0..4_000_000_u32).map(|index| b'a' + u8::try_from(index % 23).unwrap_or_default()).collect();
    let set = [&CLI[..], &["-x", "SET", "large"]].concat();
    Ambassador::run("")?.check_like_direct(&link.client, &set, &value)?.expect_success()?;
    let get = [&CLI[..], &["GET", "large"]].concat();
    let got = Ambassador::run("")?.check_like_direct(&link.client, &get, b"")?.expect_success()?;
    ensure!(got.stdout.len() == value.len() + 1, "{} bytes", got.stdout.len());
    Ok(())
}

#[test]
fn a_mass_insertion_is_equal() -> Result<()> {
    let (link, _redis) = start()?;
    let commands: String =
        (0..20_000).map(|key| format!("SET key:{key} {key}\r\n")).collect::<Vec<_>>().concat();
    let pipe = [&CLI[..], &["--pipe"]].concat();
    let under =
        Ambassador::run("")?.check_like_direct(&link.client, &pipe, commands.as_bytes())?.expect_success()?;
    ensure!(under.text().contains("errors: 0, replies: 20000"), "{}", under.text());
    Ok(())
}

#[test]
fn the_benchmark_runs_through_without_an_error() -> Result<()> {
    let (link, _redis) = start()?;
    let program = [
        "redis-benchmark",
        "-h",
        "10.77.0.2",
        "-n",
        "20000",
        "-c",
        "50",
        "-t",
        "ping,set,get,lpush",
        "--csv",
    ];
    let tests = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split(',').next()).map(str::to_owned).collect()
    };
    let direct = Process::run(link.client.command(program[0]).args(&program[1..]), LONG)?.expect_success()?;
    let ambassador = Ambassador::run("-o json")?;
    let under = ambassador.output(&link.client, &program)?.expect_success()?;
    ensure!(tests(&direct.text()) == tests(&under.text()), "{}\n{}", direct.text(), under.text());
    let destination = summary::destination(&under.errors(), "10.77.0.2:6379")?;
    ensure!(destination.count("failures")? == 0, "{destination:?}");
    Ok(())
}
