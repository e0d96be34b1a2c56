//! Redis, as the store's second cache level.

use crate::bench::{Bench, free_address};
use crate::process::Child;
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

pub struct Redis {
    _process: Child,
    address: SocketAddr,
}

impl Redis {
    pub fn start(bench: &Bench, name: &str) -> Result<Self> {
        let address = free_address()?;
        let settings = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
        bench.setting("Redis", "redis-server --save '' --appendonly no");
        let mut command = Command::new("redis-server");
        command.args(["--port", &address.port().to_string(), "--dir"]).arg(bench.dir()).args(settings);
        let mut process = Child::start(name, command, bench.dir(), Signal::TERM)?;
        process.ready_when(|| Ok(TcpStream::connect(address).is_ok()))?;
        Ok(Self { _process: process, address })
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// How many lookups found their key since the start.
    pub fn hits(&self) -> Result<u64> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
        stream.write_all(b"INFO stats\r\nQUIT\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let hits = text.lines().find_map(|line| line.strip_prefix("keyspace_hits:"));
        hits.context("Redis does not tell its hits")?.trim().parse().context("keyspace_hits")
    }
}
