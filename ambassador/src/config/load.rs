// SPDX-License-Identifier: Apache-2.0
//! From a file, a text or the command line to a configuration: the one way in.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::compile::compile;
use super::flags::PolicyFlags;
use super::node::Span;
use super::parse;
use super::problem::{Problem, Severity};
use super::raw::RawConfig;
use super::reader::Reader;
use super::report::{Diagnostic, Report, Source};
use super::settings::Config;
use super::shape::Shape;

/// A configuration that can be used, and the warnings about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Findings that do not refuse it.
    pub warnings: Report,
}

/// Reads and compiles a file (`-`: standard input) under the policy flags. The report of a refusal holds every error.
pub fn load(path: &Path, flags: &PolicyFlags) -> Result<Loaded, Report> {
    let name = name_of(path);
    let (text, refused) = match read(path) {
        Ok(bytes) => parse::decode(bytes),
        Err(error) => {
            let problem = Problem::Unreadable { reason: error.to_string() };
            (String::new(), Some(Diagnostic::at(Span::default(), problem)))
        }
    };
    match refused {
        Some(diagnostic) => Err(Report::new(Source { name, text }, vec![diagnostic])),
        None => from_text(&name, &text, flags),
    }
}

/// What messages call the file.
pub fn name_of(path: &Path) -> String {
    if is_stdin(path) { "<stdin>".to_owned() } else { path.display().to_string() }
}

/// Compiles a text, which messages call `name`.
pub fn from_text(name: &str, text: &str, flags: &PolicyFlags) -> Result<Loaded, Report> {
    let mut reader = Reader::default();
    let raw =
        parse::parse(text, &mut reader.diagnostics).and_then(|root| RawConfig::read(&root, &mut reader));
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    let Some(raw) = raw else { return Err(Report::new(source, reader.diagnostics)) };
    finish(&raw, flags, source, reader)
}

/// Compiles the command line alone: zero configuration, or the policies of the flags for every destination.
pub fn from_flags(flags: &PolicyFlags) -> Result<Loaded, Report> {
    finish(&RawConfig::default(), flags, Source::default(), Reader::default())
}

fn finish(
    raw: &RawConfig,
    flags: &PolicyFlags,
    source: Source,
    mut reader: Reader,
) -> Result<Loaded, Report> {
    let config = compile(raw, &flags.to_raw(), &source.name, &mut reader);
    let is_error = |found: &Diagnostic| found.problem.severity() == Severity::Error;
    if reader.diagnostics.iter().any(is_error) {
        // Beside an error a warning may be its mere consequence.
        reader.diagnostics.retain(is_error);
        return Err(Report::new(source, reader.diagnostics));
    }
    Ok(Loaded { config, warnings: Report::new(source, reader.diagnostics) })
}

/// The bytes of the file, one more than the largest configuration at most.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let most = u64::try_from(parse::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    if is_stdin(path) {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}
