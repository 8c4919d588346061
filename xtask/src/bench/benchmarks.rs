// SPDX-License-Identifier: Apache-2.0
//! The file BENCHMARKS.md: a table between two marks for each scenario, and the machine it was measured on.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ambassador_tests::Process;
use anyhow::{Context as _, Result};

use crate::steps::workspace;

/// Replaces what stands between the marks of `scenario`, and leaves all else alone.
pub(crate) fn write(scenario: &str, text: &str) -> Result<()> {
    let path = workspace().join("BENCHMARKS.md");
    let file = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let replaced = replace(&file, scenario, text)
        .with_context(|| format!("{} has no marks of {scenario}", path.display()))?;
    std::fs::write(&path, replaced).with_context(|| format!("write {}", path.display()))?;
    println!("bench: written into BENCHMARKS.md");
    Ok(())
}

/// Kernel, processors and day.
pub(crate) fn machine() -> Result<String> {
    let kernel = nix::sys::utsname::uname()?.release().to_string_lossy().into_owned();
    let processors = std::fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
    let names: Vec<&str> = processors
        .lines()
        .filter_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()))
        .collect();
    let processor = names.first().copied().unwrap_or("unknown processor");
    let date = Process::run(Command::new("date").args(["-u", "+%F"]), Duration::from_secs(5))?.text();
    let count = names.len().max(1);
    Ok(format!("Linux {kernel}, {count} × {processor}, {}", date.trim()))
}

fn replace(file: &str, scenario: &str, text: &str) -> Option<String> {
    let (begin, end) =
        (format!("<!-- bench {scenario}: begin -->\n"), format!("<!-- bench {scenario}: end -->"));
    let (before, rest) = file.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

/// Whether the file of the tree can take the table of `scenario`, to be known before anything is measured.
pub(crate) fn has_marks(scenario: &str) -> bool {
    let path: &Path = &workspace().join("BENCHMARKS.md");
    std::fs::read_to_string(path).is_ok_and(|file| replace(&file, scenario, "").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let file = "# B\n<!-- bench a: begin -->\nold\n<!-- bench a: end -->\nrest\n";
        let wanted = "# B\n<!-- bench a: begin -->\nnew\n<!-- bench a: end -->\nrest\n";
        assert_eq!(replace(file, "a", "new\n").as_deref(), Some(wanted));
        assert_eq!(replace(file, "b", "new\n"), None);
    }
}
