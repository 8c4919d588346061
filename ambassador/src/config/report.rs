// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a configuration, all of it at once, for people and for machines.
//!
//! A report keeps the text that it speaks of, so that every line of it can show the place. It never repeats the value
//! of a file other than the configuration itself.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use super::node::{Place, Span};
use super::problem::{Problem, Severity};

/// One finding: what, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Where it was written.
    pub place: Place,
    /// What is wrong.
    pub problem: Problem,
}

/// The text that was read, under the name that the operator gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// File name as given; empty when there is no file.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Every finding of one reading. Its `Display` shows each with a snippet.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was read.
    pub source: Source,
    /// The findings, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// One finding as `check -o json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// File name as given, or the flag that carried the value.
    pub file: String,
    /// Line, from 1; 0 when the finding is about the file as a whole or about a flag.
    pub line: u32,
    /// Column in characters, from 1; 0 as for the line.
    pub column: u32,
    /// `error` or `warning`.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding in the file.
    pub(crate) fn at(span: Span, problem: Problem) -> Self {
        Self { place: Place::File(span), problem }
    }
}

impl Report {
    /// Puts the findings into the order of the file, those about flags last.
    pub(crate) fn new(source: Source, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| match diagnostic.place {
            Place::File(span) => (span.line, span.column),
            Place::Flag(_) => (u32::MAX, u32::MAX),
        });
        // A value of `defaults` is judged for every route that inherits it.
        diagnostics.dedup();
        Self { source, diagnostics }
    }

    /// Whether nothing was found, not even a warning.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|found| found.problem.severity() == Severity::Error).count()
    }

    /// How many findings are warnings.
    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    /// The findings as data.
    pub fn findings(&self) -> Vec<Finding> {
        self.diagnostics.iter().map(|diagnostic| self.finding(diagnostic)).collect()
    }

    fn finding(&self, diagnostic: &Diagnostic) -> Finding {
        let (file, line, column) = match diagnostic.place {
            Place::File(span) => (self.source.name.clone(), span.line, span.column),
            Place::Flag(flag) => (flag.to_owned(), 0, 0),
        };
        let problem = &diagnostic.problem;
        Finding {
            file,
            line,
            column,
            severity: problem.severity(),
            message: problem.to_string(),
            help: problem.help(),
        }
    }

    fn render(&self, diagnostic: &Diagnostic) -> String {
        let problem = &diagnostic.problem;
        let level = match problem.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = match diagnostic.place {
            Place::Flag(flag) => Group::with_title(level.primary_title(format!("{flag}: {problem}"))),
            Place::File(Span { line: 0, .. }) => {
                Group::with_title(level.primary_title(format!("{}: {problem}", self.source.name)))
            }
            Place::File(span) => {
                let marked = self.printable_range(span);
                level.primary_title(problem.to_string()).element(
                    Snippet::source(self.source.text.as_str())
                        .path(self.source.name.as_str())
                        .annotation(AnnotationKind::Primary.span(marked)),
                )
            }
        };
        if let Some(help) = problem.help() {
            group = group.element(Level::HELP.message(help));
        }
        Renderer::plain().render(&[group])
    }

    /// A range of whole characters inside the text, whatever the parser said.
    fn printable_range(&self, span: Span) -> Range<usize> {
        let text = &self.source.text;
        let start = text.floor_char_boundary(span.start);
        let end = text.floor_char_boundary(span.end);
        start..end.max(start)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, diagnostic) in self.diagnostics.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n\n")?;
            }
            formatter.write_str(&self.render(diagnostic))?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
