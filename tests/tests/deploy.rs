// SPDX-License-Identifier: Apache-2.0
//! What `deploy/` tells people to grant is enough for everything that `run` does by default.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ambassador_tests::ambassador::binary;
use ambassador_tests::{Ambassador, Answer, FaultUpstream, Link};
use anyhow::{Context, Result, ensure};

/// What podman leaves a container; docker leaves it `NET_RAW`, too.
const CONTAINER: &str =
    "chown dac_override fowner fsetid kill net_bind_service setfcap setgid setpcap setuid sys_chroot";

fn read(path: &str) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned())
}

/// Runs curl as another user under ambassador with no other capabilities than these: without a word of warning.
fn check_enough(capabilities: &[String]) -> Result<()> {
    let link = Link::new()?;
    let _origin = FaultUpstream::start(&link.server, Link::v4(8080), |_| Answer::status(200).into())?;
    let bounds: Vec<String> = capabilities.iter().map(|name| format!("+{name}")).collect();
    let mut script = tempfile::Builder::new().prefix("ambassador-").suffix(".sh").tempfile()?;
    writeln!(
        script,
        "#!/bin/sh\nexec setpriv --bounding-set=-all,{} --inh-caps=-all -- {} \"$@\"",
        bounds.join(","),
        binary().display()
    )?;
    std::fs::set_permissions(script.path(), std::fs::Permissions::from_mode(0o755))?;
    let script = script.into_temp_path();
    let ambassador = Ambassador::run("--user nobody")?.program(script.to_path_buf());
    let url = Link::url(8080, "/");
    let finished = ambassador.output(&link.client, &["curl", "-sS", &url])?.expect_success()?;
    ensure!(finished.text() == "status 200\n", "{}{}", finished.text(), finished.errors());
    let errors = finished.errors();
    ensure!(!errors.contains("WARN") && errors.contains("1 request to 1 destination"), "{errors}");
    Ok(())
}

#[test]
fn the_service_is_granted_what_it_needs() -> Result<()> {
    let unit = read("deploy/ambassador.service")?;
    let granted = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let granted = granted.context("a bounding set")?.split(' ');
    let granted = granted.map(|name| name.trim_start_matches("CAP_").to_lowercase());
    check_enough(&granted.collect::<Vec<_>>())
}

#[test]
fn the_service_starts_what_the_readme_installs() -> Result<()> {
    let (unit, readme) = (read("deploy/ambassador.service")?, read("README.md")?);
    let directory =
        readme.lines().find_map(|line| line.strip_prefix("sudo install target/release/ambassador "));
    let program = format!("{}ambassador ", directory.context("the README installs it")?);
    for line in unit.lines().filter_map(|line| line.strip_prefix("ExecStart")) {
        ensure!(line.contains(&format!("={program}")), "{line}: not {program}");
    }
    Ok(())
}

#[test]
fn the_container_is_granted_what_it_needs() -> Result<()> {
    let file = read("deploy/Containerfile")?;
    let command = file.lines().find(|line| line.contains("docker run")).context("a command")?;
    let added = command.split("--cap-add ").skip(1).filter_map(|rest| rest.split(' ').next());
    let added = added.map(str::to_lowercase);
    check_enough(&CONTAINER.split(' ').map(str::to_owned).chain(added).collect::<Vec<_>>())
}
