// SPDX-License-Identifier: Apache-2.0
//! What is run, in full or in part, and how its results are read.

use super::room::Tests;

/// A suite that is there to be run.
pub(super) struct Program {
    /// Its name and version, for the reader.
    pub(super) version: String,
    /// The command, without what chooses tests.
    pub(super) command: Vec<String>,
    /// How its tests are chosen.
    pub(super) choice: Choice,
    /// Its environment beside the caller's.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Its directory.
    pub(super) directory: std::path::PathBuf,
    /// Lines of a shell that start the server that it needs, and leave its process in `$server`.
    pub(super) server: &'static str,
    /// Its report.
    pub(super) report: Report,
}

/// How results are told.
#[derive(Clone, Copy)]
pub(super) enum Report {
    /// In the XML that runners of Python share; the command gets the file as its last argument.
    Junit,
    /// By `go test -v`.
    Go,
    /// By curl's `runtests.pl`.
    Curl,
}

/// How tests are chosen by arguments.
#[derive(Clone, Copy)]
pub(super) enum Choice {
    /// This option before each name.
    Each(&'static str),
    /// A regular expression of Go, which knows nothing of tests within tests.
    Go,
    /// By their numbers alone; all are those between these two.
    Numbers([&'static str; 2]),
}

impl Program {
    /// The command that runs `tests`.
    pub(super) fn command(&self, tests: Tests<'_>) -> Vec<String> {
        let chosen = match (self.choice, tests) {
            (Choice::Numbers([first, last]), Tests::All) => {
                vec![first.to_owned(), "to".to_owned(), last.to_owned()]
            }
            (_, Tests::All) => Vec::new(),
            (Choice::Each(option), Tests::Some(names)) => {
                names.iter().flat_map(|name| [option, name]).map(str::to_owned).collect()
            }
            (Choice::Go, Tests::Some(names)) => {
                let names: Vec<_> = names.iter().filter_map(|name| name.split('/').next()).collect();
                vec!["-test.run".to_owned(), format!("^({})$", names.join("|"))]
            }
            (Choice::Numbers(_), Tests::Some(names)) => names.iter().map(|&name| name.to_owned()).collect(),
        };
        let mut command = self.command.clone();
        match self.report {
            // The option for the report is the last one.
            Report::Junit => command.extend(chosen.into_iter().chain(["--junit-xml".to_owned()])),
            Report::Go | Report::Curl => command.extend(chosen),
        }
        command
    }
}
