// SPDX-License-Identifier: Apache-2.0
//! Floods of HTTP/2 frames from a program and from an origin, with default settings: another client is served all the
//! while, memory is bounded, and what was taken is given back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambassador_tests::two_sided::{PEERS, PythonOrigin, Script};
use ambassador_tests::{Ambassador, Nginx, Siege, wait};
use anyhow::{Context, Result, ensure};

/// How long the end of an attack may take to be noticed by its origin.
const POURED: Duration = Duration::from_secs(10);
const CLIENT: &str = env!("CARGO_BIN_EXE_client");
const FLOODS: &str = include_str!("../clients/http2_floods.py");

/// Runs `script` as an attack that ambassador must withstand.
#[allow(clippy::print_stdout, reason = "the figures are shown by `--nocapture`, and when a test fails")]
fn withstand(siege: &mut Siege, script: &str) -> Result<()> {
    let script = Script::new(&prelude(), script)?;
    let mut said = String::new();
    let ordeal = siege.withstand(|siege| {
        let finished = siege.attack(&script.program())?.finish(Duration::from_secs(30))?.expect_success()?;
        said = finished.text();
        Ok(())
    });
    let ordeal = ordeal.with_context(|| said.clone())?;
    println!("{} {ordeal:?}", said.trim_end());
    ensure!(said.contains("True"), "no attack: {said}");
    Ok(())
}

fn prelude() -> String {
    format!("{PEERS}\n{FLOODS}")
}

/// One siege at a time: two attackers and their origins would take all processors, and prove something else.
fn siege() -> Result<(MutexGuard<'static, ()>, Siege)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((alone, Siege::lay(Ambassador::run("-q")?, CLIENT)?))
}

/// Floods of a program whose origin is nginx.
fn floods(names: &[&str]) -> Result<()> {
    let (_alone, mut siege) = siege()?;
    let _nginx = Nginx::start(&siege.link.server)?;
    for name in names {
        withstand(&mut siege, &format!("ADDRESS = ('10.77.0.2', {})\nflood('{name}')", Nginx::HTTP2))
            .with_context(|| name.to_string())?;
    }
    Ok(())
}

/// Floods of an origin.
fn origin_floods(names: &[&str]) -> Result<()> {
    let (_alone, mut siege) = siege()?;
    let origin = PythonOrigin::start(&siege.link.server, &prelude(), "flooding_origin()")?;
    for name in names {
        withstand(&mut siege, &format!("flooded('{name}')")).with_context(|| name.to_string())?;
        // It tells when it has noticed the end of its last connection, which the program does not wait for.
        let told = || origin.text().contains(&format!("{name} poured True"));
        wait::until_true("the attack", POURED, told).with_context(|| origin.text())?;
    }
    Ok(())
}

#[test]
fn streams_that_are_reset_at_once_harm_nobody() -> Result<()> {
    floods(&["rapid-reset", "made-you-reset", "made-you-reset-by-data", "streams"])
}

#[test]
fn heads_that_never_end_or_unpack_to_much_harm_nobody() -> Result<()> {
    floods(&["continuation", "empty-continuation", "hpack"])
}

#[test]
fn frames_of_the_connection_harm_nobody() -> Result<()> {
    floods(&["settings", "ping", "priority", "window"])
}

#[test]
fn frames_that_carry_nothing_harm_nobody() -> Result<()> {
    floods(&["empty-data", "tiny-data", "padded-data"])
}

#[test]
fn thousands_of_streams_without_credit_harm_nobody() -> Result<()> {
    let (_alone, mut siege) = siege()?;
    let origin = "
def talk(c, number):
    def reply(stream):
        c.headers(stream, [(':status', '200')])
        c.body(stream, b'x' * 65535)
    try:
        while True:
            frame = c.next()
            if isinstance(frame, HeadersFrame) and c.connection_window > 70000:
                reply(frame.stream_id)
    except Ended:
        pass
serve(talk)";
    let _origin = PythonOrigin::start(&siege.link.server, &prelude(), origin)?;
    // Twice: what the first one left must not add up.
    withstand(&mut siege, "stall(20, 256)")?;
    withstand(&mut siege, "stall(20, 256)")
}

#[test]
fn an_origin_that_floods_its_connection_harms_nobody() -> Result<()> {
    origin_floods(&["settings", "ping", "window", "goaway", "unknown", "reset"])
}

#[test]
fn an_origin_that_floods_its_reply_harms_nobody() -> Result<()> {
    origin_floods(&["continuation", "hpack", "interim", "empty-data", "tiny-data", "trailers", "push"])
}
