// SPDX-License-Identifier: Apache-2.0
//! Names out of traffic: they can neither grow what is kept and shown without limit, nor drive who reads it.

use std::process::Command;

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Ambassador, Attack, Process, Siege, summary};
use anyhow::{Context, Result, ensure};

use crate::{CLIENT, attack, everywhere};

const METRICS: &str = "version: v1\ntelemetry: {metrics: {listen: '127.0.0.1:9464'}}\n";

fn metrics(siege: &Siege) -> Result<String> {
    let mut curl = siege.link.client.command("curl");
    Ok(Process::run(curl.args(["-sSf", "http://127.0.0.1:9464/metrics"]), LONG)?.expect_success()?.text())
}

#[test]
fn metrics_and_summary_are_bounded_whatever_is_asked_for() -> Result<()> {
    let mut siege = Siege::lay(Ambassador::with_policy("-o json", METRICS)?, CLIENT)?;
    let origin = everywhere(&siege)?;
    let mut page = String::new();
    siege.withstand(|siege| {
        let said = attack(siege, "names", 5000)?;
        ensure!(said == "5625 answered", "{said}");
        page = metrics(siege)?;
        Ok(())
    })?;
    ensure!(origin.count() == 5625);
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    // 256 destinations and `other`: a histogram each of requests, attempts and dials, and some counters.
    ensure!(page.contains("upstream=\"other\""), "{page}");
    ensure!(series < 20_000 && page.len() < 4 << 20, "{series} series in {} bytes", page.len());
    let rows = summary::destinations(&siege.lift()?.errors()).len();
    ensure!((100..=513).contains(&rows), "{rows} rows");
    Ok(())
}

/// What `controls` asked for, as JSON and as text.
const SHOWN_JSON: [&str; 2] = ["\\u001b[31m", "\\u009b31m\\u202e"];
const SHOWN_TEXT: [&str; 2] = ["\\x1b[31m", "\\u{9b}31m\\u{202e}"];

/// Nothing in `text` drives a terminal or begins a line of its own.
fn check_harmless(text: &str) -> Result<()> {
    let unsafe_at = text.char_indices().find(|(_, shown)| shown.is_control() && *shown != '\n');
    ensure!(unsafe_at.is_none(), "{unsafe_at:?} in {text:?}");
    ensure!(!text.contains(['\u{202e}', '\u{2028}']), "{text:?}");
    ensure!(!text.lines().any(|line| line.starts_with("forged") || line.starts_with("alpn")), "{text}");
    Ok(())
}

/// It is harmless, and what was asked for is there.
fn check_escaped(text: &str, shown: [&str; 2]) -> Result<()> {
    check_harmless(text)?;
    for shown in shown {
        ensure!(text.contains(shown), "{shown} is not in:\n{text}");
    }
    Ok(())
}

#[test]
fn control_bytes_are_escaped_wherever_they_are_shown() -> Result<()> {
    for (flags, shown) in [("", SHOWN_TEXT), ("-o json --log-format json", SHOWN_JSON)] {
        let siege = Siege::lay(Ambassador::run(flags)?.env("AMBASSADOR_LOG", "trace"), CLIENT)?;
        let _origin = everywhere(&siege)?;
        attack(&siege, "controls", 1)?;
        check_escaped(&siege.lift()?.errors(), shown).context(flags)?;
    }
    Ok(())
}

#[test]
fn control_bytes_are_escaped_in_a_log_file_and_on_the_metrics_page() -> Result<()> {
    for (format, shown) in [("text", SHOWN_TEXT), ("json", SHOWN_JSON)] {
        let file = tempfile::NamedTempFile::new()?;
        let policy = format!(
            "version: v1\ntelemetry:\n  metrics: {{listen: '127.0.0.1:9464'}}\n  \
             accessLog: {{path: {}, format: {format}}}\n",
            file.path().display()
        );
        let ambassador = Ambassador::with_policy("", &policy)?.env("AMBASSADOR_LOG", "trace");
        let siege = Siege::lay(ambassador, CLIENT)?;
        let _origin = everywhere(&siege)?;
        attack(&siege, "controls", 1)?;
        let page = metrics(&siege)?;
        let upstream = format!("upstream=\"10.77.0.2:{}\"", Attack::PORT);
        ensure!(page.contains(&upstream), "it was asked: {page}");
        check_harmless(&page)?;
        // Names are none of a label's business: it is the address.
        ensure!(!["[2J", "31m", "forged"].iter().any(|raw| page.contains(raw)), "{page}");
        let mut promtool = Command::new("promtool");
        Process::run_with_input(promtool.args(["check", "metrics"]), page.as_bytes(), LONG)?
            .expect_success()?;
        check_harmless(&siege.lift()?.errors())?;
        check_escaped(&std::fs::read_to_string(file.path())?, shown).context(format)?;
    }
    Ok(())
}
