// SPDX-License-Identifier: Apache-2.0
//! [`Namespace`]: one network namespace, held open.

use std::{
    fs::File,
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, setns};

use super::{NamespaceError, SocketFactory, cookie};

/// One network namespace. It exists at least as long as this does, so drop it when its pod is gone.
#[derive(Debug)]
pub struct Namespace {
    path: PathBuf,
    place: Place,
    cookie: u64,
}

/// How the namespace is reached.
#[derive(Debug)]
enum Place {
    /// It is the process's own.
    Here,
    /// It is entered through this file.
    Elsewhere(File),
}

impl Namespace {
    /// The namespace of the calling thread, which is taken for the process's own.
    pub fn current() -> Result<Self, NamespaceError> {
        let path = PathBuf::from(OWN);
        let cookie =
            cookie::current().map_err(|source| NamespaceError::Cookie { path: path.clone(), source })?;
        Ok(Self { path, place: Place::Here, cookie })
    }

    /// The namespace of a name of ip-netns(8), or of a file such as `/proc/PID/ns/net`. Unless it is the caller's own,
    /// entering it needs `CAP_SYS_ADMIN`.
    pub fn open(path: &Path) -> Result<Self, NamespaceError> {
        // What has no `/` is a name; it is joined to the directory, which leaves any path as it is that begins with one.
        let is_name = path.components().count() == 1;
        let path = if is_name { &Path::new(NAMED).join(path) } else { path };
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if is_name => NamespaceError::Unknown { path: path.to_owned() },
            _ => NamespaceError::Open { path: path.to_owned(), source },
        })?;
        let place = match is_own(&file) {
            Ok(true) => Place::Here,
            Ok(false) => Place::Elsewhere(file),
            Err(source) => return Err(NamespaceError::Open { path: path.to_owned(), source }),
        };
        let mut namespace = Self { path: path.to_owned(), place, cookie: 0 };
        namespace.cookie = namespace
            .run(cookie::current)?
            .map_err(|source| NamespaceError::Cookie { path: path.to_owned(), source })?;
        Ok(namespace)
    }

    /// What the kernel programs know the namespace by (`SO_NETNS_COOKIE`).
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Runs a closure inside the namespace and returns its result, most usefully sockets. In another namespace than
    /// the process's own it runs on a thread made for it.
    pub fn run<T, F>(&self, closure: F) -> Result<T, NamespaceError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let Some(entry) = self.entry()? else { return Ok(closure()) };
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || entry.enter().map(|()| closure()))
            .map_err(|source| self.thread_error(source))?;
        match thread.join() {
            Ok(result) => result.map_err(|source| self.enter_error(source)),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// A maker of sockets inside the namespace, for as long as it is kept. All that needs a capability happens here.
    pub fn into_sockets(self) -> Result<SocketFactory, NamespaceError> {
        SocketFactory::new(&self)
    }

    /// What a thread needs to enter the namespace; `None` when it is the process's own.
    pub(super) fn entry(&self) -> Result<Option<Entry>, NamespaceError> {
        match &self.place {
            Place::Here => Ok(None),
            Place::Elsewhere(file) => {
                let file = file.try_clone().map_err(|source| self.thread_error(source))?;
                Ok(Some(Entry(file)))
            }
        }
    }

    pub(super) fn thread_error(&self, source: io::Error) -> NamespaceError {
        NamespaceError::Thread { path: self.path.clone(), source }
    }

    pub(super) fn enter_error(&self, source: io::Error) -> NamespaceError {
        let path = self.path.clone();
        if source.raw_os_error() == Some(libc::EINVAL) {
            return NamespaceError::Other { path };
        }
        NamespaceError::Enter { path, source }
    }
}

/// The way into a foreign namespace.
pub(super) struct Entry(File);

impl Entry {
    /// Moves the calling thread, for the rest of its life.
    pub(super) fn enter(self) -> io::Result<()> {
        Ok(setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET)?)
    }
}

fn is_own(file: &File) -> io::Result<bool> {
    let (theirs, own) = (file.metadata()?, std::fs::metadata(OWN)?);
    Ok(theirs.dev() == own.dev() && theirs.ino() == own.ino())
}

/// Where ip-netns(8) keeps its names.
const NAMED: &str = "/run/netns";
const OWN: &str = "/proc/thread-self/ns/net";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_not_entered() {
        let current = Namespace::current().unwrap();
        let opened = Namespace::open(Path::new(OWN)).unwrap();
        assert_ne!(current.cookie(), 0);
        assert_eq!(current.cookie(), opened.cookie());
        assert!(matches!(opened.place, Place::Here));
        let caller = thread::current().id();
        assert!(opened.run(move || thread::current().id() == caller).unwrap());
    }

    #[test]
    fn a_file_that_is_no_namespace_is_an_error() {
        assert!(matches!(Namespace::open(Path::new("/dev/null")), Err(NamespaceError::Other { .. })));
        assert!(matches!(Namespace::open(Path::new("/nonexistent")), Err(NamespaceError::Open { .. })));
    }
}
