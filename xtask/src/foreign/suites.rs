// SPDX-License-Identifier: Apache-2.0
//! The suites: whose they are, and in which modes of ambassador they are run.

use anyhow::Result;

use super::program::Program;
use super::python::{self, Package};
use super::{curl, go, grpc, node};

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
    /// Of a package of Python.
    Package(Package),
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
            Of::Package(package) => package.program(),
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
    Suite { name: "http", modes: WITH_OFF, of: Of::Python(HTTP) },
    Suite { name: "sockets", modes: WITH_OFF, of: Of::Python(SOCKETS) },
    Suite { name: "tls", modes: WITH_OFF, of: Of::Python("test_ssl") },
    Suite { name: "asyncio", modes: WITH_OFF, of: Of::Python("test_asyncio") },
    Suite { name: "go-net", modes: BOTH, of: Of::Go("net", "Lookup|Resolver|DNS") },
    Suite { name: "go-http", modes: BOTH, of: Of::Go("net/http", "TestCmdGoNoHTTPServer") },
    Suite { name: "grpc-go", modes: BOTH, of: Of::Grpc },
    Suite { name: "curl", modes: BOTH, of: Of::Curl },
    Suite { name: "node-net", modes: BOTH, of: Of::Node(&["parallel/test-net-*", "sequential/test-net-*"]) },
    Suite { name: "node-http", modes: BOTH, of: Of::Node(NODE_HTTP) },
    Suite {
        name: "node-http2",
        modes: BOTH,
        of: Of::Node(&["parallel/test-http2-*", "sequential/test-http2-*"]),
    },
    Suite { name: "urllib3", modes: BOTH, of: Of::Package(URLLIB3) },
    Suite { name: "requests", modes: BOTH, of: Of::Package(REQUESTS) },
    Suite { name: "httpx", modes: BOTH, of: Of::Package(HTTPX) },
    Suite { name: "aiohttp", modes: BOTH, of: Of::Package(AIOHTTP) },
    Suite { name: "redis-py", modes: BOTH, of: Of::Package(REDIS) },
    Suite { name: "psycopg2", modes: BOTH, of: Of::Package(PSYCOPG2) },
    Suite { name: "pg8000", modes: BOTH, of: Of::Package(PG8000) },
    Suite { name: "pymysql", modes: BOTH, of: Of::Package(PYMYSQL) },
];

const URLLIB3: Package = Package {
    name: "urllib3",
    version: "2.8.0",
    sha256: "63bf2ead4c879426ebf22ef2a781eeb4aa3b4ae798a0435506f8687fd5bb9b63",
    plugins: "pytest_socket anyio",
    arguments: &[
        "test",
        "-m",
        "not requires_network and not integration",
        // What an earlier test has left open says nothing of the one during which it is found.
        "-W",
        "default::pytest.PytestUnraisableExceptionWarning",
    ],
    // With it, its longer time limits are such as a busy machine can keep.
    environment: &[("CI", "1")],
    server: "",
};

const REQUESTS: Package = Package {
    name: "requests",
    version: "2.34.2",
    sha256: "f288924cae4e29463698d6d60bc6a4da69c89185ad1e0bcc4104f584e960b9ed",
    plugins: "pytest_httpbin.plugin",
    arguments: &["tests"],
    environment: &[],
    server: "",
};

const HTTPX: Package = Package {
    name: "httpx",
    version: "0.28.1",
    sha256: "75e98c5f16b0f35b567856f597f06ff2270a374470a5c2392242528e3e3e42fc",
    plugins: "anyio",
    arguments: &["tests", "-m", "not network"],
    environment: &[],
    server: "",
};

/// The tests of its client, against servers of its own.
const AIOHTTP: Package = Package {
    name: "aiohttp",
    version: "3.14.5",
    sha256: "5558a7f5a05af9ecf744af91e5baefc436f93c9333e656c27ec253f9a6bbe178",
    plugins: "pytest_mock pytest_codspeed",
    arguments: &[
        "tests/test_client_functional.py",
        "tests/test_client_ws_functional.py",
        "tests/test_connector.py",
        "tests/test_proxy_functional.py",
        "tests/test_web_functional.py",
        "tests/test_web_sendfile_functional.py",
        "-o",
        "addopts=",
    ],
    // The source tree has no compiled parts; the installed package has.
    environment: &[("PYTHONSAFEPATH", "1")],
    server: "",
};

