//! actix-web and nothing else, as the bound of what a server made of it can do (`src/bin/bazar-bare.rs`).

use crate::bench::Bench;
use crate::http::Answer;
use crate::process::Child;
use anyhow::{Result, anyhow};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

pub struct Bare {
    process: Child,
    pub address: SocketAddr,
}

impl Bare {
    /// Sends one recorded answer to whatever is asked.
    pub fn constant(bench: &Bench, name: &str, answer: &Answer) -> Result<Self> {
        let file = bench.path(&format!("{name}.http"));
        fs::write(&file, answer.bytes())?;
        let mut command = Command::new(&bench.options.bare);
        command.args(["constant", "127.0.0.1:0"]).arg(file);
        Self::start(bench, name, command)
    }

    /// Asks `origin` for each answer, with awc.
    pub fn proxy(bench: &Bench, name: &str, origin: SocketAddr) -> Result<Self> {
        let mut command = Command::new(&bench.options.bare);
        command.args(["proxy", "127.0.0.1:0", &format!("http://{origin}")]);
        Self::start(bench, name, command)
    }

    fn start(bench: &Bench, name: &str, command: Command) -> Result<Self> {
        let mut process = Child::start(name, command, bench.dir(), Signal::TERM)?;
        let (url, _) = process.ready_line()?;
        let address =
            url.trim_start_matches("http://").parse().map_err(|_| anyhow!("{url} is no address"))?;
        Ok(Self { process, address })
    }

    pub fn stop(self) -> Result<()> {
        self.process.stop()
    }
}
