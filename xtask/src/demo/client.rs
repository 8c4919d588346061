// SPDX-License-Identifier: Apache-2.0
//! The client of the demo: curl or python3, whichever is there, unmodified and unaware.

use anyhow::{Result, bail};

use super::upstream::{FLAKY, RESTARTING};

/// A shell script that prints `HOST STATUS SECONDS` per request; status 000 where there was no answer.
pub(super) struct Client {
    /// The program that it uses.
    pub(super) name: &'static str,
    /// For `sh -c`.
    pub(super) script: String,
}

/// The script, with curl if it is there.
pub(super) fn script() -> Result<Client> {
    let exists = |program: &str| {
        let path = std::env::var("PATH").unwrap_or_default();
        path.split(':').any(|directory| std::path::Path::new(directory).join(program).is_file())
    };
    let (name, get) = match (exists("curl"), exists("python3")) {
        (true, _) => ("curl", CURL),
        (false, true) => ("python3", PYTHON),
        (false, false) => bail!("the demo needs curl or python3 as its client: sudo -E cargo xtask setup"),
    };
    let script = format!(
        "{get}
n=0; while [ $n -lt {FLAKY_REQUESTS} ]; do n=$((n + 1)); get {FLAKY} /orders/$n; done
n=0; while [ $n -lt {RESTARTING_REQUESTS} ]; do n=$((n + 1)); get {RESTARTING} /stock/$n; sleep 0.04; done
"
    );
    Ok(Client { name, script })
}

const FLAKY_REQUESTS: u32 = 120;
const RESTARTING_REQUESTS: u32 = 80;

const CURL: &str = r#"get() { printf '%s ' "$1"; curl -s -o /dev/null -m 5 -w '%{http_code} %{time_total}\n' "http://$1$2" || :; }"#;
const PYTHON: &str = r#"get() { python3 -c '
import sys, time, urllib.error, urllib.request
start = time.monotonic()
try: status = urllib.request.urlopen("http://" + sys.argv[1] + sys.argv[2], timeout=5).status
except urllib.error.HTTPError as error: status = error.code
except OSError: status = "000"
print(sys.argv[1], status, time.monotonic() - start)
' "$1" "$2"; }"#;
