// SPDX-License-Identifier: Apache-2.0
//! Every class of wrong configuration: the exact place, message and help that an operator reads.

use ambassador::config::flags::PolicyFlags;
use ambassador::config::load::from_text;

/// What `check` finds in `text`: one `line:column message | help` per finding.
fn findings(text: &str) -> Vec<String> {
    let report = match from_text("ambassador.yaml", text, &PolicyFlags::default()) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    };
    let line = |found: ambassador::config::report::Finding| {
        let help = found.help.map(|help| format!(" | {help}")).unwrap_or_default();
        format!("{}:{} {}{help}", found.line, found.column, found.message)
    };
    report.findings().into_iter().map(line).collect()
}

fn print(text: &str) {
    println!("--- {text:?}");
    for found in findings(text) {
        println!("{found}");
    }
}

#[test]
fn probe() {
    for text in [
        "",
        "# nothing\n",
        "just text\n",
        "- a\n- b\n",
        "version: v1\n\tretry: 1\n",
        "version: v1\nroutes: [\n",
        "version: v1\n---\nversion: v1\n",
        "version: v1\nversion: v1\nfoo: 1\n",
        "version: v2\n",
        "routes: []\n",
        "version: 1\n",
        "version: [v1]\n",
        "version: v1\nroutez: []\n",
        "version: v1\nretry: {attempts: 3}\n",
        "version: v1\nadmin: {}\n",
        "version: v1\ndefaults:\n  retry:\n    attempts: 3\n    max_retries: 3\n    retry_on: [5xx]\n    perTryTimeout: 3s\n    colour: red\n",
        "version: v1\nroutes:\n  - name: a\n    hosts: [x]\n    rateLimit: {}\n    timeout: 3s\n    match: {host: [x], protocol: redis}\n",
        "version: v1\ndefaults:\n  timeouts: {request: 10, perTry: 10 s, connect: 0s, idle: .nan}\n",
        "version: v1\ndefaults:\n  timeouts: {request: 2s, perTry: 3s, connect: 5s}\n",
        "version: v1\ndefaults:\n  retry: {attempts: 101, retryOn: [], retriableStatusCodes: [99], backoff: {base: 2s, max: 1s}, budget: {retryRatio: 20, ttl: 1d}, maxReplayBytes: 1XB}\n",
        "version: v1\ndefaults:\n  retry: {attempts: \"3\", retryOn: [gateway_error, 503, retriable-status-codes]}\n",
        "version: v1\ndefaults:\n  retry: {attempts: 3, retriableStatusCodes: [429]}\n",
        "version: v1\ndefaults:\n  retry: {attempts: -1}\n  circuitBreaker: {}\n  connectionPool: {maxConnections: 99999999999999999999999}\n",
        "version: v1\ndefaults:\n  circuitBreaker: {slidingWindow: {type: count, size: 10}, minimumNumberOfCalls: 20, failureRateThreshold: 0, slowCallRateThreshold: 101}\n",
        "version: v1\ndefaults:\n  circuitBreaker: {slidingWindow: {type: count, size: 10s}, slowCallRateThreshold: 50}\n",
        "version: v1\ndefaults:\n  circuitBreaker: {slidingWindow: {type: time}, failureThreshold: 3}\n",
        "version: v1\nroutes:\n  - match: {ports: [0, 65536, http], cidrs: [10.0.0.1/8, 300.0.0.0/8, x], methods: [get, 'a b'], paths: [/a, {exact: a}, {exact: /a, prefix: /b}, {}, {prefix: '/a?b'}]}\n",
        "version: v1\nroutes:\n  - name: a b\n    match: {hosts: ['http://a.example/x', 'a.example:80', 'a*.example', 'ä.example', 127, ''], apps: [/usr/bin/curl, averyveryverylongname]}\n",
        "version: v1\nroutes:\n  - name: a\n    upstream: paiments\n    retry: {retryOn: [reset]}\n  - name: a\n    match: {ports: [1]}\n  - name: default\nupstreams:\n  - name: payments\n    endpoints: [{host: 'a.example:80'}, {host: b, port: 0}, {port: 5}]\n  - name: payments\n",
        "version: v1\nroutes:\n  - name: a\n    match: {protocol: tls, methods: [GET]}\n    retry:\n    mode: on\n    onProxyDown: refused\n  - just text\n",
        "version: v1\ntelemetry: {metrics: {listen: 9464}, accessLog: {format: xml}, tracing: {}}\nintercept: {loopback: yes, cgroups: [], exclude: [a]}\noutboundTrafficPolicy: allow\n",
        "version: v1\nx: &a {retry: {attempts: x}}\ndefaults: *a\n",
        "version: v1\ndefaults: &a [*a]\n",
        "version: *b\n",
        "version: !secret v1\n",
        "version: v1\n? [a]\n: b\n",
        "a: {b: {c: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}\n",
        "version: v1\n1: 2\ntrue: x\n",
        "version: v1\nroutes: {a: b}\nupstreams: x\n",
        "version: \"v1\n",
    ] {
        print(text);
    }
    println!(
        "{}",
        from_text(
            "ambassador.yaml",
            "version: v1\nroutes:\n  - name: a\n    retry:\n      max_retries: 3\n",
            &PolicyFlags::default()
        )
        .unwrap_err()
    );
}
