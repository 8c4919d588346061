// SPDX-License-Identifier: Apache-2.0
//! No text is too odd: whatever stands in the file, it is compiled or refused with findings that can be shown.

use ambassador::config::flags::PolicyFlags;
use ambassador::config::load::from_text;
use proptest::prelude::*;

/// Words of the grammar and odd scalars, so that random documents get past the first check.
fn word() -> impl Strategy<Value = String> {
    let words = "version v1 routes upstreams defaults retry attempts retryOn 5xx timeouts request match hosts paths \
        exact prefix ports cidrs endpoints host port name upstream circuitBreaker slidingWindow size type count time \
        connectionPool maxRequests mode off backoff base max 10s 0s 1 -1 0 65536 1e999 .nan ~ true '' \"\" * *a &a !!int \
        10.0.0.0/8 a.example *.example /x 99999999999999999999 64KiB 🦀 <<";
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    prop_oneof![9 => proptest::sample::select(words), 1 => "\\PC{0,6}"]
}

fn document() -> impl Strategy<Value = String> {
    let leaf = word();
    let node = leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec((word(), inner.clone()), 0..6).prop_map(|entries| {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
            proptest::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    });
    proptest::collection::vec((word(), node), 0..6).prop_map(|entries| {
        let lines: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        format!("version: v1\n{}\n", lines.join("\n"))
    })
}

/// Compiles and renders: neither may panic.
fn digest(text: &str) {
    let report = match from_text("ambassador.yaml", text, &PolicyFlags::default()) {
        Ok(loaded) => loaded.warnings,
        Err(report) => {
            assert!(report.errors() > 0);
            report
        }
    };
    let _ = (report.to_string(), report.findings());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in "[\\PC\\n\\t\\r\\u{0}]{0,200}") {
        digest(&text);
    }

    #[test]
    fn no_document_panics(text in document()) {
        digest(&text);
    }

    #[test]
    fn no_damaged_sample_panics(at in 0.0_f64..1.0, length in 0_usize..40, put in word()) {
        let sample = include_str!("../../deploy/ambassador.yaml");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in the text")]
        let start = sample.floor_char_boundary((at * sample.len() as f64) as usize);
        let end = sample.floor_char_boundary(start.saturating_add(length));
        digest(&format!("{}{put}{}", &sample[..start], &sample[end..]));
    }
}

#[test]
fn aliases_do_not_explode() {
    let lines = (1..12).map(|level| {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{below}]\n")
    });
    digest(&format!("version: v1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}", lines.collect::<String>()));
}
