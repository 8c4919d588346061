// SPDX-License-Identifier: Apache-2.0
//! One `ambassador run`, from its first system call to the last.

use std::{ffi::OsString, io, path::PathBuf, sync::Arc, thread::available_parallelism};

use caps::Capability;
use thiserror::Error;

use self::{
    chores::Chores,
    supervision::{ended_early, serve_orphans, supervise},
};
use super::{
    interception::Interception,
    open_files::{self, TooFewOpenFiles},
    proxy::Proxy,
    proxy_down::ProxyDown,
    self_test::{SelfTest, SelfTestError},
};
use crate::{
    config::settings::Config,
    host::{
        caller_signals::CallerSignals,
        cgroup::{CgroupError, RunCgroups},
        command::{self, CommandSpec, LaunchError, Launcher},
        confinement,
        privileges::{self, PrivilegeError},
        signals::{self, Signals},
        user::{RunAs, UserError},
    },
    kernel::KernelError,
    netns::NamespaceError,
    policy::{eager, facts::Names},
    telemetry::{
        Telemetry, TelemetryError,
        readiness::{Phase, Readiness},
    },
};

mod chores;
mod sinks;
mod supervision;

pub use sinks::kernel_counters;

/// What `run` was asked for.
pub struct RunOptions {
    /// The compiled configuration, command line included.
    pub config: Config,
    /// CMD and its arguments.
    pub command: Vec<OsString>,
    /// `--user`.
    pub user: Option<String>,
    /// `--netns`.
    pub namespaces: Vec<PathBuf>,
    /// No line per request, no summary.
    pub quiet: bool,
    /// Lines and summary as JSON.
    pub json: bool,
}

