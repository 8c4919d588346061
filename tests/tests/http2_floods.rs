// SPDX-License-Identifier: Apache-2.0
//! Floods of HTTP/2 frames from a program and from an origin, with default settings: another client is served all the
//! while, memory is bounded, and what was taken is given back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambassador_tests::memory_limit::MemoryLimit;
use ambassador_tests::two_sided::{FLOODS, PEERS, PythonOrigin, Script};
use ambassador_tests::{Ambassador, Nginx, Siege, wait};
use anyhow::{Context, Result, ensure};

/// How long the end of an attack may take to be noticed by its origin.
const POURED: Duration = Duration::from_secs(10);
const CLIENT: &str = env!("CARGO_BIN_EXE_client");
/// What a program is told that has asked for too much (`ENHANCE_YOUR_CALM`).
const CALM: &str = "goaway 11 x";
/// What one is told that breaks the protocol (`PROTOCOL_ERROR`).
const WRONG: &str = "goaway 1 x";
/// A stream that its program may open again (`REFUSED_STREAM`).
const REFUSED: &str = "reset 7 x";
/// A stream that has asked for too much.
const CALMED: &str = "reset 11 x";
/// What is taken as it comes: it costs nothing that is kept.
const TAKEN: &str = "";

/// Runs `script` as an attack that ambassador must withstand; what the program said of it.
#[allow(clippy::print_stdout, reason = "the figures are shown by `--nocapture`, and when a test fails")]
fn withstand(siege: &mut Siege, script: &str) -> Result<String> {
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
    Ok(said)
}

fn prelude() -> String {
    format!("{PEERS}\n{FLOODS}")
}

/// One siege at a time: two attackers and their origins would take all processors, and prove something else.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn siege() -> Result<(MutexGuard<'static, ()>, Siege)> {
    let alone = alone();
    Ok((alone, Siege::lay(Ambassador::run("-q")?, CLIENT)?))
}

/// An attack on an ambassador that may take 64 MiB.
fn in_little_memory(attack: impl FnOnce(&mut Siege) -> Result<()>) -> Result<()> {
    let (_alone, limit) = (alone(), MemoryLimit::new(64 << 20)?);
    let mut siege = Siege::lay(Ambassador::run("-q")?.first(&limit.commands()), CLIENT)?;
    attack(&mut siege)?;
    siege.lift().map(drop)
}

/// Floods of a program whose origin is nginx, each with what it is told.
fn floods(siege: &mut Siege, floods: &[(&str, &str)]) -> Result<()> {
    let _nginx = Nginx::start(&siege.link.server)?;
    for (name, told) in floods {
        let script = format!("ADDRESS = ('10.77.0.2', {})\nflood('{name}')", Nginx::HTTP2);
        let said = withstand(siege, &script).with_context(|| name.to_string())?;
        // nginx hears the PINGs, and ends a connection in order on which much is said beside requests.
        let is_taken = !said.contains(" x ") || said.contains("goaway 0 x");
        ensure!(said.contains(told) && (*told == TAKEN) == is_taken, "{said}");
    }
    Ok(())
}

/// Thousands of streams whose program gives no credit for what they are sent.
fn stalls(siege: &mut Siege) -> Result<()> {
    let _origin = PythonOrigin::start(&siege.link.server, &prelude(), "stalled_origin()")?;
    // Twice: what the first one left must not add up.
    withstand(siege, "stall(20, 256)")?;
    withstand(siege, "stall(20, 256)").map(drop)
}

/// Streams whose origin takes one at a time, with heads and trailers of which more is sent than there is room for; each
/// with what the program is told.
fn holds(siege: &mut Siege) -> Result<()> {
    let _origin = PythonOrigin::start(&siege.link.server, &prelude(), "silent_origin()")?;
    for (name, told) in [("long-heads", REFUSED), ("trailers", CALMED), ("long-trailers", CALMED)] {
        let said = withstand(siege, &format!("hold('{name}', 3, 1024)")).with_context(|| name.to_string())?;
        ensure!(said.contains(told), "{said}");
    }
    Ok(())
}

/// Programs that give all credit and read nothing of what their origin answers.
fn unread(siege: &mut Siege) -> Result<()> {
    for name in ["heads", "trailers", "bodies"] {
        let origin = format!("generous_origin('{name}')");
        let _origin = PythonOrigin::start(&siege.link.server, &prelude(), &origin)?;
        withstand(siege, "unread(3, 1024)").with_context(|| name.to_string())?;
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
    let (_alone, mut siege) = siege()?;
    floods(
        &mut siege,
        &[
            ("rapid-reset", CALM),
            ("made-you-reset", CALM),
            ("made-you-reset-by-data", WRONG),
            ("streams", CALM),
        ],
    )
}

#[test]
fn heads_that_never_end_or_unpack_to_much_harm_nobody() -> Result<()> {
    let (_alone, mut siege) = siege()?;
    let heads = [("continuation", CALM), ("empty-continuation", CALM), ("hpack", CALM), ("fields", TAKEN)];
    floods(&mut siege, &heads)
}

#[test]
fn frames_of_the_connection_harm_nobody() -> Result<()> {
    let (_alone, mut siege) = siege()?;
    floods(&mut siege, &[("settings", TAKEN), ("ping", TAKEN), ("priority", TAKEN), ("window", TAKEN)])
}

#[test]
fn frames_that_carry_nothing_harm_nobody() -> Result<()> {
    let (_alone, mut siege) = siege()?;
    floods(&mut siege, &[("empty-data", CALM), ("tiny-data", CALM), ("padded-data", CALM)])
}

#[test]
fn thousands_of_streams_without_credit_harm_nobody() -> Result<()> {
    let (_alone, mut siege) = siege()?;
    stalls(&mut siege)
}

#[test]
fn little_memory_is_enough_for_floods() -> Result<()> {
    in_little_memory(|siege| {
        floods(siege, &[("rapid-reset", CALM), ("continuation", CALM), ("hpack", CALM), ("fields", TAKEN)])?;
        stalls(siege)
    })
}

#[test]
fn little_memory_is_enough_for_heads_that_wait() -> Result<()> {
    in_little_memory(holds)
}

#[test]
fn little_memory_is_enough_for_replies_that_nobody_reads() -> Result<()> {
    in_little_memory(unread)
}

#[test]
fn an_origin_that_floods_its_connection_harms_nobody() -> Result<()> {
    origin_floods(&["settings", "ping", "window", "goaway", "unknown", "reset"])
}

#[test]
fn an_origin_that_floods_its_reply_harms_nobody() -> Result<()> {
    origin_floods(&["continuation", "hpack", "interim", "empty-data", "tiny-data", "trailers", "push"])
}
