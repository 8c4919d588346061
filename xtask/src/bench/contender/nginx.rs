// SPDX-License-Identifier: Apache-2.0
//! nginx as a proxy: one configured server, `proxy_next_upstream`, `max_conns`, `max_fails`. It does not speak HTTP/2
//! to servers.

use std::ffi::OsString;

use super::{COUNTERS as PORT, LISTEN};
use crate::bench::world::{Place, Service};

/// The page of its counters.
pub(super) const COUNTERS: &str = "/counters";

/// Its command line, but for the configuration.
pub(super) fn command() -> Vec<OsString> {
    ["nginx", "-c"].map(OsString::from).to_vec()
}

/// Its configuration for `place`.
pub(super) fn configuration(place: &Place) -> String {
    let destination = place.destination;
    let server = format!("server {destination} max_conns=8000 max_fails=5 fail_timeout=30s;");
    let (module, stream, http) = match place.service {
        Service::Http1 | Service::Http2 => ("", String::new(), HTTP.replace("SERVER", &server)),
        Service::Tcp(_) | Service::Excluded => (MODULE, STREAM.replace("SERVER", &server), String::new()),
    };
    format!(
        "{module}daemon off; user root nogroup; pid ROOT/nginx.pid; error_log stderr crit; worker_processes 2;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
    client_body_temp_path ROOT/body; proxy_temp_path ROOT/proxy; fastcgi_temp_path ROOT/fastcgi;
    uwsgi_temp_path ROOT/uwsgi; scgi_temp_path ROOT/scgi;
    server {{ listen 127.0.0.1:{PORT}; location / {{ stub_status; }} }}
{http}}}
{stream}"
    )
    .replace("LISTEN", &LISTEN.to_string())
}

/// Requests, or connections. Those for this page count, too.
pub(super) fn counted(page: &str, service: Service) -> Option<f64> {
    let mut lines = page.lines().skip_while(|line| !line.starts_with("server accepts"));
    let mut numbers = lines.nth(1)?.split_whitespace();
    let index = match service {
        Service::Http1 | Service::Http2 => 2,
        Service::Tcp(_) | Service::Excluded => 0,
    };
    numbers.nth(index)?.parse().ok()
}

const MODULE: &str = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n";
const HTTP: &str = "    upstream origin { SERVER keepalive 256; keepalive_requests 1000000000; }
    server {
        listen LISTEN backlog=4096;
        location / {
            proxy_pass http://origin; proxy_http_version 1.1;
            proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
            proxy_next_upstream error timeout http_502 http_503 http_504; proxy_next_upstream_tries 4;
            proxy_connect_timeout 1s; proxy_read_timeout 5s;
        }
    }
";
const STREAM: &str = "stream {
    upstream origin { SERVER }
    server { listen LISTEN backlog=4096; proxy_pass origin; proxy_connect_timeout 1s; proxy_next_upstream_tries 3; }
}
";
