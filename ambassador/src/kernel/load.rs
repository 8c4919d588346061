// SPDX-License-Identifier: Apache-2.0
//! Loading the embedded object: everything that needs aya, and nothing that outlives it.
//!
//! What is kept of a load is a file descriptor per program and map. The loader's own memory (the object, and the
//! kernel's type information that aya reads at the start) is given back before this returns.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use ambassador_ebpf::{
    listener::MAX_RINGS,
    settings::{HAS_COMM, HAS_RETVAL},
};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Map, MapError},
    programs::{Program, ProgramError},
};
use caps::Capability;

use super::{
    KernelError, KernelLog, LoadOptions, SynEvents,
    maps::KernelMaps,
    object::OBJECT,
    support::{Support, support},
};
use crate::host::{free_memory::give_back, privileges::holds};

/// The programs and maps of one load.
pub(super) struct Loaded {
    pub(super) programs: Programs,
    pub(super) maps: KernelMaps,
    pub(super) log: Option<KernelLog>,
    /// The filter that holds SYNs, or why there is none.
    pub(super) filter: Result<OwnedFd, KernelError>,
    pub(super) events: Vec<SynEvents>,
}

/// A file descriptor per program, unattached.
pub(super) struct Programs {
    pub(super) connect4: OwnedFd,
    pub(super) connect6: OwnedFd,
    pub(super) getpeername4: OwnedFd,
    pub(super) getpeername6: OwnedFd,
    pub(super) getsockname4: OwnedFd,
    pub(super) getsockname6: OwnedFd,
    pub(super) so_main: OwnedFd,
    pub(super) so_passive: OwnedFd,
}

/// Loads the programs.
pub(super) fn load(options: &LoadOptions) -> Result<Loaded, KernelError> {
    let (_, support) = support()?;
    require_capabilities()?;
    let debug_log = options.debug_log;
    if debug_log && !has_perfmon() {
        tracing::warn!("the debug lines of the kernel programs need CAP_PERFMON: loading without them");
    }
    let debug_log = debug_log && has_perfmon();
    let truthful = options.truthful;
    let features = Features { retval: support == Support::Full, comm: has_perfmon(), debug_log, truthful };
    let loaded = match load_object(features, options.rings) {
        // Which kernels tell the caller's name to which loaders has changed several times.
        Err(KernelError::Rejected { .. }) if features.comm => {
            load_object(Features { comm: false, ..features }, options.rings)
        }
        loaded => loaded,
    };
    // aya reads all of the kernel's type information when a loader is made, and the allocator would keep the room.
    give_back();
    loaded
}

/// The names of the programs.
pub const PROGRAMS: [&str; 9] = [
    "connect4",
    "connect6",
    "getpeername4",
    "getpeername6",
    "getsockname4",
    "getsockname6",
    "so_main",
    "so_passive",
    FILTER,
];

/// The program without which connections are let in before their destination has answered.
pub const FILTER: &str = "lfilter";

/// The name of a program, and whether it loads.
pub type Tried = (&'static str, Result<(), KernelError>);

/// Loads each program by itself and lets it go again, to see which of them this kernel takes. The error is one of all
/// of them.
pub fn try_programs() -> Result<Vec<Tried>, KernelError> {
    let (_, support) = support()?;
    require_capabilities()?;
    let features =
        |comm| Features { retval: support == Support::Full, comm, debug_log: false, truthful: true };
    let mut object = open_object(features(has_perfmon()))?;
    let mut nameless = None;
    let mut tried = Vec::new();
    for name in PROGRAMS {
        let mut loaded = program(&mut object, name);
        if matches!(loaded, Err(KernelError::Rejected { .. })) {
            let object = match &mut nameless {
                Some(object) => object,
                none => none.insert(open_object(features(false))?),
            };
            loaded = program(object, name);
        }
        tried.push((name, loaded.map(drop)));
    }
    Ok(tried)
}

/// What the verifier is shown; the rest of the code is dead to it.
#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct Features {
    retval: bool,
    comm: bool,
    debug_log: bool,
    truthful: bool,
}

/// The object with its maps made, and no program loaded.
fn open_object(features: Features) -> Result<Ebpf, KernelError> {
    let Features { retval, comm, debug_log, .. } = features;
    let (has_retval, has_comm) = (u8::from(retval), u8::from(comm));
    let log_level = if debug_log { aya_log::Level::Debug as u8 } else { LOG_OFF };
    let mut loader = EbpfLoader::new();
    // No program is relocated against the kernel's types.
    loader.btf(None);
    loader.override_global(HAS_RETVAL, &has_retval, true);
    loader.override_global(HAS_COMM, &has_comm, true);
    loader.override_global(aya_log::LEVEL, &log_level, true);
    if !debug_log {
        loader.map_max_entries(LOG_MAP, UNUSED_RING_BYTES);
    }
    loader.load(OBJECT).map_err(object_error)
}

