//! Varnish of Debian 12, its objects in memory.

use super::listens;
use crate::bench::{Bench, free_address};
use crate::process::Child;
use anyhow::Result;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

const VCL: &str = include_str!("../../conf/varnish.vcl");

pub struct Varnish {
    _process: Child,
    pub address: SocketAddr,
}

impl Varnish {
    pub fn cache(bench: &Bench, name: &str, origin: SocketAddr) -> Result<Self> {
        let address = free_address()?;
        let vcl = bench.path(&format!("{name}.vcl"));
        let text =
            VCL.replace("@HOST@", &origin.ip().to_string()).replace("@PORT@", &origin.port().to_string());
        fs::write(&vcl, text)?;
        let mut command = Command::new("/usr/sbin/varnishd");
        let listen = address.to_string();
        // -j none: its jail wants users that a container may not have. Idle sessions are kept, as nginx's are.
        let settings = ["-s", "malloc,64m", "-p", "timeout_idle=300", "-j", "none"];
        bench.setting("Varnish", format!("varnishd {}\n\n{VCL}", settings.join(" ")));
        command.args(["-F", "-a", &listen, "-T", "none", "-f"]).arg(&vcl);
        command.arg("-n").arg(bench.path(name)).args(settings);
        let mut process = Child::start(name, command, bench.dir(), Signal::TERM)?;
        process.ready_when(|| listens(address))?;
        Ok(Self { _process: process, address })
    }
}
