// SPDX-License-Identifier: Apache-2.0
//! Replays the corpus of every target, with plain stable Rust.

use std::path::Path;
use std::{fs, panic};

use ambassador_fuzz::TARGETS;

#[test]
fn every_input_of_the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, check) in TARGETS {
        let inputs: Vec<_> = fs::read_dir(corpus.join(target)).expect("a corpus").flatten().collect();
        assert!(inputs.len() >= 10, "{target} has only {} inputs", inputs.len());
        for input in inputs {
            let bytes = fs::read(input.path()).expect("an input");
            let held = panic::catch_unwind(|| {
                check(&bytes);
                // What is cut short is the most usual damage of all.
                (0..bytes.len().min(64)).for_each(|cut| check(&bytes[..cut]));
            });
            assert!(held.is_ok(), "{target} does not hold for {}", input.path().display());
        }
    }
}

#[test]
fn every_target_has_a_program_for_the_fuzzer() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut found: Vec<_> = fs::read_dir(programs).expect("programs").flatten().collect();
    found.sort_by_key(fs::DirEntry::file_name);
    let found: Vec<_> = found.iter().map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(found, TARGETS.map(|(name, _)| format!("{name}.rs")));
}
