// SPDX-License-Identifier: Apache-2.0
//! The checked-in kernel object: built from the sources beside it, and without a trace of the machine that built it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use crate::sources;

/// Findings about the object of the workspace at `root`.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let directory = root.join("ambassador-ebpf");
    let want = sources::hash(&directory).context("hash the sources of the kernel object")?;
    let recorded =
        fs::read_to_string(directory.join("prebuilt/ambassador.o.sources.sha256")).unwrap_or_default();
    let object = fs::read(directory.join(OBJECT)).unwrap_or_default();
    let mut findings = Vec::new();
    if recorded.trim() != want || object.is_empty() {
        findings.push(finding("not built from the sources beside it: cargo xtask ebpf --install"));
    }
    findings.extend(traces(&object));
    Ok(findings)
}

fn traces(object: &[u8]) -> Vec<Finding> {
    let contains = |trace: &&&str| object.windows(trace.len()).any(|window| window == trace.as_bytes());
    TRACES
        .iter()
        .filter(contains)
        .map(|trace| finding(&format!("contains {trace:?}, a path of one machine")))
        .collect()
}

fn finding(message: &str) -> Finding {
    Finding { path: format!("ambassador-ebpf/{OBJECT}"), line: 0, message: message.to_owned() }
}

const OBJECT: &str = "prebuilt/ambassador.o";
const TRACES: [&str; 4] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), "registry/src", "rustup/toolchains"];

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(recorded: impl Fn(&str) -> String, object: &str) -> Result<Vec<Finding>> {
        let root = tempfile::tempdir()?;
        let directory = root.path().join("ambassador-ebpf");
        fs::create_dir_all(directory.join("src"))?;
        fs::create_dir_all(directory.join("prebuilt"))?;
        fs::write(directory.join("Cargo.toml"), "[package]")?;
        fs::write(directory.join("src/lib.rs"), "fn decide() {}")?;
        let hash = sources::hash(&directory)?;
        fs::write(directory.join("prebuilt/ambassador.o.sources.sha256"), recorded(&hash))?;
        fs::write(directory.join(OBJECT), object)?;
        check(root.path())
    }

    #[test]
    fn a_current_object_without_traces_is_clean() -> Result<()> {
        assert_eq!(workspace(|hash| format!("{hash}\n"), "ELF ./src/main.rs")?, []);
        Ok(())
    }

    #[test]
    fn an_object_of_other_sources_is_refused() -> Result<()> {
        let findings = workspace(|_| "0123".to_owned(), "ELF")?;
        assert!(findings.len() == 1 && findings[0].message.contains("cargo xtask ebpf"), "{findings:?}");
        assert_eq!(workspace(str::to_owned, "")?.len(), 1);
        Ok(())
    }

    #[test]
    fn an_object_with_a_path_of_its_builder_is_refused() -> Result<()> {
        for trace in TRACES {
            assert_eq!(workspace(str::to_owned, &format!("ELF {trace} rest"))?.len(), 1, "{trace}");
        }
        Ok(())
    }
}
