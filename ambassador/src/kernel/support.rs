// SPDX-License-Identifier: Apache-2.0
//! Which kernels are supported, and how well.
//!
//! The version is asked before anything is tried, because an older kernel answers what it does not know with EINVAL.

use nix::sys::utsname::uname;

use super::KernelError;

/// How well a kernel is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// From 6.1 on: everything.
    Full,
    /// From 5.15 on: refusals show EPERM.
    Basic,
}

/// The running kernel's release, and how well it is supported; an error below the floor.
pub fn support() -> Result<(String, Support), KernelError> {
    let release = match uname() {
        Ok(names) => names.release().to_string_lossy().into_owned(),
        Err(_) => String::new(),
    };
    support_of(&release).map(|support| (release, support))
}

fn support_of(release: &str) -> Result<Support, KernelError> {
    match parse_version(release) {
        None => Err(KernelError::UnknownKernel { release: release.to_owned() }),
        Some(version) if version < MIN_VERSION => {
            Err(KernelError::KernelTooOld { found: release.to_owned() })
        }
        Some(version) if version < FULL_VERSION => Ok(Support::Basic),
        Some(_) => Ok(Support::Full),
    }
}

/// The `major, minor` of a release such as `6.1.0-44-cloud-amd64`.
fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The netns cookie in `sock_ops` programs.
const MIN_VERSION: (u32, u32) = (5, 15);
/// `bpf_set_retval` in connect hooks, and map operations without a capability.
const FULL_VERSION: (u32, u32) = (6, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_below_the_floor_are_refused() {
        for (release, support) in [
            ("7.2.13+deb14-cloud-amd64", Some(Support::Full)),
            ("6.1.0-50-cloud-amd64", Some(Support::Full)),
            ("6.0.0", Some(Support::Basic)),
            ("5.15.0-1", Some(Support::Basic)),
            ("5.14.21", None),
            ("5.10.0-32-cloud-amd64", None),
            ("4.19", None),
        ] {
            match support_of(release) {
                Err(KernelError::KernelTooOld { found }) => {
                    assert_eq!((found.as_str(), support), (release, None));
                }
                other => assert_eq!(other.ok(), support, "{release}"),
            }
        }
        assert!(matches!(support_of("six"), Err(KernelError::UnknownKernel { .. })));
    }

    #[test]
    fn kernel_releases_are_parsed() {
        for (release, version) in [
            ("6.1.0-44-cloud-amd64", Some((6, 1))),
            ("5.15.167.4-microsoft-standard-WSL2", Some((5, 15))),
            ("7.0-rc1", Some((7, 0))),
            ("six", None),
            ("", None),
        ] {
            assert_eq!(parse_version(release), version, "{release}");
        }
    }
}
