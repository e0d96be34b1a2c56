//! The Redis of the demonstration: one that was named, one of our own, or none; and what can be done to what
//! it holds. Nothing of all that may ever make an answer wrong.
//!
//! Invariants: in a Redis that is not ours only keys of the store are touched (`search:*`, `info:*`), at most
//! [`MAX_KEYS`] of them; nothing is waited for longer than [`DEADLINE`].

use parking_lot::Mutex;
use rand::{Rng, RngExt};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Client, Cmd, FromRedisValue, Pipeline, RedisError, cmd};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is started if none is named.
const SERVER: &str = "redis-server";

/// More than a catalog for a demonstration has; what lies beyond stays as it is.
const MAX_KEYS: usize = 1000;

/// Larger entries stay as they are.
const MAX_VALUE: usize = 64 << 10;

/// For one errand there.
const DEADLINE: Duration = Duration::from_secs(2);

/// The keys of the store.
const PATTERNS: [&str; 2] = ["search:*", "info:*"];

/// Which Redis there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redis {
    /// One of our own, at this address.
    Ours { program: PathBuf, addr: SocketAddr },
    /// `--redis`. With `authority`, `host:port`, it is reached over TCP and can be cut off.
    Given { url: String, authority: Option<String> },
    /// The reason, fit for people.
    None { reason: &'static str },
}

/// Why it was not done, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum RedisTrouble {
    #[error("there is no Redis: {0}")]
    Absent(&'static str),
    #[error("Redis does not answer within {DEADLINE:?}")]
    Late,
    #[error("Redis: {0}")]
    Failed(#[from] RedisError),
}

/// A key and what lies under it.
type Entry = (String, Vec<u8>);

/// Entries as they were when they were first seen: true once, and old by now.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Redis {
    /// The one that was named, else one of our own if there is a program for it.
    pub fn choose(given: Option<&str>) -> io::Result<Self> {
        if let Some(url) = given {
            return Ok(Self::Given { url: url.into(), authority: authority(url) });
        }
        let Some(program) = on_path(SERVER) else {
            return Ok(Self::None {
                reason: "none was named with --redis, and redis-server is not installed",
            });
        };
        // It cannot pick a port itself. Should somebody else take this one meanwhile, it says so and is tried
        // again and again.
        let (_, addr) = crate::server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self::Ours { program, addr })
    }

    pub fn is_ours(&self) -> bool {
        self.ours().is_some()
    }

    pub fn ours(&self) -> Option<(&Path, SocketAddr)> {
        match self {
            Redis::Ours { program, addr } => Some((program, *addr)),
            _ => None,
        }
    }

    /// Where we find it ourselves.
    fn url(&self) -> Result<String, RedisTrouble> {
        match self {
            Redis::Ours { addr, .. } => Ok(format!("redis://{addr}")),
            Redis::Given { url, .. } => Ok(url.clone()),
            Redis::None { reason } => Err(RedisTrouble::Absent(reason)),
        }
    }

    /// The same Redis behind the near end of a link.
    pub fn url_through(&self, link: SocketAddr) -> Option<String> {
        let mut url = url::Url::parse(&self.url().ok()?).ok()?;
        url.set_ip_host(link.ip()).ok()?;
        url.set_port(Some(link.port())).ok()?;
        Some(url.into())
    }

    /// Deletes what the store has there. Returns how many entries that were.
    pub async fn flush(&self) -> Result<usize, RedisTrouble> {
        in_time(async {
            let mut redis = self.connect().await?;
            let keys = redis.keys().await?;
            match keys.is_empty() {
                _ if self.is_ours() => redis.ask::<()>(&cmd("FLUSHDB")).await?,
                true => {}
                false => redis.ask::<()>(cmd("DEL").arg(&keys)).await?,
            }
            Ok(keys.len())
        })
        .await
    }

    /// Puts something wrong under each key, with the time to live that it has. Returns how many.
    pub async fn poison(&self, memory: &Memory) -> Result<usize, RedisTrouble> {
        in_time(async {
            let mut redis = self.connect().await?;
            let entries = redis.entries().await?;
            let wrong = memory.poisoned(&entries);
            let mut put = Pipeline::with_capacity(wrong.len());
            for (key, value) in &wrong {
                put.cmd("SET").arg(key).arg(value).arg("KEEPTTL").ignore();
            }
            // No command at all is one that Redis does not know.
            if !wrong.is_empty() {
                put.query_async::<()>(&mut redis.0).await?;
            }
            memory.remember(entries);
            Ok(wrong.len())
        })
        .await
    }

    /// Remembers what lies there and was not seen before.
    pub async fn look(&self, memory: &Memory) -> Result<(), RedisTrouble> {
        in_time(async {
            memory.remember(self.connect().await?.entries().await?);
            Ok(())
        })
        .await
    }

    async fn connect(&self) -> Result<Connection, RedisTrouble> {
        let client = Client::open(self.url()?)?;
        Ok(Connection(client.get_multiplexed_async_connection().await?))
    }
}

async fn in_time<T>(errand: impl Future<Output = Result<T, RedisTrouble>>) -> Result<T, RedisTrouble> {
    tokio::time::timeout(DEADLINE, errand).await.unwrap_or(Err(RedisTrouble::Late))
}

