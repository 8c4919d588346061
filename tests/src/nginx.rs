// SPDX-License-Identifier: Apache-2.0
//! Debian's nginx as an origin: files, uploads, HTTP/1.1, HTTP/2 with prior knowledge, TLS.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::link::Link;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::wait;

/// A running nginx on its own configuration, in the foreground, without the machine's service.
#[derive(Debug)]
pub struct Nginx {
    // Dropped in this order: the server before its directory.
    _process: Process,
    directory: TempDir,
}

impl Nginx {
    /// The port of HTTP/1.1.
    pub const HTTP: u16 = 8080;
    /// The port of HTTP/2 without TLS (prior knowledge).
    pub const HTTP2: u16 = 8081;
    /// The port of TLS with ALPN for both.
    pub const TLS: u16 = 8443;
    /// The name in its certificate.
    pub const NAME: &str = "nginx.example";

    /// Starts it in `namespace`, and waits until it answers.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("ambassador-nginx-").tempdir()?;
        let root = directory.path();
        fs::create_dir(root.join("files"))?;
        Certificate::make(root, Self::NAME)?;
        fs::write(root.join("nginx.conf"), configuration(root))?;
        let mut command = namespace.command("nginx");
        command.arg("-c").arg(root.join("nginx.conf")).arg("-p").arg(root);
        let process = Process::spawn(&mut command)?;
        let probe = || -> Command {
            let mut curl = namespace.command("curl");
            curl.args(["-sf", "-o", "/dev/null", "-m", "1", &Link::url(Self::HTTP, "/status")]);
            curl
        };
        wait::until_true("answer of nginx", Duration::from_secs(10), || {
            Process::run(&mut probe(), Duration::from_secs(5)).is_ok_and(|curl| curl.code() == Some(0))
        })
        .with_context(|| process.stderr())?;
        Ok(Self { _process: process, directory })
    }

    /// Serves `content` at `/files/NAME`.
    pub fn add_file(&self, name: &str, content: &[u8]) -> Result<()> {
        fs::write(self.directory.path().join("files").join(name), content).context("write a served file")
    }

    /// What was uploaded to `/files/NAME`.
    pub fn file(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.directory.path().join("files").join(name)).with_context(|| format!("read {name}"))
    }
}

fn configuration(root: &Path) -> String {
    let root = root.display();
    let (http, http2, tls) = (Nginx::HTTP, Nginx::HTTP2, Nginx::TLS);
    format!(
        "daemon off; user root; pid {root}/nginx.pid; error_log stderr; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off; default_type application/octet-stream; client_max_body_size 100m;
    client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi; keepalive_requests 100000;
    server {{
        listen {http}; listen [::]:{http}; listen {http2} http2; listen {tls} ssl http2;
        ssl_certificate {root}/server.crt; ssl_certificate_key {root}/server.key;
        location = /status {{ return 200 \"ok\\n\"; }}
        location = /gone {{ return 410 \"gone\\n\"; }}
        location = /seen {{ add_header X-Seen \"$request_method $http_host $http_x_case $server_protocol\"; return 204; }}
        location /files/ {{ root {root}; dav_methods PUT DELETE; gzip on; gzip_types *; }}
    }}
}}
"
    )
}
