// SPDX-License-Identifier: Apache-2.0
//! Debian's PostgreSQL, psql and pgbench see no difference under ambassador, plain and with TLS.

use ambassador_tests::{Ambassador, Link, Postgres};
use anyhow::{Result, ensure};

fn start() -> Result<(Link, Postgres)> {
    let link = Link::new()?;
    let postgres = Postgres::start(&link.server)?;
    Ok((link, postgres))
}

fn check_psql(link: &Link, options: &str, script: &str) -> Result<String> {
    let url = Postgres::url(options);
    let psql = ["psql", "-X", "-At", &url];
    let under =
        Ambassador::run("")?.check_like_direct(&link.client, &psql, script.as_bytes())?.expect_success()?;
    Ok(under.text())
}

const SCRIPT: &str = "create temp table t as select n, md5(n::text) as hash from generate_series(1, 50000) n;
select count(*), md5(string_agg(hash, '' order by n)) from t;
copy (select * from t order by n) to stdout;
select 1 / 0;
select length(repeat('x', 5000000));
";

#[test]
fn psql_is_equal_without_tls() -> Result<()> {
    let (link, _postgres) = start()?;
    check_psql(&link, "sslmode=disable", SCRIPT)?;
    Ok(())
}

#[test]
fn psql_is_equal_with_verified_tls() -> Result<()> {
    let (link, postgres) = start()?;
    let options = format!("sslmode=verify-full sslrootcert={}", postgres.certificate().display());
    check_psql(&link, &options, SCRIPT)?;
    let encrypted =
        check_psql(&link, &options, "select ssl from pg_stat_ssl where pid = pg_backend_pid();\n")?;
    ensure!(encrypted.trim() == "t", "{encrypted:?}");
    Ok(())
}

#[test]
fn pgbench_runs_through_without_a_failed_transaction() -> Result<()> {
    let (link, _postgres) = start()?;
    for mode in ["disable", "require"] {
        let url = Postgres::url(&format!("sslmode={mode}"));
        let ambassador = Ambassador::run("")?;
        ambassador.output(&link.client, &["pgbench", "-i", "-q", "-s", "1", &url])?.expect_success()?;
        let run = ["pgbench", "-n", "-c", "4", "-j", "2", "-t", "200", &url];
        let under = ambassador.output(&link.client, &run)?.expect_success()?;
        ensure!(under.text().contains("actually processed: 800/800"), "{mode}: {}", under.text());
        let reconnecting = ["pgbench", "-n", "-S", "-C", "-c", "4", "-t", "25", &url];
        let under = ambassador.output(&link.client, &reconnecting)?.expect_success()?;
        ensure!(under.text().contains("actually processed: 100/100"), "{mode}: {}", under.text());
    }
    Ok(())
}