const REDIS: Package = Package {
    name: "redis",
    version: "8.1.0",
    sha256: "6e1a19beef9225c83efd689c7e6b7da2d5215b1f42cd13b7fc3714d0a09c7b25",
    plugins: "pytest_asyncio.plugin",
    arguments: &[
        "tests",
        "--ignore=tests/test_scenario",
        "--ignore=tests/test_http",
        "--ignore=tests/maint_notifications",
        "--ignore=tests/test_multidb",
        // Their packages are not needed for anything else.
        "--ignore=tests/test_observability",
        "--ignore=tests/test_credentials.py",
        "--ignore=tests/test_asyncio/test_credentials.py",
        "-m",
        "not onlycluster and not redismod and not ssl and not graph and not replica",
        "-k",
        "not sentinel and not cluster",
    ],
    environment: &[],
    server: REDIS_SERVER,
};

const PSYCOPG2: Package = Package {
    name: "psycopg2",
    version: "2.9.13",
    sha256: "d36784fc2dae69523ba4b79c7d1d1b4d6e83e87836874f111262f4db940b16a6",
    plugins: "",
    arguments: &["tests"],
    environment: &[
        ("PSYCOPG2_TESTDB", "postgres"),
        ("PSYCOPG2_TESTDB_HOST", "127.0.0.1"),
        ("PSYCOPG2_TESTDB_USER", "postgres"),
    ],
    server: POSTGRES_SERVER,
};

const PG8000: Package = Package {
    name: "pg8000",
    version: "1.31.6",
    sha256: "553b240256d4b2d8f0ad2af28d07df1f9980247f74ac98d2c2b573762ec1ff1b",
    plugins: "pytest_benchmark.plugin pytest_mock",
    arguments: &["test", "--ignore=test/test_readme.py", "--benchmark-disable"],
    environment: &[("PGHOST", "127.0.0.1")],
    server: POSTGRES_SERVER,
};

/// The last version whose source distribution has its tests.
const PYMYSQL: Package = Package {
    name: "PyMySQL",
    version: "0.10.1",
    sha256: "263040d2779a3b84930f7ac9da5132be0fefcd6f453a885756656103f8ee1fdd",
    plugins: "",
    arguments: &["pymysql/tests"],
    environment: &[],
    server: MARIADB_SERVER,
};

const REDIS_SERVER: &str = "
redis-server --save '' --dir /tmp > /dev/null &
server=$!
until redis-cli ping > /dev/null; do sleep 0.1; done
";

const POSTGRES_SERVER: &str = "
data=$(mktemp -d)
chown postgres \"$data\"
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
runuser -u postgres -- \"$bin/initdb\" --auth=trust --no-sync --username=postgres -D \"$data/db\" > /dev/null
setpriv --reuid=postgres --regid=postgres --init-groups \"$bin/postgres\" -D \"$data/db\" -k \"$data\" -c fsync=off &
server=$!
trap 'rm -rf \"$data\"' EXIT
until \"$bin/pg_isready\" -q -h 127.0.0.1; do sleep 0.1; done
";

const MARIADB_SERVER: &str = "
data=$(mktemp -d)
trap 'rm -rf \"$data\"' EXIT
mariadb-install-db --no-defaults --auth-root-authentication-method=normal --user=root --datadir=\"$data/db\" > /dev/null
mariadbd --no-defaults --user=root --datadir=\"$data/db\" --socket=\"$data/socket\" --bind-address=127.0.0.1 &
server=$!
ask() { mariadb --no-defaults --user=root --socket=\"$data/socket\" --execute=\"$1\"; }
until ask 'CREATE DATABASE test1'; do sleep 0.1; done
ask 'CREATE DATABASE test2'
";