fn load_object(features: Features, rings: u32) -> Result<Loaded, KernelError> {
    let Features { debug_log, truthful, .. } = features;
    let mut object = open_object(features)?;
    let pick = |silent, lines| if debug_log { lines } else { silent };
    let programs = Programs {
        connect4: program(&mut object, pick("connect4", "connect4_debug"))?,
        connect6: program(&mut object, pick("connect6", "connect6_debug"))?,
        getpeername4: program(&mut object, "getpeername4")?,
        getpeername6: program(&mut object, "getpeername6")?,
        getsockname4: program(&mut object, "getsockname4")?,
        getsockname6: program(&mut object, "getsockname6")?,
        so_main: program(&mut object, pick("so_main", "so_main_debug"))?,
        so_passive: program(&mut object, pick("so_passive", "so_passive_debug"))?,
    };
    let log = if debug_log { Some(KernelLog::open(&mut object)?) } else { None };
    let filter = if truthful { program(&mut object, FILTER) } else { Err(KernelError::NoFilter) };
    let maps = KernelMaps::open(|name| map(&mut object, name))?;
    let events = if filter.is_ok() { events(&maps, rings)? } else { Vec::new() };
    Ok(Loaded { programs, maps, log, filter, events })
}

fn program(object: &mut Ebpf, name: &'static str) -> Result<OwnedFd, KernelError> {
    let program = object.program_mut(name).ok_or(KernelError::Incomplete { kind: "program", name })?;
    let loaded = undisturbed(|| match &mut *program {
        Program::CgroupSockAddr(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::SocketFilter(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    });
    loaded.map_err(|source| program_error(name, source))?;
    let fd = program.fd().map_err(|source| program_error(name, source))?;
    fd.as_fd().try_clone_to_owned().map_err(|source| KernelError::Descriptor {
        kind: "program",
        name,
        source,
    })
}

/// Loads again what a signal has interrupted: the verifier gives up then (`EAGAIN`).
fn undisturbed(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    for _ in 1..LOAD_ATTEMPTS {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) => {}
            done => return done,
        }
    }
    load()
}

fn events(maps: &KernelMaps, rings: u32) -> Result<Vec<SynEvents>, KernelError> {
    let rings = rings.clamp(1, MAX_RINGS);
    let bytes = (RINGS_BYTES / rings.next_power_of_two()).max(RING_BYTES);
    (0..rings).map(|number| SynEvents::open(maps, number, bytes)).collect()
}

fn map(object: &mut Ebpf, name: &'static str) -> Result<OwnedFd, KernelError> {
    let Some(
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::SkStorage(data),
    ) = object.take_map(name)
    else {
        return Err(KernelError::Incomplete { kind: "map", name });
    };
    data.fd().as_fd().try_clone_to_owned().map_err(|source| KernelError::Descriptor {
        kind: "map",
        name,
        source,
    })
}

fn object_error(error: EbpfError) -> KernelError {
    if let EbpfError::MapError(MapError::CreateError { name, io_error, .. }) = &error
        && is_permission(io_error)
    {
        let source = io::Error::from_raw_os_error(io_error.raw_os_error().unwrap_or(libc::EPERM));
        return forbidden(format!("create the map {name}"), source);
    }
    KernelError::Object(Box::new(error))
}

fn program_error(program: &'static str, error: ProgramError) -> KernelError {
    if let ProgramError::LoadError { io_error, verifier_log } = &error
        && is_permission(io_error)
        && verifier_log.to_string().trim().is_empty()
    {
        let source = io::Error::from_raw_os_error(io_error.raw_os_error().unwrap_or(libc::EPERM));
        return forbidden(format!("load the program {program}"), source);
    }
    let source = Box::new(error);
    if has_perfmon() {
        KernelError::Rejected { program, source }
    } else {
        KernelError::NeedsPerfmon { program, source }
    }
}

fn is_permission(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Asked first, because the kernel says only EPERM.
fn require_capabilities() -> Result<(), KernelError> {
    let needed = [("CAP_BPF", may(Capability::CAP_BPF)), ("CAP_NET_ADMIN", may(Capability::CAP_NET_ADMIN))];
    let missing: Vec<_> = needed.iter().filter(|(_, present)| !present).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(KernelError::MissingCapability { capabilities: missing.join(" and ") })
}

/// What the verifier lets do more, and what newer kernels show the caller's name to.
fn has_perfmon() -> bool {
    may(Capability::CAP_PERFMON)
}

/// Why bpf(2) is not allowed although the capabilities are there.
fn forbidden(operation: String, source: std::io::Error) -> KernelError {
    // In the machine's own user namespace, and only there, every id stands for itself (user_namespaces(7)).
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = ["0", "0", "4294967295"];
    if map.is_empty() || map.split_whitespace().eq(whole) {
        KernelError::Forbidden { operation, source }
    } else {
        KernelError::UserNamespace { operation, source }
    }
}

/// Whether bpf(2) sees a capability: `CAP_SYS_ADMIN` stands for each of its own.
pub fn may(capability: Capability) -> bool {
    holds(capability) || holds(Capability::CAP_SYS_ADMIN)
}

/// Below every level of the log.
const LOG_OFF: u8 = 0;
/// Signals do not come much faster than the verifier works, which takes some milliseconds.
const LOAD_ATTEMPTS: u32 = 32;
const LOG_MAP: &str = "AYA_LOGS";
/// The smallest ring buffer (one page; aya rounds it up where pages are larger).
const UNUSED_RING_BYTES: u32 = 4096;
/// Of all rings of events together: room for some 3500 SYNs. A power of two, so that its parts are.
const RINGS_BYTES: u32 = 1 << 20;
/// Of one ring at least: a page of any size.
const RING_BYTES: u32 = 1 << 16;
