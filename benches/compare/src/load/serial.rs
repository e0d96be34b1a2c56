//! One client that asks, waits for the answer, checks it, and asks again.

use crate::http::{Answer, Connection};
use crate::process::check_interrupted;
use crate::stats::Latencies;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Between two looks for Ctrl-C.
const LOOK_EVERY: u64 = 256;

/// Asks for `time`; `request` is called with 0, 1, 2, …, and `check` judges every answer.
pub fn run(
    address: SocketAddr,
    time: Duration,
    mut request: impl FnMut(u64) -> Vec<u8>,
    check: impl Fn(&Answer) -> Result<()>,
) -> Result<Latencies> {
    let mut connection = Connection::open(address)?;
    let mut latencies = Latencies::new();
    let until = Instant::now() + time;
    let mut number = 0;
    while Instant::now() < until {
        if number % LOOK_EVERY == 0 {
            check_interrupted()?;
        }
        let (answer, took) = connection.ask(&request(number))?;
        check(&answer).with_context(|| format!("answer {number}: {}", answer.head()))?;
        latencies.record(took);
        number += 1;
    }
    Ok(latencies)
}
