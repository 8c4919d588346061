// SPDX-License-Identifier: Apache-2.0
//! Debian's nginx and curl see no difference between a direct run and one under ambassador.

use ambassador_tests::ambassador::LONG;
use ambassador_tests::{Ambassador, Link, Nginx, Process, summary};
use anyhow::{Result, ensure};

/// Runs curl with `arguments` (and the URLs in them) directly and under ambassador; stdout must be equal.
fn check(link: &Link, arguments: &[&str]) -> Result<()> {
    let ambassador = Ambassador::run("")?;
    let curl = [&["curl", "-sS", "-m", "60"], arguments].concat();
    ambassador.check_like_direct(&link.client, &curl, b"")?.expect_success()?;
    Ok(())
}

fn start() -> Result<(Link, Nginx)> {
    let link = Link::new()?;
    let nginx = Nginx::start(&link.server)?;
    Ok((link, nginx))
}

const SHOWN: &str = "%{http_code} %{http_version} %{num_connects} %{size_header} %{size_download} %header{server} \
     %header{etag} %header{x-seen} %header{content-type} %header{content-length} %header{connection}\n";

fn noise(length: usize) -> Vec<u8> {
    // A linear congruence: no period that a buffer size divides.
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(1), next).map(|state| state.to_be_bytes()[0]).take(length).collect()
}

#[test]
fn files_of_every_size_are_equal() -> Result<()> {
    let (link, nginx) = start()?;
    for (name, length) in [("empty", 0), ("one", 1), ("page", 4096), ("odd", 65_537), ("large", 8 << 20)] {
        nginx.add_file(name, &noise(length))?;
        check(&link, &[&Link::url(Nginx::HTTP, &format!("/files/{name}"))])?;
    }
    Ok(())
}

#[test]
fn statuses_and_headers_are_equal() -> Result<()> {
    let (link, nginx) = start()?;
    nginx.add_file("page", &noise(4096))?;
    let url = |path: &str| Link::url(Nginx::HTTP, path);
    // Everything but the Date header, which differs between two runs.
    let shown = ["-o", "/dev/null", "-w", SHOWN];
    for arguments in [
        vec![url("/status")],
        vec![url("/gone")],
        vec![url("/missing")],
        vec!["-I".to_owned(), url("/files/page")],
        vec!["-r".to_owned(), "10-99".to_owned(), url("/files/page")],
        vec!["-H".to_owned(), "X-CaSe: KePt".to_owned(), url("/seen")],
        vec!["-H".to_owned(), "Host: other.example".to_owned(), url("/seen")],
        vec!["-X".to_owned(), "OPTIONS".to_owned(), url("/seen")],
        vec!["-0".to_owned(), url("/seen")],
        vec!["-H".to_owned(), "Connection: close".to_owned(), url("/seen")],
        vec!["--compressed".to_owned(), url("/files/page")],
        vec![format!("http://{}/status", Link::v6(Nginx::HTTP))],
    ] {
        let words: Vec<&str> = shown.into_iter().chain(arguments.iter().map(String::as_str)).collect();
        check(&link, &words)?;
    }
    Ok(())
}

#[test]
fn uploads_arrive_whole() -> Result<()> {
    let (link, nginx) = start()?;
    let content = noise(3 << 20);
    // With a length and `Expect: 100-continue`, then in chunks.
    for (name, header) in [("sized", "Expect: 100-continue"), ("chunked", "Transfer-Encoding: chunked")] {
        let url = Link::url(Nginx::HTTP, &format!("/files/{name}"));
        let curl = ["curl", "-sS", "-m", "60", "-w", "%{http_code}", "-H", header, "-T", "-", &url];
        let sized = [
            "curl",
            "-sS",
            "-m",
            "60",
            "-w",
            "%{http_code}",
            "-H",
            header,
            "--data-binary",
            "@-",
            "-X",
            "PUT",
            &url,
        ];
        let program = if name == "sized" { &sized[..] } else { &curl[..] };
        let ambassador = Ambassador::run("")?;
        let mut command = ambassador.command(&link.client, program);
        let put = Process::run_with_input(&mut command, &content, LONG)?.expect_success()?;
        ensure!(put.text() == "201", "{name}: {}", put.text());
        ensure!(nginx.file(name)? == content, "{name}: the uploaded file differs");
    }
    Ok(())
}

#[test]
fn a_thousand_requests_of_one_connection_are_equal() -> Result<()> {
    let (link, _nginx) = start()?;
    check(&link, &["-w", "%{http_code} %{num_connects}\n", &Link::url(Nginx::HTTP, "/status?[1-1000]")])
}

#[test]
fn parallel_requests_all_succeed() -> Result<()> {
    let (link, _nginx) = start()?;
    check(&link, &["-Z", "--parallel-max", "50", &Link::url(Nginx::HTTP, "/status?[1-500]")])
}

