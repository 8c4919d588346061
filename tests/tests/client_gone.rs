// SPDX-License-Identifier: Apache-2.0
//! Who gives up a request is told from who only ends its side and reads on: both send FIN, and nothing else.

use std::time::Duration;

use ambassador_tests::http::Arrival;
use ambassador_tests::{Ambassador, Answer, FaultUpstream, Link};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

const ANSWER: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_millis(600);

/// The first gives up in half the time of its answer, which comes a moment later; the second long before.
const CLIENTS: &str = "
curl -s -m 0.3 http://10.77.0.2:8080/soon
curl -s -m 0.3 http://10.77.0.2:8080/gave-up
python3 -c '
import socket
s = socket.create_connection((\"10.77.0.2\", 8080))
s.sendall(b\"GET /reads-on HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n\")
s.shutdown(socket.SHUT_WR)
reply = b\"\"
while piece := s.recv(4096): reply += piece
print(reply.splitlines()[0].decode())
'";

#[test]
fn an_answer_that_nobody_waits_for_is_no_success() -> Result<()> {
    for flags in ["-o json", "-o json --retry 2 --timeout 10s"] {
        let link = Link::new()?;
        let answer = |request: &Arrival| {
            let after = if request.path == "/soon" { SOON } else { ANSWER };
            Answer::status(200).after(after).then_close().into()
        };
        let _origin = FaultUpstream::start(&link.server, Link::v4(8080), answer)?;
        let finished = Ambassador::run(flags)?.output(&link.client, &["sh", "-c", CLIENTS])?;
        let finished = finished.expect_success()?;
        ensure!(finished.text() == "HTTP/1.1 200 OK\n", "{flags}: {}", finished.text());
        let errors = finished.errors();
        let lines: Vec<Value> = errors.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let gone = Value::from("client_gone");
        for (path, status, error) in [
            ("/soon", Value::from(200), &gone),
            ("/gave-up", Value::Null, &gone),
            ("/reads-on", Value::from(200), &Value::Null),
        ] {
            let told = lines.iter().find(|line| line["path"] == path).context("a line")?;
            ensure!(told["status"] == status && told["error"] == *error, "{flags}: {told}");
        }
    }
    Ok(())
}
