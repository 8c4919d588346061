// SPDX-License-Identifier: Apache-2.0
//! Programs that hold connections, send slowly, send too much or never end.

use ambassador_tests::{Ambassador, Answer, Attack, FaultUpstream, Link, Siege, TcpPeer};
use anyhow::{Result, ensure};

use crate::{CLIENT, attack, siege};

/// An origin that answers every request.
fn answering(siege: &Siege) -> Result<FaultUpstream> {
    FaultUpstream::start(&siege.link.server, Link::v4(Attack::PORT), |_| Answer::status(204).body("").into())
}

/// An origin that takes everything and answers nothing.
pub(crate) fn taking(siege: &Siege) -> Result<TcpPeer> {
    TcpPeer::start(&siege.link.server, Link::v4(Attack::PORT), |mut stream, _| {
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    })
}

/// With a policy that needs every head: what a request says decides which route is its own.
fn selecting() -> Result<Siege> {
    let policy = "version: v1\nroutes: [{name: big, match: {hosts: [big.example]}, retry: {attempts: 3}}]\n";
    Siege::lay(Ambassador::with_policy("-q", policy)?, CLIENT)
}

#[test]
fn slow_heads_are_waited_for_and_harm_nobody() -> Result<()> {
    let mut siege = siege()?;
    let origin = answering(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, "slowloris", 400)?;
        ensure!(said == "400 of 400 open", "{said}");
        Ok(())
    })?;
    ensure!(origin.count() == 0, "a head that never ended is no request");
    Ok(())
}

#[test]
fn half_bodies_harm_nobody() -> Result<()> {
    let mut siege = siege()?;
    let _origin = taking(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, "half_bodies", 200)?;
        ensure!(said == "200 of 200 open", "{said}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn half_bodies_that_are_kept_for_a_replay_harm_nobody() -> Result<()> {
    let mut siege = Siege::lay(Ambassador::run("-q --retry 3")?, CLIENT)?;
    let _origin = taking(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, "half_bodies", 200)?;
        ensure!(said == "200 of 200 open", "{said}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn idle_flows_harm_nobody() -> Result<()> {
    let mut siege = siege()?;
    let origin = answering(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, "idle", 2000)?;
        ensure!(said == "2000 of 2000 open", "{said}");
        Ok(())
    })?;
    ensure!(origin.count() == 1000);
    Ok(())
}

/// `count` requests of the attack `name` are each answered with `want`, and `arrived` of them at the origin.
fn check_answered(mut siege: Siege, name: &str, want: &str, arrived: usize) -> Result<()> {
    let origin = answering(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, name, 100)?;
        ensure!(said == format!("100 x HTTP/1.1 {want}"), "{said}");
        Ok(())
    })?;
    ensure!(origin.count() == arrived, "{} arrived", origin.count());
    Ok(())
}

#[test]
fn big_heads_pass_where_no_policy_needs_them() -> Result<()> {
    check_answered(siege()?, "big_headers", ANSWERED, 100)?;
    check_answered(siege()?, "many_headers", ANSWERED, 100)?;
    check_answered(siege()?, "long_targets", ANSWERED, 100)
}

#[test]
fn big_heads_are_refused_where_a_policy_needs_them() -> Result<()> {
    check_answered(selecting()?, "big_headers", TOO_LARGE, 0)?;
    check_answered(selecting()?, "many_headers", TOO_LARGE, 0)?;
    check_answered(selecting()?, "long_targets", "414 URI Too Long", 0)
}

#[test]
fn heads_that_never_end_pass_where_no_policy_needs_them() -> Result<()> {
    let mut siege = siege()?;
    let _origin = taking(&siege)?;
    siege.withstand(|siege| {
        // Nothing is answered: they wait until their own patience ends.
        let said = attack(siege, "endless_heads", 2)?;
        ensure!(said == "2 x TimeoutError", "{said}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn heads_that_never_end_are_refused_where_a_policy_needs_them() -> Result<()> {
    let mut siege = selecting()?;
    let _origin = taking(&siege)?;
    siege.withstand(|siege| {
        let said = attack(siege, "endless_heads", 10)?;
        ensure!(said == format!("10 x HTTP/1.1 {TOO_LARGE}"), "{said}");
        Ok(())
    })?;
    Ok(())
}

const ANSWERED: &str = "204 Scripted";
const TOO_LARGE: &str = "431 Request Header Fields Too Large";