struct Connection(MultiplexedConnection);

impl Connection {
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisTrouble> {
        Ok(command.query_async(&mut self.0).await?)
    }

    /// Those of the store, at most [`MAX_KEYS`].
    async fn keys(&mut self) -> Result<Vec<String>, RedisTrouble> {
        let mut found = BTreeSet::new();
        for pattern in PATTERNS {
            let mut cursor = 0_u64;
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(MAX_KEYS);
                let (next, keys): (u64, Vec<String>) = self.ask(&scan).await?;
                found.extend(keys);
                cursor = next;
                if cursor == 0 || found.len() >= MAX_KEYS {
                    break;
                }
            }
        }
        Ok(found.into_iter().take(MAX_KEYS).collect())
    }

    /// Those of at most [`MAX_VALUE`].
    async fn entries(&mut self) -> Result<Vec<Entry>, RedisTrouble> {
        let keys = self.keys().await?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let values: Vec<Option<Vec<u8>>> = self.ask(cmd("MGET").arg(&keys)).await?;
        let there = |(key, value): (String, Option<Vec<u8>>)| Some((key, value?));
        let small = |(_, value): &Entry| value.len() <= MAX_VALUE;
        Ok(keys.into_iter().zip(values).filter_map(there).filter(small).collect())
    }
}

impl Memory {
    fn remember(&self, entries: Vec<Entry>) {
        let mut memory = self.0.lock();
        for (key, value) in entries {
            if memory.len() < MAX_KEYS {
                memory.entry(key).or_insert(value);
            }
        }
    }

    /// Something wrong for each of `entries`; neighbours get different kinds of it.
    fn poisoned(&self, entries: &[Entry]) -> Vec<Entry> {
        let memory = self.0.lock();
        let poison = |(number, (key, value)): (usize, &Entry)| {
            let old = memory.get(key).filter(|&old| old != value);
            let other = number.checked_sub(1).map(|before| &entries[before].1);
            (key.clone(), poisoned(number, value, old, other))
        };
        entries.iter().enumerate().map(poison).collect()
    }
}

/// Something plausible and wrong instead of `value`: what was true once, what is true of another key, more
/// copies at a version of the far future, or noise. Each key gets another kind.
fn poisoned(number: usize, value: &[u8], old: Option<&Vec<u8>>, other: Option<&Vec<u8>>) -> Vec<u8> {
    match (number % 4, old, other) {
        (0, Some(old), _) => old.clone(),
        (0 | 1, _, Some(other)) => other.clone(),
        (3, ..) => {
            let mut noise = vec![0; value.len()];
            rand::rng().fill_bytes(&mut noise);
            noise
        }
        _ => boasting(value),
    }
}

/// `value` with a 9 before every number behind a name of its JSON: its version and the count of copies are
/// larger than the true ones.
fn boasting(value: &[u8]) -> Vec<u8> {
    let mut boast = Vec::with_capacity(value.len() + 16);
    let mut before = 0;
    for &byte in value {
        if before == b':' && byte.is_ascii_digit() {
            boast.push(b'9');
        }
        boast.push(byte);
        before = byte;
    }
    if boast.len() == value.len() {
        boast.push(rand::rng().random());
    }
    boast
}

/// `--port`, `--bind` and nothing that lasts.
pub fn arguments(addr: SocketAddr) -> Vec<OsString> {
    let port = addr.port().to_string();
    let host = addr.ip().to_string();
    let args = [
        ["--port", &port],
        ["--bind", &host],
        ["--save", ""],
        ["--appendonly", "no"],
        ["--daemonize", "no"],
        // Of what a demonstration never fills.
        ["--maxmemory", "64mb"],
        ["--maxmemory-policy", "allkeys-lru"],
    ];
    args.iter().flatten().map(OsString::from).collect()
}

/// `host:port` of a URL that leads over TCP.
fn authority(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok().filter(|url| url.scheme() == "redis")?;
    Some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(6379)))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|dir| dir.join(program)).find(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_was_named_is_met_behind_a_link_with_its_password_and_database() {
        let redis = Redis::choose(Some("redis://:secret@cache.example/3")).unwrap();
        let Redis::Given { authority, .. } = &redis else { panic!("{redis:?}") };
        assert_eq!(authority.as_deref(), Some("cache.example:6379"));
        let through = redis.url_through("127.0.0.1:7".parse().unwrap());
        assert_eq!(through.as_deref(), Some("redis://:secret@127.0.0.1:7/3"));
        let Redis::Given { authority: None, .. } = Redis::choose(Some("redis+unix:///run/redis")).unwrap()
        else {
            panic!("a socket is no address");
        };
    }

    #[test]
    fn whatever_is_put_there_differs_from_what_was_there() {
        let value = br#"....{"asof":{"epoch":1,"seq":12},"found":true}{"numberOfItems":15}"#;
        let (old, other) = (b"old".to_vec(), b"other".to_vec());
        for number in 0..8 {
            for old in [None, Some(&old)] {
                for other in [None, Some(&other)] {
                    assert_ne!(poisoned(number, value, old, other), value);
                }
            }
        }
        assert!(
            String::from_utf8(boasting(value))
                .unwrap()
                .contains(r#""seq":912},"found":true}{"numberOfItems":915"#)
        );
    }
}
