// SPDX-License-Identifier: Apache-2.0
//! `connectionPool.maxRetries` bounds further tries of every kind: of requests, of connects that wait, and of flows whose
//! connect had succeeded before.

use ambassador_tests::{Ambassador, Link};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Connects to a closed port, says what no protocol begins with, and waits for the end.
const PROGRAM: &str = r#"
import socket
try:
    s = socket.create_connection(("10.77.0.2", 7398), 10)
    s.sendall(b"\0\1")
    s.recv(1)
except OSError as error:
    print(type(error).__name__)
"#;

#[test]
fn no_place_for_retries_leaves_a_connect_its_first_try() -> Result<()> {
    let link = Link::new()?;
    for (connect, ends) in [("truthful", "ConnectionRefusedError"), ("eager", "ConnectionResetError")] {
        for (most, attempts, given_up) in [(0, 1, "overflow"), (1, 3, "limit_exceeded")] {
            let policy = format!(
                "version: v1\ndefaults:\n  connect: {connect}\n  retry: {{attempts: 2}}\n  connectionPool: {{maxRetries: {most}}}\n"
            );
            let run = Ambassador::with_policy("-o json", &policy)?;
            let run = run.output(&link.client, &["/usr/bin/python3", "-c", PROGRAM])?.expect_success()?;
            ensure!(run.text().trim() == ends, "{policy}{}", run.text());
            let errors = run.errors();
            let told = errors.lines().find(|told| told.contains("\"attempts\"")).context(errors.clone())?;
            let told: Value = serde_json::from_str(told)?;
            ensure!(told["attempts"] == attempts && told["retry_given_up"] == given_up, "{policy}{told}");
        }
    }
    Ok(())
}
