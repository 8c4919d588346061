// SPDX-License-Identifier: Apache-2.0
//! Programs that hold connections, send slowly, send too much or never end.

use ambassador_tests::{Ambassador, Answer, FaultUpstream, Link, Siege, TcpPeer};
use anyhow::{Result, ensure};

use crate::{CLIENT, PORT, attack, lasts, siege};

/// An origin that answers every request.
fn answering(siege: &Siege) -> Result<FaultUpstream> {
    FaultUpstream::start(&siege.link.server, Link::v4(PORT), |_| Answer::status(204).into())
}

/// An origin that takes everything and answers nothing.
fn taking(siege: &Siege) -> Result<TcpPeer> {
    TcpPeer::start(&siege.link.server, Link::v4(PORT), |mut stream, _| {
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(())
    })
}

/// With a policy that needs every head.
fn enforcing() -> Result<Siege> {
    Siege::lay(Ambassador::run("-q --retry 3")?, CLIENT)
}

#[test]
fn slow_heads_are_waited_for_and_harm_nobody() -> Result<()> {
    let mut siege = siege()?;
    let origin = answering(&siege)?;
    siege.withstand(|siege| {
        let said = lasts(attack(siege, "slowloris", 400)?)?;
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
        let said = lasts(attack(siege, "half_bodies", 200)?)?;
        ensure!(said == "200 of 200 open", "{said}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn half_bodies_that_are_kept_for_a_replay_harm_nobody() -> Result<()> {
    let mut siege = enforcing()?;
    let _origin = taking(&siege)?;
    siege.withstand(|siege| {
        let said = lasts(attack(siege, "half_bodies", 200)?)?;
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
        let said = lasts(attack(siege, "idle", 2000)?)?;
        ensure!(said == "2000 of 2000 open", "{said}");
        Ok(())
    })?;
    ensure!(origin.count() == 1000);
    Ok(())
}

#[test]
fn a_policy_refuses_big_heads_with_431() -> Result<()> {
    let mut siege = enforcing()?;
    let origin = answering(&siege)?;
    siege.withstand(|siege| {
        let said = lasts(attack(siege, "big_headers", 100)?)?;
        ensure!(said == "100 x HTTP/1.1 431 Request Header Fields Too Large", "{said}");
        Ok(())
    })?;
    ensure!(origin.count() == 0);
    Ok(())
}

#[test]
fn a_policy_refuses_heads_that_never_end() -> Result<()> {
    let mut siege = enforcing()?;
    let _origin = taking(&siege)?;
    siege.withstand(|siege| {
        let said = lasts(attack(siege, "endless_heads", 10)?)?;
        ensure!(said == "10 x HTTP/1.1 431 Request Header Fields Too Large", "{said}");
        Ok(())
    })?;
    Ok(())
}
