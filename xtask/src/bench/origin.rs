// SPDX-License-Identifier: Apache-2.0
//! The origin of the HTTP scenarios: Debian's nginx with a small reply, in the namespace of the servers.

use std::fs;

use ambassador_tests::{Namespace, Process};
use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::page::page;
use super::station::ready;

/// A running origin.
pub(crate) struct Origin {
    // Dropped in this order: the server before its directory.
    _process: Process,
    _files: TempDir,
}

impl Origin {
    /// The port of HTTP/1.1.
    pub(crate) const HTTP: u16 = 8080;
    /// The port of HTTP/2 with prior knowledge.
    pub(crate) const HTTP2: u16 = 8081;

    /// Starts it, and waits until it answers.
    pub(crate) fn start(namespace: &Namespace) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("ambassador-bench-").tempdir()?;
        let root = files.path().display().to_string();
        let path = files.path().join("nginx.conf");
        fs::write(&path, CONFIGURATION.replace("ROOT", &root)).context("write the configuration of nginx")?;
        let mut command = namespace.command("nginx");
        let mut process = Process::spawn(command.arg("-c").arg(path).args(["-p", &root]))?;
        ready("nginx as the origin", &mut process, || page(namespace, Self::HTTP, "/").is_ok())?;
        Ok(Self { _process: process, _files: files })
    }
}

const CONFIGURATION: &str = "\
daemon off; user root; pid ROOT/nginx.pid; error_log stderr; worker_processes 2; worker_rlimit_nofile 20000;
events { worker_connections 8192; }
http {
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; http2_max_concurrent_streams 1000;
    client_body_temp_path ROOT/body; proxy_temp_path ROOT/proxy; fastcgi_temp_path ROOT/fastcgi;
    uwsgi_temp_path ROOT/uwsgi; scgi_temp_path ROOT/scgi;
    server { listen 8080 backlog=4096; listen 8081 http2; location / { return 200 \"hello from the origin\\n\"; } }
}
";
