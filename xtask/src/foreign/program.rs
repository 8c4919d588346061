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
    /// In the Test Anything Protocol.
    Tap,
}

/// How tests are chosen by arguments.
#[derive(Clone, Copy)]
pub(super) enum Choice {
    /// This option before each name.
    Each(&'static str),
    /// A regular expression of Go for each level of tests within tests, of which two are used.
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
                let level = |level| {
                    let parts: Option<Vec<_>> = names
                        .iter()
                        .map(|name| name.split('/').nth(level).filter(|part| is_plain(part)))
                        .collect();
                    parts.map(|parts| format!("^({})$", parts.join("|")))
                };
                let levels = (0..2).map_while(level).collect::<Vec<_>>().join("/");
                vec!["-test.run".to_owned(), levels]
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

/// Whether a name means itself as a regular expression.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
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
        check(Choice::Go, Report::Go, &["A/b", "A/c"], &["-test.run", "^(A|A)$/^(b|c)$"]);
        check(Choice::Go, Report::Go, &["A/b", "B"], &["-test.run", "^(A|B)$"]);
        check(Choice::Go, Report::Go, &["A/b(c)"], &["-test.run", "^(A)$"]);
        check(Choice::Words(&["1", "to", "9"]), Report::Curl, &["0030", "p/a"], &["30", "p/a"]);
    }
}
