// SPDX-License-Identifier: Apache-2.0
//! A kernel that refuses one of ambassador's programs.
//!
//! It exists because no kernel that runs here refuses one. A library that is preloaded answers in the kernel's place
//! when that program is loaded, and only then; everything else is real.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;

/// The variables that make the kernel refuse a program; dropping it removes the library.
#[derive(Debug)]
pub struct RefusedProgram {
    name: String,
    library: PathBuf,
    _directory: TempDir,
}

impl RefusedProgram {
    /// Refuses the program called `name`.
    pub fn new(name: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("ambassador-refuse-").tempdir()?;
        let library = directory.path().join("refuse_program.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/refuse_program.c");
        let mut compile = Command::new("cc");
        compile.args(["-Wall", "-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]);
        Process::run(&mut compile, Duration::from_mins(1))?.expect_success()?;
        Ok(Self { name: name.to_owned(), library, _directory: directory })
    }

    /// What to set for the process.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.library.display().to_string()), ("REFUSED_PROGRAM", self.name.clone())]
    }
}
