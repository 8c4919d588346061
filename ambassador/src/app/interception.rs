// SPDX-License-Identifier: Apache-2.0
//! The kernel's side of a run: programs loaded, listeners opened in every namespace, programs attached.
//!
//! The order matters. The connect hooks come last, when everything that they redirect to stands; and dropping an
//! [`Interception`] detaches them all, after which every new connect is direct.

use std::{
    collections::HashMap,
    net::TcpListener,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    sync::Arc,
};

use super::{heartbeat::STALE_AFTER, run::AppError, self_test};
use crate::{
    config::settings::Intercept,
    host::cgroup::RunCgroups,
    kernel::{Kernel, KernelLog, KernelMaps, Landing, LoadOptions, MAX_RINGS, SynEvents},
    net::{
        dial::Sockets,
        listen::{self, Listeners},
        probe::Probe,
        syn::RawSockets,
    },
    netns::Namespace,
    policy::route::ConnectMode,
    proxy::held::Ground,
};

/// Kernel programs that are attached, and the listeners that they redirect to.
pub(super) struct Interception {
    kernel: Kernel,
    /// The maps, for the data path.
    pub(super) maps: Arc<KernelMaps>,
    /// For each worker, its listeners and the namespaces that they stand in.
    pub(super) per_worker: Vec<Vec<(TcpListener, Arc<dyn Sockets>)>>,
    /// The namespaces in which connects are held, by their cookies; none where all are let in at once.
    pub(super) grounds: HashMap<u64, Ground>,
    /// Sockets of CMD's cgroup in these namespaces, for the self-test.
    pub(super) probes: Vec<Probe>,
    connect: ConnectMode,
    /// In some namespace nothing can be answered, so that connects are let in at once.
    speechless: bool,
    /// In how many rings the kernel tells of held connections.
    rings: u32,
}

impl Interception {
    /// Loads the programs, attaches all but the connect hooks, and opens the listeners.
    pub(super) fn prepare(
        cgroups: &mut RunCgroups,
        intercept: &Intercept,
        namespaces: &[PathBuf],
        connect: ConnectMode,
        workers: usize,
    ) -> Result<Self, AppError> {
        let rings = u32::try_from(workers).unwrap_or(MAX_RINGS).min(MAX_RINGS);
        let mut kernel = Kernel::load(&LoadOptions {
            debug_log: tracing::enabled!(tracing::Level::DEBUG),
            intercept_loopback: intercept.loopback,
            stale_after: STALE_AFTER,
            truthful: connect == ConnectMode::Truthful,
            rings,
            ..LoadOptions::default()
        })?;
        if connect == ConnectMode::Truthful
            && let Err(error) = kernel.truthful_available()
        {
            tracing::warn!(%error, "connect() will succeed at once: the kernel does not let listeners hold SYNs");
        }
        let maps = kernel.maps();
        for net in &intercept.exclude_cidrs {
            maps.exclude_net(*net)?;
        }
        for port in &intercept.exclude_ports {
            maps.exclude_port(*port)?;
        }
        let mut opened = vec![Namespace::current().map_err(AppError::Namespace)?];
        for path in namespaces {
            opened.push(Namespace::open(path).map_err(AppError::Namespace)?);
        }
        // There first: the second of two moves costs next to nothing.
        cgroups.enter_cmd()?;
        let mut probes = Vec::new();
        for namespace in &opened {
            let opened = self_test::probes_in(namespace, intercept).map_err(AppError::Namespace)?;
            for probe in &opened {
                maps.mark_probe(probe.socket())?;
            }
            probes.push(opened);
        }
        kernel.attach_proxy_side(cgroups.proxy())?;
        cgroups.enter_proxy()?;
        kernel.attach_program_side(cgroups.cmd())?;
        let per_worker = (0..workers).map(|_| Vec::new()).collect();
        let (grounds, none) = (HashMap::new(), Vec::new());
        let mut this =
            Self { kernel, maps, per_worker, grounds, probes: none, connect, speechless: false, rings };
        for (namespace, probes) in opened.into_iter().zip(probes) {
            this.listen_in(namespace, probes)?;
        }
        Ok(this)
    }

    /// Whether connects are held in every namespace: some route wants it, and nothing that it takes is missing.
    pub(super) fn is_truthful(&self) -> bool {
        self.holds() && !self.speechless
    }

    fn holds(&self) -> bool {
        self.connect == ConnectMode::Truthful && self.kernel.truthful_available().is_ok()
    }

    /// The debug lines of the kernel programs, once, if they were asked for by the log level.
    pub(super) fn take_log(&mut self) -> Option<KernelLog> {
        self.kernel.take_log()
    }

    /// Where the kernel tells of held connections, once: worker by worker, of as many workers as there are rings.
    pub(super) fn take_events(&mut self) -> Vec<SynEvents> {
        self.kernel.take_events()
    }

    /// Attaches the connect hooks: from here on CMD's connects are redirected.
    pub(super) fn arm(&mut self, cmd: BorrowedFd<'_>) -> Result<(), AppError> {
        self.maps.beat()?;
        Ok(self.kernel.arm(cmd)?)
    }

    /// Lets every listener of a namespace hold SYNs.
    fn hold_in(&self, cookie: u64, per_worker: &[Vec<TcpListener>]) -> Result<(), AppError> {
        let rings = (0..self.rings).cycle();
        for (ring, listeners) in rings.zip(per_worker) {
            for listener in listeners {
                self.kernel.attach_listener_filter(listener.as_fd(), cookie, ring)?;
            }
        }
        Ok(())
    }

    fn listen_in(&mut self, namespace: Namespace, mut probes: Vec<Probe>) -> Result<(), AppError> {
        let workers = self.per_worker.len();
        let wants_raw = self.holds();
        let (listeners, raw) = namespace
            .run(move || (listen::listen(workers), wants_raw.then(RawSockets::open)))
            .map_err(AppError::Namespace)?;
        let Listeners { per_worker, v4_port, v6_ports } = listeners.map_err(AppError::Listen)?;
        probes.retain(|probe| probe.sentinel().is_ipv4() || !v6_ports.is_empty());
        self.probes.append(&mut probes);
        let cookie = namespace.cookie();
        let mut landing = Landing::new(listen::FIRST_V4, listen::SPREAD_V4, v4_port, &v6_ports);
        let answers = match raw {
            Some(Ok(raw)) => self.hold_in(cookie, &per_worker).map(|()| Some(raw))?,
            Some(Err(error)) => {
                // Once: what is missing is missing everywhere.
                if !std::mem::replace(&mut self.speechless, true) {
                    let error = anyhow::Error::from(error);
                    tracing::warn!("connect() will succeed at once: {error:#}");
                }
                None
            }
            None => None,
        };
        if answers.is_some() {
            landing = landing.truthful();
        }
        self.maps.register_namespace(cookie, &landing)?;
        let sockets: Arc<dyn Sockets> = Arc::new(namespace.into_sockets().map_err(AppError::Namespace)?);
        if let Some(raw) = answers {
            self.grounds.insert(cookie, Ground { sockets: Arc::clone(&sockets), answers: Arc::new(raw) });
        }
        for (mine, opened) in self.per_worker.iter_mut().zip(per_worker) {
            mine.extend(opened.into_iter().map(|listener| (listener, Arc::clone(&sockets))));
        }
        Ok(())
    }
}
