//! nginx with the configuration that we ship, in a copy of its directory.

use super::{free_port, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct Nginx {
    port: u16,
    child: Child,
}

impl Nginx {
    /// In front of `frontends`, which are URLs.
    pub fn start(dir: &Path, frontends: &[&str]) -> Self {
        Self::start_with(dir, frontends, &[])
    }

    /// The same, with some words of the configuration replaced by others.
    pub fn start_with(dir: &Path, frontends: &[&str], changes: &[(&str, &str)]) -> Self {
        let copy = dir.join("nginx");
        fs::create_dir(&copy).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx");
        let config = fs::read_to_string(shipped.join("nginx.conf")).unwrap();
        let port = free_port();
        let listen = "listen 8083;";
        assert!(config.contains(listen));
        let config = config.replace(listen, &format!("listen 127.0.0.1:{port};"));
        let config = changes.iter().fold(config, |config, (from, to)| {
            assert!(config.contains(from), "{from}");
            config.replace(from, to)
        });
        fs::write(copy.join("nginx.conf"), config).unwrap();
        let servers = frontends.iter().map(|url| format!("server {};\n", url.trim_start_matches("http://")));
        fs::write(copy.join("upstreams.conf"), servers.collect::<String>()).unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(&copy)
            .args(["-c", "nginx.conf", "-g", "daemon off;"])
            .stdin(Stdio::null())
            .stderr(fs::File::create(dir.join("nginx.log")).unwrap())
            .spawn()
            .expect("nginx must be installed");
        let nginx = Self { port, child };
        wait_until("nginx answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        nginx
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Nginx {
    /// Asked to stop, because its workers would outlive it if it were killed.
    fn drop(&mut self) {
        if kill_process(Pid::from_child(&self.child), Signal::TERM).is_ok() {
            let _ = self.child.wait();
        }
    }
}
