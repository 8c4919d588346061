// SPDX-License-Identifier: Apache-2.0
//! The kernel's side of a run: programs loaded, listeners opened in every namespace, programs attached.
//!
//! The order matters. The connect hooks come last, when everything that they redirect to stands; and dropping an
//! [`Interception`] detaches them all, after which every new connect is direct.

use std::{net::TcpListener, os::fd::BorrowedFd, path::PathBuf, sync::Arc};

use super::{heartbeat::STALE_AFTER, run::AppError};
use crate::{
    config::settings::Intercept,
    host::cgroup::RunCgroups,
    kernel::{Kernel, KernelLog, KernelMaps, Landing, LoadOptions},
    net::{
        dial::Sockets,
        listen::{self, Listeners},
    },
    netns::Namespace,
};

/// Kernel programs that are attached, and the listeners that they redirect to.
pub(super) struct Interception {
    kernel: Kernel,
    /// The maps, for the data path.
    pub(super) maps: Arc<KernelMaps>,
    /// For each worker, its listeners and the namespaces that they stand in.
    pub(super) per_worker: Vec<Vec<(TcpListener, Arc<dyn Sockets>)>>,
}

impl Interception {
    /// Loads the programs, attaches all but the connect hooks, and opens the listeners.
    pub(super) fn prepare(
        cgroups: &mut RunCgroups,
        intercept: &Intercept,
        namespaces: &[PathBuf],
        workers: usize,
    ) -> Result<Self, AppError> {
        let mut kernel = Kernel::load(&LoadOptions {
            debug_log: tracing::enabled!(tracing::Level::DEBUG),
            intercept_loopback: intercept.loopback,
            stale_after: STALE_AFTER,
            ..LoadOptions::default()
        })?;
        let maps = kernel.maps();
        for net in &intercept.exclude_cidrs {
            maps.exclude_net(*net)?;
        }
        for port in &intercept.exclude_ports {
            maps.exclude_port(*port)?;
        }
        kernel.attach_proxy_side(cgroups.proxy())?;
        cgroups.enter_proxy()?;
        kernel.attach_program_side(cgroups.cmd())?;
        let mut this = Self { kernel, maps, per_worker: (0..workers).map(|_| Vec::new()).collect() };
        this.listen_in(Namespace::current().map_err(AppError::Namespace)?)?;
        for path in namespaces {
            let namespace = Namespace::open(path).map_err(AppError::Namespace)?;
            this.listen_in(namespace)?;
        }
        Ok(this)
    }

    /// The debug lines of the kernel programs, once, if they were asked for by the log level.
    pub(super) fn take_log(&mut self) -> Option<KernelLog> {
        self.kernel.take_log()
    }

    /// Attaches the connect hooks: from here on CMD's connects are redirected.
    pub(super) fn arm(&mut self, cmd: BorrowedFd<'_>) -> Result<(), AppError> {
        self.maps.beat()?;
        Ok(self.kernel.arm(cmd)?)
    }

    fn listen_in(&mut self, namespace: Namespace) -> Result<(), AppError> {
        let workers = self.per_worker.len();
        let Listeners { per_worker, v4_port, v6_ports } = namespace
            .run(move || listen::listen(workers))
            .map_err(AppError::Namespace)?
            .map_err(AppError::Listen)?;
        let landing = Landing::new(listen::FIRST_V4, listen::SPREAD_V4, v4_port, &v6_ports);
        self.maps.register_namespace(namespace.cookie(), &landing)?;
        let sockets: Arc<dyn Sockets> = Arc::new(namespace.into_sockets().map_err(AppError::Namespace)?);
        for (mine, opened) in self.per_worker.iter_mut().zip(per_worker) {
            mine.extend(opened.into_iter().map(|listener| (listener, Arc::clone(&sockets))));
        }
        Ok(())
    }
}
