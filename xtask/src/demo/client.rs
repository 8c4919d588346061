// SPDX-License-Identifier: Apache-2.0
//! The client of the demo: curl, unmodified and unaware.

use super::upstream::{FLAKY, HANGING, RESTARTING};

/// A shell script that prints `HOST STATUS SECONDS` per request; status 000 where there was no answer.
pub(super) fn script() -> String {
    format!(
        "{GET}
n=0; while [ $n -lt {FLAKY_REQUESTS} ]; do n=$((n + 1)); get 5 {FLAKY} /orders/$n; done
n=0; while [ $n -lt {RESTARTING_REQUESTS} ]; do n=$((n + 1)); get 5 {RESTARTING} /stock/$n; sleep 0.04; done
n=0; while [ $n -lt {HANGING_REQUESTS} ]; do n=$((n + 1)); get 1 {HANGING} /report/$n; done
"
    )
}

const FLAKY_REQUESTS: u32 = 120;
const RESTARTING_REQUESTS: u32 = 80;
const HANGING_REQUESTS: u32 = 10;

/// `get SECONDS HOST PATH`
const GET: &str = r#"get() { printf '%s ' "$2"; curl -s -o /dev/null -m "$1" -w '%{http_code} %{time_total}\n' "http://$2$3" || :; }"#;