#[test]
fn http2_with_prior_knowledge_is_equal() -> Result<()> {
    let (link, nginx) = start()?;
    nginx.add_file("large", &noise(4 << 20))?;
    let url = |path: &str| Link::url(Nginx::HTTP2, path);
    check(&link, &["--http2-prior-knowledge", &url("/files/large")])?;
    let shown = ["-o", "/dev/null", "-w", "%{http_code} %{http_version} %header{x-seen}\n"];
    check(&link, &[&["--http2-prior-knowledge"], &shown[..], &[&url("/seen")]].concat())?;
    check(&link, &["--http2-prior-knowledge", &url("/gone")])?;
    // One request each: this curl (7.88.1) fails on a connection that it uses again, directly too.
    for arguments in [
        vec!["-I".to_owned(), url("/files/large")],
        vec!["-r".to_owned(), "10-99999".to_owned(), url("/files/large")],
        vec![
            "-H".to_owned(),
            "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT".to_owned(),
            url("/files/large"),
        ],
        vec!["-X".to_owned(), "OPTIONS".to_owned(), url("/seen")],
        vec!["-w".to_owned(), SHOWN.to_owned(), "-o".to_owned(), "/dev/null".to_owned(), url("/seen")],
    ] {
        let words: Vec<&str> =
            ["--http2-prior-knowledge"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let words: Vec<&str> = if words.contains(&"-I") {
            // Everything but the Date header, which differs between two runs.
            [&words[..], &["-o", "/dev/null", "-w", SHOWN]].concat()
        } else {
            words
        };
        check(&link, &words)?;
    }
    Ok(())
}

#[test]
fn an_upload_over_http2_arrives_whole() -> Result<()> {
    let (link, nginx) = start()?;
    let content = noise(8 << 20);
    let url = Link::url(Nginx::HTTP2, "/files/sent");
    let ambassador = Ambassador::run("-q")?;
    let curl =
        ["curl", "-sS", "-m", "60", "--http2-prior-knowledge", "-w", "%{http_code}", "-T", "-", url.as_str()];
    let mut command = ambassador.command(&link.client, &curl);
    let put = Process::run_with_input(&mut command, &content, LONG)?.expect_success()?;
    ensure!(put.text() == "201" && nginx.file("sent")? == content, "{}", put.text());
    Ok(())
}

/// nghttp is a library of its own: it uses priorities, and windows that it changes while it runs.
#[test]
fn nghttp_gets_what_it_gets_directly() -> Result<()> {
    let (link, nginx) = start()?;
    nginx.add_file("large", &noise(8 << 20))?;
    let large = Link::url(Nginx::HTTP2, "/files/large");
    let ambassador = Ambassador::run("-q")?;
    for options in [&[][..], &["-w", "14", "-W", "14"], &["-w", "24", "-W", "24"], &["--no-dep", "-p", "7"]] {
        let program = [&["nghttp"], options, &[large.as_str()]].concat();
        ambassador.check_like_direct(&link.client, &program, b"")?.expect_success()?;
    }
    Ok(())
}

#[test]
fn two_hundred_streams_on_each_connection_all_succeed() -> Result<()> {
    let (link, _nginx) = start()?;
    let ambassador = Ambassador::run("-q")?;
    let h2load = ["h2load", "-n", "2000", "-c", "2", "-m", "200", &Link::url(Nginx::HTTP2, "/status")];
    let under = ambassador.output(&link.client, &h2load)?.expect_success()?;
    ensure!(under.text().contains("2000 succeeded, 0 failed, 0 errored"), "{}", under.text());
    Ok(())
}

#[test]
fn concurrent_streams_of_http2_all_succeed() -> Result<()> {
    let (link, _nginx) = start()?;
    let ambassador = Ambassador::run("-o json")?;
    let h2load = ["h2load", "-n", "1000", "-c", "4", "-m", "20", &Link::url(Nginx::HTTP2, "/status")];
    let under = ambassador.output(&link.client, &h2load)?.expect_success()?;
    ensure!(under.text().contains("1000 succeeded, 0 failed, 0 errored"), "{}", under.text());
    let destination = summary::destination(&under.errors(), &Link::v4(Nginx::HTTP2).to_string())?;
    ensure!(destination.count("requests")? == 1000, "{destination:?}");
    Ok(())
}

#[test]
fn https_passes_untouched() -> Result<()> {
    let (link, nginx) = start()?;
    nginx.add_file("large", &noise(4 << 20))?;
    let resolve = format!("{}:{}:{}", Nginx::NAME, Nginx::TLS, Link::SERVER_V4);
    let url = format!("https://{}:{}/files/large", Nginx::NAME, Nginx::TLS);
    for version in ["--http1.1", "--http2"] {
        check(&link, &["-k", version, "--resolve", &resolve, &url])?;
    }
    Ok(())
}

#[test]
fn every_request_is_in_the_summary() -> Result<()> {
    let (link, _nginx) = start()?;
    let ambassador = Ambassador::run("-o json")?;
    let url = Link::url(Nginx::HTTP, "/status?[1-20]");
    let curl = ambassador.output(&link.client, &["curl", "-sS", &url])?.expect_success()?;
    let destination = summary::destination(&curl.errors(), &Link::v4(Nginx::HTTP).to_string())?;
    ensure!(destination.count("requests")? == 20 && destination.count("failures")? == 0, "{destination:?}");
    ensure!(destination.count("bytes_received")? > 20 * 100, "{destination:?}");
    ensure!(destination.milliseconds("p99_ms").is_some_and(|p99| p99 > 0.0), "{destination:?}");
    Ok(())
}
