// SPDX-License-Identifier: Apache-2.0
//! A connect that the program gives up while nothing answers is no failure of a destination, and is not passed over.

use ambassador_tests::comparison::python;
use ambassador_tests::{Ambassador, Destinations, Link, metrics, summary};
use anyhow::{Result, ensure};

const RUN: &str = "
say('closed', lambda: dial('blocking', PLACES['closed'], 0.2))
for way in ('blocking', 'epoll'): say('gone', lambda: dial(way, PLACES['black-hole'], 0.2))
import urllib.request
def page():
    return urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode()
until = time.monotonic() + 10
# What was given up is counted when the proxy has heard of it.
while page().count('outcome=\"abandoned\"} ABANDONED') < 1 and time.monotonic() < until: time.sleep(0.01)
print(page(), file=sys.stderr)";

/// What is told of one closed port and of two connects to a black hole; `abandoned` of them the program gives up.
fn run(policy: &str, abandoned: u32) -> Result<(String, String)> {
    let destinations = Destinations::new()?;
    let yaml = format!("version: v1\ntelemetry: {{metrics: {{listen: \"127.0.0.1:9464\"}}}}\n{policy}");
    let script = python(&RUN.replace("ABANDONED", &abandoned.to_string()));
    let ambassador = Ambassador::with_policy("-o json", &yaml)?;
    let finished = ambassador.output(&destinations.link.client, &script)?.expect_success()?;
    Ok((finished.text(), finished.errors()))
}

fn of(errors: &str, place: &str, field: &str) -> Result<u64> {
    summary::destination(errors, place)?.count(field)
}

#[test]
fn what_nothing_answered_is_counted_apart() -> Result<()> {
    let closed = Link::v4(Destinations::CLOSED).to_string();
    let (told, errors) = run("", 2)?;
    ensure!(told.contains("closed ECONNREFUSED") && told.matches("gone own-timeout").count() == 2, "{told}");
    let place = Destinations::BLACK_HOLE;
    ensure!(
        of(&errors, place, "connects_unanswered")? == 2 && of(&errors, place, "failures")? == 0,
        "{errors}"
    );
    ensure!(
        of(&errors, &closed, "connects_unanswered")? == 0 && of(&errors, &closed, "failures")? == 1,
        "{errors}"
    );
    ensure!(errors.matches(r#""error":"connect_unanswered""#).count() == 2, "{errors}");
    let counted =
        metrics::count(&errors, "ambassador_connect_failures_total", r#"reason="connect_unanswered""#)?;
    ensure!(counted == 2, "{errors}");
    Ok(())
}

/// A refusal that policy tries again is an answer, although the program does not hear of it in time.
#[test]
fn what_was_refused_until_the_program_gave_up_was_answered() -> Result<()> {
    let retry =
        "defaults: {retry: {attempts: 9, retryOn: [connect-failure], backoff: {base: 2s, max: 2s}}}\n";
    let (told, errors) = run(retry, 3)?;
    let closed = Link::v4(Destinations::CLOSED).to_string();
    ensure!(told.contains("closed own-timeout"), "{told}");
    ensure!(of(&errors, &closed, "connects_unanswered")? == 0, "{errors}");
    ensure!(of(&errors, Destinations::BLACK_HOLE, "connects_unanswered")? == 2, "{errors}");
    Ok(())
}
