// SPDX-License-Identifier: Apache-2.0
//! What is run, in full or in part, and how its results are read.

use std::collections::BTreeSet;

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
    /// In the Test Anything Protocol.
    Tap,
}

/// How tests are chosen by arguments.
#[derive(Clone, Copy)]
pub(super) enum Choice {
    /// This option before each name.
    Each(&'static str),
    /// Regular expressions of Go, with one for each level of tests within tests, of which two are used.
    Go,
    /// By their names alone; all are what these words choose.
    Words(&'static [&'static str]),
}

impl Program {
    /// The command that runs `tests`.
    pub(super) fn command(&self, tests: Tests<'_>) -> Vec<String> {
        let chosen = match (self.choice, tests) {
            (Choice::Words(words), Tests::All) => words.iter().map(|&word| word.to_owned()).collect(),
            (_, Tests::All) => Vec::new(),
            (Choice::Each(option), Tests::Some(names)) => {
                names.iter().flat_map(|name| [option, name]).map(str::to_owned).collect()
            }
            (Choice::Go, Tests::Some(names)) => {
                // What others are within runs with them, and would run all that it has by its own name.
                let is_outer = |name: &str| {
                    names
                        .iter()
                        .any(|other| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')))
                };
                let chosen: BTreeSet<_> =
                    names.iter().filter(|name| !is_outer(name)).map(|name| pattern(name)).collect();
                vec!["-test.run".to_owned(), chosen.into_iter().collect::<Vec<_>>().join("|")]
            }
            // Numbers are told with zeros in front, and not understood with them.
            (Choice::Words(_), Tests::Some(names)) => {
                names.iter().map(|name| name.trim_start_matches('0').to_owned()).collect()
            }
        };
        let mut command = self.command.clone();
        match self.report {
            // The option for the report is the last one.
            Report::Junit => command.extend(chosen.into_iter().chain(["--junit-xml".to_owned()])),
            Report::Go | Report::Curl | Report::Tap => command.extend(chosen),
        }
        command
    }
}

/// What Go runs for the test `name`: an expression for each level, to the first that would have to be quoted.
fn pattern(name: &str) -> String {
    let (outermost, within) = name.split_once('/').unwrap_or((name, ""));
    let levels = within.split('/').take(1).take_while(|level| is_plain(level));
    [outermost].into_iter().chain(levels).map(|level| format!("^{level}$")).collect::<Vec<_>>().join("/")
}

/// Whether a name means itself as a regular expression.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_chosen_as_their_runners_name_them() {
        let check = |choice, report, names: &[&str], want: &[&str]| {
            let program = Program {
                version: String::new(),
                command: Vec::new(),
                choice,
                environment: Vec::new(),
                directory: "/".into(),
                server: "",
                report,
            };
            assert_eq!(program.command(Tests::Some(names)), want);
        };
        let each = Choice::Each("-m");
        check(each, Report::Junit, &["t.A.b", "t.c"], &["-m", "t.A.b", "-m", "t.c", "--junit-xml"]);
        check(Choice::Go, Report::Go, &["A/b", "A/c"], &["-test.run", "^A$/^b$|^A$/^c$"]);
        check(Choice::Go, Report::Go, &["A", "A/b", "A/b/c", "B"], &["-test.run", "^A$/^b$|^B$"]);
        check(Choice::Go, Report::Go, &["A/b(c)"], &["-test.run", "^A$"]);
        check(Choice::Words(&["1", "to", "9"]), Report::Curl, &["0030", "p/a"], &["30", "p/a"]);
    }
}
