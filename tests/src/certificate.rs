// SPDX-License-Identifier: Apache-2.0
//! A self-signed certificate made by `openssl` for the tests of a TLS server.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::Process;

/// A key and its certificate as PEM files in the directory of a server.
#[derive(Debug)]
pub struct Certificate {
    /// The private key, readable by its owner only.
    pub key: PathBuf,
    /// The certificate, which is its own authority.
    pub certificate: PathBuf,
}

impl Certificate {
    /// Makes a certificate for the DNS name `name`.
    pub fn make(directory: &Path, name: &str) -> Result<Self> {
        let pair = Self { key: directory.join("server.key"), certificate: directory.join("server.crt") };
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ]);
        openssl.args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")]);
        openssl.arg("-keyout").arg(&pair.key).arg("-out").arg(&pair.certificate);
        Process::run(&mut openssl, Duration::from_secs(30))?.expect_success()?;
        std::fs::set_permissions(&pair.key, std::fs::Permissions::from_mode(0o600))?;
        Ok(pair)
    }
}
