// SPDX-License-Identifier: Apache-2.0
//! Dropping DWARF from the kernel object: nine tenths of it, and the kernel reads only BTF.

use anyhow::{Context as _, Result};
use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

/// The object without its `.debug_*` sections and their relocations.
pub(crate) fn strip_debug(data: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(data).context("parse the kernel object")?;
    for section in &mut builder.sections {
        let name = section.name.to_string();
        section.delete = DEBUG_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    }
    // LLVM keeps the names of sections and symbols in one table; the writer wants one for each.
    let section_names = builder.sections.add();
    section_names.name = ".shstrtab".into();
    section_names.sh_type = SHT_STRTAB;
    section_names.sh_addralign = 1;
    section_names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped).context("write the stripped kernel object")?;
    Ok(stripped)
}

const DEBUG_PREFIXES: [&str; 2] = [".debug_", ".rel.debug_"];
