// SPDX-License-Identifier: Apache-2.0
//! Whom CMD runs as.

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist};
use thiserror::Error;

/// A user that CMD is to run as.
#[derive(Clone, Debug)]
pub struct RunAs {
    /// Its uid.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
    /// All of its groups.
    pub groups: Vec<Gid>,
    /// Its name, for `USER` and `LOGNAME`.
    pub name: String,
    /// Its home, for `HOME`.
    pub home: std::path::PathBuf,
}

/// A user that CMD cannot be run as.
#[derive(Debug, Error)]
pub enum UserError {
    /// No such user.
    #[error("there is no user `{0}` on this system (--user takes a name or a uid)")]
    Unknown(String),
    /// Only root may change users.
    #[error("only root may run CMD as another user: leave out --user, or use sudo")]
    NotRoot,
    /// The user database could not be read.
    #[error("cannot look up the user `{name}`")]
    Lookup {
        /// The name or uid.
        name: String,
        /// What the system said.
        #[source]
        source: nix::Error,
    },
}

impl RunAs {
    /// Resolves `--user`; without it the caller of sudo (`sudo_uid` is `$SUDO_UID`), or `None`: as this process.
    pub fn resolve(flag: Option<&str>, sudo_uid: Option<&str>) -> Result<Option<Self>, UserError> {
        let Some(wanted) = flag.or(sudo_uid) else { return Ok(None) };
        let lookup = |source| UserError::Lookup { name: wanted.to_owned(), source };
        let by_name = User::from_name(wanted).map_err(lookup)?;
        let user = match (by_name, wanted.parse::<u32>()) {
            (Some(user), _) => user,
            (None, Ok(uid)) => User::from_uid(Uid::from_raw(uid))
                .map_err(lookup)?
                .ok_or_else(|| UserError::Unknown(wanted.to_owned()))?,
            (None, Err(_)) => return Err(UserError::Unknown(wanted.to_owned())),
        };
        if user.uid == geteuid() {
            return Ok(None);
        }
        if !geteuid().is_root() {
            // sudo's variables may be inherited by a process that is root no longer: then there is nothing to drop.
            return if flag.is_some() { Err(UserError::NotRoot) } else { Ok(None) };
        }
        let name = CString::new(user.name.clone()).map_err(|_| UserError::Unknown(wanted.to_owned()))?;
        let groups = getgrouplist(&name, user.gid).map_err(lookup)?;
        Ok(Some(Self { uid: user.uid, gid: user.gid, groups, name: user.name, home: user.dir }))
    }
}
