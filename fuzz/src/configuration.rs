// SPDX-License-Identifier: Apache-2.0
//! A configuration file: parsed and compiled, or refused with findings that can be shown.

use ambassador::config::{describe::describe_route, flags::PolicyFlags, load::from_text};

/// Whatever stands in the file, the answer is a configuration that can be described, or findings that can be shown.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let report = match from_text("ambassador.yaml", text, &PolicyFlags::default()) {
        Ok(loaded) => {
            let routes = 0..loaded.config.table.routes.len();
            for position in routes.map(Some).chain([None]) {
                assert!(!describe_route(&loaded.config, position).is_empty());
            }
            loaded.warnings
        }
        Err(report) => {
            assert!(report.errors() > 0, "refused without an error");
            report
        }
    };
    assert_eq!(report.to_string().is_empty(), report.findings().is_empty());
}
