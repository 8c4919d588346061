// SPDX-License-Identifier: Apache-2.0
//! Two network namespaces, an intercepted cgroup, and the proxy's side of both, all removed on drop.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use ambassador::{
    kernel::{Kernel, KernelMaps, Landing, LoadOptions, Origin},
    netns::Namespace,
};

/// An address that really answers in both namespaces.
pub(crate) const SERVER_V4: &str = "10.77.9.1";
/// As [`SERVER_V4`].
pub(crate) const SERVER_V6: &str = "fd77:9::1";
/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Everything but the clients. One at a time: this process moves into its proxy cgroup.
pub(crate) struct World {
    pub(crate) kernel: Option<Kernel>,
    pub(crate) maps: Arc<KernelMaps>,
    pub(crate) sites: Vec<Site>,
    pub(crate) cgroup: Cgroup,
    pub(crate) proxy_cgroup: Cgroup,
    _alone: MutexGuard<'static, ()>,
}

/// One network namespace with its listeners.
pub(crate) struct Site {
    pub(crate) namespace: Namespace,
    pub(crate) listeners: Vec<TcpListener>,
    name: String,
}

impl World {
    /// Loaded and attached, with a heartbeat that stays fresh for an hour.
    pub(crate) fn new() -> Self {
        Self::loaded(&LoadOptions::default())
    }

    /// As [`World::new`] with other options, but for the heartbeat's limit.
    pub(crate) fn loaded(options: &LoadOptions) -> Self {
        let options = LoadOptions { stale_after: Duration::from_hours(1), ..options.clone() };
        Self::of(Kernel::load(&options).expect("load"))
    }

    /// Around a kernel side that is attached to nothing of this world yet.
    pub(crate) fn of(mut kernel: Kernel) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = |part: &str| format!("amb-kr-{}-{serial}-{part}", std::process::id());
        let cgroup = Cgroup::new(&name("cmd"));
        let proxy_cgroup = Cgroup::new(&name("proxy"));
        let maps = kernel.maps();
        kernel.attach_proxy_side(proxy_cgroup.open().as_fd()).expect("attach the proxy's side");
        proxy_cgroup.add(std::process::id());
        let sites: Vec<_> = ["a", "b"].map(|part| Site::new(name(part))).into();
        for site in &sites {
            site.register(&maps);
        }
        kernel.attach_program_side(cgroup.open().as_fd()).expect("attach the program's side");
        maps.beat().expect("beat");
        kernel.arm(cgroup.open().as_fd()).expect("arm");
        Self { kernel: Some(kernel), maps, sites, cgroup, proxy_cgroup, _alone: alone }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        fs::write(cgroup_root().join("cgroup.procs"), "0").expect("leave the proxy cgroup");
    }
}

impl Site {
    fn new(name: String) -> Self {
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        ip(&["-n", &name, "addr", "add", SERVER_V4, "dev", "lo"]);
        ip(&["-n", &name, "addr", "add", SERVER_V6, "dev", "lo", "nodad"]);
        let namespace = Namespace::open(&file(&name)).expect("open the namespace");
        let listeners = namespace.run(listen).expect("enter the namespace");
        Self { namespace, listeners, name }
    }

    fn register(&self, maps: &KernelMaps) {
        let addresses: Vec<_> = self.listeners.iter().map(|l| l.local_addr().expect("address")).collect();
        let v6: Vec<_> = addresses.iter().filter(|a| a.is_ipv6()).map(SocketAddr::port).collect();
        let landing = Landing::new(FIRST, SPREAD, addresses[0].port(), &v6);
        maps.register_namespace(self.namespace.cookie(), &landing).expect("register");
    }

    /// The namespace's file.
    pub(crate) fn path(&self) -> PathBuf {
        file(&self.name)
    }

    /// A server on an address that a client reaches when it is not redirected.
    pub(crate) fn server(&self, ip: &'static str) -> TcpListener {
        let bind = move || TcpListener::bind((ip.parse::<IpAddr>().expect("address"), 0)).expect("bind");
        self.namespace.run(bind).expect("enter the namespace")
    }

    /// The next redirected connection, whichever listener it comes to.
    pub(crate) fn accept(&self) -> TcpStream {
        self.try_accept(PATIENCE).expect("nothing was redirected")
    }

    /// As [`Site::accept`] within a time.
    pub(crate) fn try_accept(&self, patience: Duration) -> Option<TcpStream> {
        accept_within(&self.listeners, patience)
    }

    /// The next redirected connection's origin.
    pub(crate) fn origin(&self, maps: &KernelMaps) -> Origin {
        maps.orig_dst(self.accept().as_fd()).expect("read the origin").expect("it has an origin")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

/// Accepts from any of these listeners within a time.
pub(crate) fn accept_within(listeners: &[TcpListener], patience: Duration) -> Option<TcpStream> {
    let start = Instant::now();
    for listener in listeners {
        listener.set_nonblocking(true).expect("non-blocking");
    }
    while start.elapsed() < patience {
        for listener in listeners {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).expect("blocking");
                return Some(stream);
            }
        }
        std::thread::yield_now();
    }
    None
}

/// A child of the cgroup root, removed on drop once its processes are gone.
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    fn new(name: &str) -> Self {
        let path = cgroup_root().join(name);
        fs::create_dir(&path).expect("make a cgroup");
        Self { path }
    }

    pub(crate) fn open(&self) -> File {
        File::open(&self.path).expect("open the cgroup")
    }

    pub(crate) fn add(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).expect("enter the cgroup");
    }

    /// What the kernel programs call it.
    pub(crate) fn id(&self) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&self.open().metadata().expect("metadata"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let start = Instant::now();
        while fs::remove_dir(&self.path).is_err() && start.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
    }
}

/// Where cgroup2 is mounted, also beside version 1.
fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("no cgroup2 is mounted");
    PathBuf::from(mount.split(' ').nth(4).expect("mount point"))
}

fn file(namespace: &str) -> PathBuf {
    Path::new("/run/netns").join(namespace)
}

/// Listeners on [`SPREAD`] addresses of IPv4 and as many ports of `::1`.
fn listen() -> Vec<TcpListener> {
    let mut listeners = vec![listener((FIRST, 0).into())];
    let port = listeners[0].local_addr().expect("address").port();
    let others = (1..SPREAD).map(|i| Ipv4Addr::from_bits(FIRST.to_bits() + u32::from(i)));
    listeners.extend(others.map(|address| listener((address, port).into())));
    listeners.extend((0..SPREAD).map(|_| listener("[::1]:0".parse().expect("address"))));
    listeners
}

fn listener(address: SocketAddr) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)
        .expect("socket");
    socket.bind(&address.into()).expect("bind");
    socket.listen(4096).expect("listen");
    socket.into()
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("run ip (package iproute2)");
    assert!(status.success(), "ip {arguments:?}: {status}");
}

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
const SPREAD: u8 = 4;
static ALONE: Mutex<()> = Mutex::new(());
static SERIAL: AtomicU32 = AtomicU32::new(0);