/// Why a run did not happen, or ended early.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "each variant is the error of the module that it names")]
pub enum AppError {
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("cannot use the network namespace")]
    Namespace(#[source] NamespaceError),
    #[error(
        "cannot listen on the loopback addresses of the network namespace: is `lo` up? (ip link set lo up)"
    )]
    Listen(#[source] io::Error),
    #[error(transparent)]
    OpenFiles(#[from] TooFewOpenFiles),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("cannot serve metrics on {address} (telemetry.metrics.listen)")]
    Metrics {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot open the access log {} (telemetry.accessLog.path)", path.display())]
    AccessLog {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot set up signals, threads or the event loop")]
    Process(#[source] io::Error),
}

impl AppError {
    /// The exit code: as env(1).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Launch(error) => error.exit_code(),
            _ => crate::cli::FAILURE,
        }
    }

    /// Whether the machine or the privileges are at fault, of which `ambassador doctor` knows more.
    pub fn is_for_the_doctor(&self) -> bool {
        match self {
            Self::Cgroup(_)
            | Self::Kernel(_)
            | Self::OpenFiles(_)
            | Self::Listen(_)
            | Self::Privilege(_)
            | Self::SelfTest(_) => true,
            Self::Namespace(error) => {
                !matches!(error, NamespaceError::Unknown { .. } | NamespaceError::Other { .. })
            }
            Self::Launch(_)
            | Self::User(_)
            | Self::Telemetry(_)
            | Self::Metrics { .. }
            | Self::AccessLog { .. }
            | Self::Process(_) => false,
        }
    }
}

/// Runs CMD and serves its connections until its cgroup is empty; returns CMD's exit code.
pub fn run(options: RunOptions) -> Result<u8, AppError> {
    let RunOptions { config, command, user, namespaces, quiet, json } = options;
    privileges::hide();
    let of_caller = CallerSignals::read().map_err(|error| AppError::Process(error.into()))?;
    signals::block().map_err(|error| AppError::Process(error.into()))?;
    let run_as = RunAs::resolve(user.as_deref(), std::env::var("SUDO_UID").ok().as_deref())?;
    let limits = privileges::raise_open_files();
    let workers = available_parallelism().map_or(1, usize::from);
    open_files::check(limits.1, workers, 1 + namespaces.len())?;

    // Everything that needs privileges, in the order in which it depends on each other.
    let mut cgroups = RunCgroups::create()?;
    let mut interception = Interception::prepare(
        &mut cgroups,
        &config.intercept,
        &namespaces,
        config.table.any_connect_mode(),
        workers,
    )?;
    let mut proxy_down = ProxyDown::new(Arc::clone(&interception.maps), config.table.clone());
    proxy_down.refresh(&Names::default())?;
    for (net, port) in eager::targets(&config.table) {
        interception.maps.set_eager(net, port)?;
    }
    let sinks = sinks::options(&config.telemetry, quiet, json)?;
    let metrics = config.telemetry.metrics_listen.map(sinks::listen_metrics).transpose()?;
    let mut keep = Vec::new();
    if run_as.is_some() {
        keep.push(Capability::CAP_KILL);
    }
    if cgroups.needs_override_to_remove() {
        keep.push(Capability::CAP_DAC_OVERRIDE);
    }
    let procs = cgroups.cmd_procs()?;
    let spec = CommandSpec { argv: command, procs, run_as, signals: of_caller, open_files: limits };
    let launcher = Launcher::new(spec).map_err(AppError::Process)?;
    interception.arm(cgroups.cmd())?;
    privileges::drop_all_but(&keep)?;

    // Threads that are made from here on have what is left of the privileges.
    let (telemetry, flush) = Telemetry::new(sinks)?;
    telemetry.count_panics();

    let self_test = SelfTest::new(std::mem::take(&mut interception.probes));
    telemetry
        .set_kernel_counters(sinks::kernel_counters(Arc::clone(&interception.maps), self_test.sentinel()));
    telemetry.set_connect_truthful(interception.is_truthful());
    let (sentinel, ready) = (self_test.sentinel(), Arc::new(Readiness::new()));
    let proxy = Proxy::start(
        &mut interception,
        config.table,
        sentinel,
        telemetry.clone(),
        Arc::clone(&ready),
        limits.1,
    )?;
    let (held, endpoints) = (proxy.held.clone(), Arc::clone(&proxy.endpoints));

    let runtime = runtime().map_err(AppError::Process)?;
    let kernel_log = interception.take_log();
    let code = runtime.block_on(async {
        let signals = Signals::open().map_err(AppError::Process)?;
        if let Some(log) = kernel_log {
            tokio::spawn(async {
                if let Err(error) = log.run().await {
                    tracing::warn!(%error, "the lines of the kernel programs can no longer be read");
                }
            });
        }
        let prepared = async {
            endpoints.resolve_first().await;
            self_test.test(&telemetry).await
        };
        tokio::select! {
            prepared = prepared => prepared?,
            code = ended_early(&signals, of_caller) => return code,
        }
        let self_test = (self_test, config.intercept.self_test);
        let (telemetry, readiness) = (telemetry.clone(), Arc::clone(&ready));
        readiness.set(Phase::Ready);
        let chores = Chores { endpoints, proxy_down, held, metrics, self_test, telemetry, readiness };
        // They end with this block.
        let _chores = chores.begin().map_err(AppError::Process)?;
        let mut cmd = launcher.launch()?;
        // Not before, because CMD must not inherit it.
        if let Err(error) = confinement::confine() {
            tracing::warn!(
                "the proxy keeps system calls that it does not need: {:#}",
                anyhow::Error::from(error)
            );
        }
        let status = supervise(&mut cmd, &signals).await?;
        serve_orphans(&cgroups, &signals, of_caller, status).await?;
        ready.set(Phase::Draining);
        Ok::<u8, AppError>(command::exit_code(status))
    });

    // From here on every connect is direct; what is open drains, then the cgroups go.
    drop(interception);
    proxy.stop();
    drop(flush);
    if !quiet && !matches!(code, Err(AppError::Launch(_) | AppError::SelfTest(_))) {
        sinks::print_summary(&telemetry.summary(), json);
    }
    drop(cgroups);
    code
}

/// The event loop of the main thread. Its helper threads, which resolve names, keep no privilege.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let drop_privileges = || {
        if let Err(error) = privileges::drop_all_but(&[]) {
            tracing::error!(%error, "a resolver keeps privileges that it does not need");
        }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().on_thread_start(drop_privileges).build()
}
