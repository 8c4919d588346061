// SPDX-License-Identifier: Apache-2.0
//! `ambassador doctor`: would `run` work here, and if not, what is missing?

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use crate::app::doctor::{Examination, Finding, Status, Verdict, examine};

use super::output;

/// Try out everything that `run` needs on this machine, and say what to do about what is missing
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// How the findings are written
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: DoctorFormat,
}

/// `-o table|json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DoctorFormat {
    /// A line per finding, and one on what to do where something is missing.
    Table,
    /// One JSON document.
    Json,
}

const LONG_ABOUT: &str = "\
Try out everything that `run` needs on this machine, and say what to do about what is missing

It asks by doing: each kernel program is loaded by itself, then all of them are attached to a cgroup of their own, and a \
connect is sent through. Nothing is left behind, and no other process is touched. Run it as you would run `run`: with \
the same user, capabilities, container and network namespace.

  √  as it should be
  !  degraded: it lacks, and `run` works with less than it could
  -  optional: only an option that not everybody uses needs it
  ×  broken: `run` cannot work without it
  ?  skipped: it could not be tried, because of what is broken before it

The exit code is 1 if `run` could not work, 125 after wrong usage, else 0.

JSON is one object: `version`; `verdict`, which is ok, degraded or broken; `checks`, a list of objects with `group` \
(machine, capabilities, programs, interception), `name`, `status` (ok, degraded, optional, broken, skipped), `found` \
(in words) and `hint` (what to do, or null). Names stay the same between versions; new ones may come.";

const EXAMPLES: &str = "\
Examples:
  sudo ambassador doctor                                    as root
  ambassador doctor -o json | jq '.checks[] | select(.status != \"ok\")'
  nsenter --net=/run/netns/blue ambassador doctor           in a network namespace";

/// Examines, and writes to `out`; that this cannot be done, to `err`.
pub fn run(args: DoctorArgs, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let examination = examine();
    let written = match args.output {
        DoctorFormat::Json => output::json(&examination, out),
        DoctorFormat::Table => table(&examination, Look::of_stdout(), out),
    };
    let works = examination.verdict != Verdict::Broken;
    output::written(written, if works { ExitCode::SUCCESS } else { ExitCode::FAILURE }, err)
}

/// What the reader's terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    letters: Letters,
    colour: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    Utf8,
    Ascii,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Ansi,
    None,
}

impl Look {
    fn of_stdout() -> Self {
        let colour =
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Self {
            letters: Letters::of(|name| std::env::var(name).ok()),
            colour: if colour { Colour::Ansi } else { Colour::None },
        }
    }

    /// The sign of a status, and its colour.
    fn sign(self, status: Status) -> String {
        let (utf8, ascii, colour) = match status {
            Status::Ok => ("√", "+", GREEN),
            Status::Degraded => ("!", "!", YELLOW),
            Status::Optional => ("-", "-", PLAIN),
            Status::Broken => ("×", "x", RED),
            Status::Skipped => ("?", "?", PLAIN),
        };
        let sign = if self.letters == Letters::Utf8 { utf8 } else { ascii };
        match self.colour {
            Colour::Ansi if colour != PLAIN => format!("\x1b[{colour}m{sign}\x1b[0m"),
            _ => sign.to_owned(),
        }
    }
}

impl Letters {
    /// As locale(7): the first of the three variables that is set counts.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set =
            ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
        let locale = set.unwrap_or_default().to_ascii_lowercase();
        if locale.ends_with("utf-8") || locale.ends_with("utf8") { Self::Utf8 } else { Self::Ascii }
    }
}

fn table(examination: &Examination, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let width = examination.checks.iter().map(|finding| finding.name.len()).max().unwrap_or_default();
    let arrow = if look.letters == Letters::Utf8 { "→" } else { "->" };
    for finding in &examination.checks {
        let Finding { name, status, found, hint, .. } = finding;
        writeln!(out, "{} {name:<width$}  {found}", look.sign(*status))?;
        if let Some(hint) = hint {
            writeln!(out, "  {:<width$}  {arrow} {hint}", "")?;
        }
    }
    let (status, words) = match examination.verdict {
        Verdict::Ok => (Status::Ok, "`ambassador run` works here"),
        Verdict::Degraded => (Status::Degraded, "`ambassador run` works here, with less than it could"),
        Verdict::Broken => (Status::Broken, "`ambassador run` cannot work here"),
    };
    writeln!(out, "{} {words}", look.sign(status))
}

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const PLAIN: &str = "";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::Group;

    fn finding(name: &'static str, status: Status, hint: Option<&'static str>) -> Finding {
        Finding { group: Group::Machine, name, status, found: format!("found {name}"), hint }
    }

    fn shown(look: Look) -> String {
        let checks = vec![
            finding("kernel", Status::Ok, None),
            finding("CAP_BPF", Status::Broken, Some("grant it")),
            finding("CAP_NET_RAW", Status::Degraded, Some("or not")),
            finding("attach", Status::Skipped, None),
        ];
        let examination = Examination { version: "1", verdict: Verdict::Broken, checks };
        let mut out = Vec::new();
        table(&examination, look, &mut out).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_table_has_a_line_per_finding_and_a_hint_where_one_helps() {
        assert_eq!(
            shown(Look { letters: Letters::Utf8, colour: Colour::None }),
            "√ kernel       found kernel\n\
             × CAP_BPF      found CAP_BPF\n               → grant it\n\
             ! CAP_NET_RAW  found CAP_NET_RAW\n               → or not\n\
             ? attach       found attach\n\
             × `ambassador run` cannot work here\n"
        );
    }

    #[test]
    fn ascii_is_enough_and_colours_come_only_when_asked_for() {
        let ascii = shown(Look { letters: Letters::Ascii, colour: Colour::None });
        assert!(ascii.is_ascii() && !ascii.contains('\x1b'), "{ascii}");
        assert!(ascii.starts_with("+ kernel") && ascii.contains("\nx CAP_BPF"), "{ascii}");
        let colours = shown(Look { letters: Letters::Utf8, colour: Colour::Ansi });
        assert!(colours.starts_with("\x1b[32m√\x1b[0m kernel"), "{colours}");
    }

    #[test]
    fn the_locale_tells_which_letters_there_are() {
        let letters = |variables: &[(&str, &str)]| {
            Letters::of(|name| {
                variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(letters(&[]), Letters::Ascii);
        assert_eq!(letters(&[("LANG", "C")]), Letters::Ascii);
        assert_eq!(letters(&[("LANG", "C.UTF-8")]), Letters::Utf8);
        assert_eq!(letters(&[("LANG", "en_GB.utf8"), ("LC_ALL", "")]), Letters::Utf8);
        assert_eq!(letters(&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "POSIX")]), Letters::Ascii);
    }
}
