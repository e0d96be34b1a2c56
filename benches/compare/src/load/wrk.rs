//! wrk: closed loop, `-t1`. Every answer must be a success.

use crate::bench::Bench;
use crate::process::run_tool;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// wrk ends by itself after its time and this much, at most.
const GRACE: Duration = Duration::from_secs(15);

const PURCHASES: &str = include_str!("../../load/purchases.lua");
const INFOS: &str = include_str!("../../load/infos.lua");

/// What the clients ask for.
#[derive(Debug, Clone, Copy)]
pub enum Work<'a> {
    Get(&'a str),
    /// One copy of a random book from 1 to `books`, without a key: each is an order of its own.
    Purchases {
        books: u64,
    },
    /// Books of `ids` in an order without repetition; `from` is how many of that order are used up.
    Infos {
        first_id: u64,
        ids: u64,
        from: u64,
    },
}

#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub per_second: f64,
    /// Answers that were counted; at most one more for each client was under way at the end.
    pub done: u64,
}

pub fn run(bench: &Bench, to: SocketAddr, work: Work, clients: u32, time: Duration) -> Result<Outcome> {
    run_in(bench.dir(), to, work, clients, time)
}

/// The same with its script in a directory of its own, for two at a time.
pub fn run_in(dir: &Path, to: SocketAddr, work: Work, clients: u32, time: Duration) -> Result<Outcome> {
    fs::create_dir_all(dir)?;
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{clients}"), &format!("-d{}s", time.as_secs()), "--timeout", "10s"]);
    let script = dir.join("wrk.lua");
    let path = match work {
        Work::Get(path) => {
            // The reporting part of the script alone.
            fs::write(&script, PURCHASES)?;
            path
        }
        Work::Purchases { books } => {
            fs::write(&script, PURCHASES)?;
            command.env("BENCH_BOOKS", books.to_string());
            "/order-service/purchase"
        }
        Work::Infos { first_id, ids, from } => {
            fs::write(&script, INFOS)?;
            command
                .env("BENCH_FIRST_ID", first_id.to_string())
                .env("BENCH_IDS", ids.to_string())
                .env("BENCH_FROM", from.to_string());
            "/catalog-service/info/1"
        }
    };
    command.arg("-s").arg(&script).arg(format!("http://{to}{path}"));
    let printed = run_tool(command, dir, time + GRACE)?;
    let counts =
        printed.lines().find_map(|line| line.strip_prefix("COUNTS ")).context("wrk reported nothing")?;
    let counts: Vec<u64> =
        counts.split(' ').map(str::parse).collect::<Result<_, _>>().context("wrk's counts")?;
    let &[done, micros, failed] = counts.as_slice() else {
        anyhow::bail!("wrk's counts: {counts:?}");
    };
    ensure!(failed == 0, "{failed} of {done} requests failed");
    ensure!(done > 0 && micros > 0, "no request was answered");
    if let Work::Infos { ids, from, .. } = work {
        ensure!(from + done + u64::from(clients) <= ids, "more reads than books: an id came twice");
    }
    Ok(Outcome { per_second: done as f64 * 1e6 / micros as f64, done })
}
