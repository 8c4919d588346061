// SPDX-License-Identifier: Apache-2.0
//! The suites: whose they are, and in which modes of ambassador they are run.

use anyhow::Result;

use super::package::Package;
use super::program::Program;
use super::{curl, go, grpc, node, python};

/// A suite.
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// Options of ambassador.
    pub(super) modes: &'static [&'static str],
    of: Of,
}

/// Whose it is.
enum Of {
    /// Python's own tests, by module.
    Python(&'static str),
    /// Of the package of Python of this name.
    Package(&'static str),
    /// Of a package of Go, without some tests.
    Go(&'static str, &'static str),
    /// Of gRPC for Go.
    Grpc,
    /// Curl's.
    Curl,
    /// Node's, by the patterns of their names.
    Node(&'static [&'static str]),
}

impl Suite {
    /// Fetches what lacks.
    pub(super) fn program(&self) -> Result<Program> {
        match &self.of {
            Of::Python(modules) => python::own(modules),
            Of::Package(name) => Package::of(name)?.program(),
            Of::Go(package, without) => go::program(package, without),
            Of::Grpc => grpc::program(),
            Of::Curl => curl::program(),
            Of::Node(patterns) => node::program(patterns),
        }
    }
}

/// The breaker counts, but stays closed: tests that let a server fail often mean to reach it.
const POLICY: &str = "--retry 3 --timeout 30s --breaker 1000";
const BOTH: &[&str] = &["", POLICY];
const WITH_OFF: &[&str] = &["", "--mode off", POLICY];

const HTTP: &str = "test_httplib test_httpservers test_urllib test_urllib2 test_urllib2_localnet test_xmlrpc test_docxmlrpc \
     test_ftplib test_smtplib test_poplib test_imaplib test_wsgiref test_robotparser";
const SOCKETS: &str =
    "test_socket test_socketserver test_select test_selectors test_epoll test_poll test_logging";

const NODE_HTTP: &[&str] =
    &["parallel/test-http-*", "parallel/test-https-*", "sequential/test-http-*", "sequential/test-https-*"];

/// All of them.
pub(super) const SUITES: &[Suite] = &[
    suite("http", WITH_OFF, Of::Python(HTTP)),
    suite("sockets", WITH_OFF, Of::Python(SOCKETS)),
    suite("tls", WITH_OFF, Of::Python("test_ssl")),
    suite("asyncio", WITH_OFF, Of::Python("test_asyncio")),
    suite("go-net", BOTH, Of::Go("net", "Lookup|Resolver|DNS")),
    suite("go-http", BOTH, Of::Go("net/http", "TestCmdGoNoHTTPServer")),
    suite("grpc-go", BOTH, Of::Grpc),
    suite("curl", BOTH, Of::Curl),
    suite("node-net", BOTH, Of::Node(&["parallel/test-net-*", "sequential/test-net-*"])),
    suite("node-http", BOTH, Of::Node(NODE_HTTP)),
    suite("node-http2", BOTH, Of::Node(&["parallel/test-http2-*", "sequential/test-http2-*"])),
    suite("urllib3", BOTH, Of::Package("urllib3")),
    suite("requests", BOTH, Of::Package("requests")),
    suite("httpx", BOTH, Of::Package("httpx")),
    suite("aiohttp", BOTH, Of::Package("aiohttp")),
    suite("redis-py", BOTH, Of::Package("redis")),
    suite("psycopg2", BOTH, Of::Package("psycopg2")),
    suite("pg8000", BOTH, Of::Package("pg8000")),
    suite("pymysql", BOTH, Of::Package("PyMySQL")),
];

const fn suite(name: &'static str, modes: &'static [&'static str], of: Of) -> Suite {
    Suite { name, modes, of }
}
