// SPDX-License-Identifier: Apache-2.0
//! Every class of wrong configuration: the exact place, message and help that an operator reads.
//!
//! One file per class in `config_errors/`. A case is a line of `#`, the configuration, and one line per finding:
//! `=> line:column severity: message | help`.

use std::fs;
use std::path::Path;

use ambassador::config::flags::PolicyFlags;
use ambassador::config::load::from_text;
use ambassador::config::report::Finding;

fn check_class(class: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/config_errors/{class}.txt"));
    let cases = fs::read_to_string(&file).expect("the class has a file");
    let mut checked = 0;
    for case in cases.split("########\n").skip(1) {
        let start = case.find("=> ").expect("a case has findings");
        let (text, want) = case.split_at(start);
        assert_eq!(findings(text), want, "{class}, in\n{text}");
        checked += 1;
    }
    assert!(checked > 0, "{class} has no cases");
}

fn findings(text: &str) -> String {
    let report = match from_text("ambassador.yaml", text, &PolicyFlags::default()) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    };
    report.findings().into_iter().map(line).collect()
}

fn line(found: Finding) -> String {
    let severity = format!("{:?}", found.severity).to_lowercase();
    let help = found.help.map(|help| format!(" | {help}")).unwrap_or_default();
    format!("=> {}:{} {severity}: {}{help}\n", found.line, found.column, found.message)
}

macro_rules! classes {
    ($($class:ident)*) => { $( #[test] fn $class() { check_class(stringify!($class)); } )* };
}

classes! {
    the_yaml_itself
    keys
    fields_of_later_versions
    words_of_other_tools
    words
    numbers
    durations
    texts
    matches_that_say_nothing
    names_and_references
    rules_between_values
    breakers
    warnings_need_a_valid_file
}
