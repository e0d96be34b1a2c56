//! nginx of Debian 12: as a cache of its own (`proxy_cache`), and as deploy/nginx in front of something.

use super::listens;
use crate::bench::{Bench, free_address};
use crate::process::Child;
use anyhow::{Result, ensure};
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const CACHE: &str = include_str!("../../conf/nginx-cache.conf");
const DEPLOYED: &str = include_str!("../../../../deploy/nginx/nginx.conf");

/// Memory, where the machine has it as a file system.
const MEMORY: &str = "/dev/shm";

pub struct Nginx {
    _process: Child,
    pub address: SocketAddr,
    _cache: Option<TempDir>,
}

impl Nginx {
    /// A cache of what `origin` sends; its files lie in memory.
    pub fn cache(bench: &Bench, name: &str, origin: SocketAddr) -> Result<Self> {
        bench.setting("nginx, proxy_cache", CACHE);
        let memory = if Path::new(MEMORY).is_dir() { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
        let cache = tempfile::Builder::new().prefix("bazar-compare.").tempdir_in(memory)?;
        fs::set_permissions(cache.path(), Permissions::from_mode(0o711))?;
        let address = free_address()?;
        let configuration = CACHE
            .replace("@LISTEN@", &address.to_string())
            .replace("@ORIGIN@", &origin.to_string())
            .replace("@CACHE@", &cache.path().join("files").display().to_string());
        let process = start(bench, name, address, &[("nginx.conf", configuration)])?;
        Ok(Self { _process: process, address, _cache: Some(cache) })
    }

    /// deploy/nginx, its port and its one upstream replaced, nothing else.
    pub fn deployed(bench: &Bench, name: &str, upstream: SocketAddr) -> Result<Self> {
        bench.setting("nginx in front", "deploy/nginx/nginx.conf, with one upstream");
        let address = free_address()?;
        let listen = format!("listen {address};");
        let configuration = DEPLOYED.replace("listen 8083;", &listen);
        ensure!(configuration.contains(&listen), "deploy/nginx/nginx.conf does not listen on 8083");
        let upstreams = format!("server {upstream};\n");
        let files = [("nginx.conf", configuration), ("upstreams.conf", upstreams)];
        let process = start(bench, name, address, &files)?;
        Ok(Self { _process: process, address, _cache: None })
    }
}

fn start(bench: &Bench, name: &str, address: SocketAddr, files: &[(&str, String)]) -> Result<Child> {
    let dir = bench.path(name);
    fs::create_dir(&dir)?;
    for (file, text) in files {
        fs::write(dir.join(file), text)?;
    }
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(&dir).args(["-c", "nginx.conf", "-g", "daemon off;"]);
    // QUIT is nginx's clean stop; it waits for idle connections, which nobody has here. TERM does not.
    let mut process = Child::start(name, command, bench.dir(), Signal::TERM)?;
    process.ready_when(|| listens(address))?;
    Ok(process)
}
