//! The second level: Redis, shared by the frontends and never trusted.
//!
//! Invariants: what no frontend of this store wrote is a miss (a keyed MAC covers the name, the version
//! with its identity, the book ids and the content); what one did write is judged by the serving rule
//! like everything else; Redis absent, slow or full costs at most [`PATIENCE`] a request for as long as
//! it takes to notice, and one log line a minute.

use super::entry::{Content, Want};
use super::link::Address;
use crate::client::{Bounds, Gatherer};
use crate::domain::{BookId, Version};
use crate::metrics::{QueueName, RedisCounts, RedisDone, RedisLookup, RedisOperation, Sheet, Timed};
use crate::shutdown::Shutdown;
use crate::telemetry::trace::KeyValue;
use crate::telemetry::{self, Carried, trace};
use crate::token::{DerivedKeys, InternalToken};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, cmd};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The longest that a request waits for Redis.
const PATIENCE: Duration = Duration::from_millis(50);

/// Late replies in a row after which it is not asked any more: a single one is a busy moment of ours as
/// often as of Redis.
const LATE_IN_A_ROW: usize = 3;

/// Between two looks at whether Redis lives.
const ROUND: Duration = Duration::from_secs(1);

/// To connect, or to answer a PING.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// Larger answers are not put there, and no more than this is ever read from it.
pub(super) const MAX_VALUE: usize = 1 << 20;

/// Writes that wait; with more they are dropped, which costs a later miss.
const WRITE_QUEUE: usize = 256;

/// Reads that come while others are under way share a pipeline: its cost is that of waking the connection's
/// thread and of one system call at each end. 32 of the largest values are 32 MiB. With more waiting on one
/// thread the catalog is asked at once.
pub(super) const PIPELINE: Bounds = Bounds { batch: 32, calls: 2, waiting: 256 };

/// Between two log lines about the same trouble.
const LOG_EVERY: Duration = Duration::from_secs(60);

pub struct Redis {
    address: Address,
    /// The one connection that all requests share; `None` while Redis is not to be had.
    connection: ArcSwapOption<MultiplexedConnection>,
    late: AtomicUsize,
    /// By name: the value, or nothing.
    reads: Gatherer<(String, Carried), Reply>,
    writes: mpsc::Sender<Write>,
    /// Writes that found no room.
    dropped: AtomicU64,
    counts: RedisCounts,
    mac_keys: DerivedKeys,
    /// Where it is, for spans: `server.address` and `server.port`.
    place: Vec<KeyValue>,
    complaint: Mutex<Complaint>,
}

/// Redis said nothing that could be used.
#[derive(Clone, Copy)]
struct NoReply;

/// The value, nothing, or no answer.
type Reply = Result<Option<Vec<u8>>, NoReply>;

/// What the log was told last.
#[derive(Default)]
struct Complaint {
    /// When it was told of trouble. Kept when Redis comes back: one that comes and goes would otherwise
    /// be complained about each time.
    at: Option<Instant>,
    /// Whether it still believes that.
    stands: bool,
}

struct Write {
    name: String,
    value: Vec<u8>,
    ttl: Duration,
}

/// What stands before the body in a value.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    asof: Version,
    books: Vec<BookId>,
    found: bool,
}

/// The bookkeeping behind [`Redis`].
pub struct Keeper {
    redis: Arc<Redis>,
    writes: mpsc::Receiver<Write>,
}

impl Redis {
    /// `url`: `redis://host:port` or `redis+unix:///path`. The error is a sentence about the URL.
    pub fn new(url: &str, token: &InternalToken, counts: RedisCounts) -> Result<(Arc<Self>, Keeper), String> {
        let address = Address::parse(url)?;
        let (writes, queue) = mpsc::channel(WRITE_QUEUE);
        let redis = Arc::new_cyclic(|redis: &Weak<Self>| Self {
            address,
            connection: ArcSwapOption::empty(),
            late: AtomicUsize::new(0),
            reads: Gatherer::new(PIPELINE, {
                let redis = Weak::clone(redis);
                move |asked: Vec<(String, Carried)>| {
                    let context = telemetry::shared("redis", asked.iter().map(|(_, carried)| carried));
                    let names = asked.into_iter().map(|(name, _)| name).collect();
                    trace::part_of(context, read(redis.upgrade(), names))
                }
            }),
            writes,
            dropped: AtomicU64::new(0),
            counts,
            mac_keys: token.derived("bazar redis entry 1"),
            place: place(url),
            complaint: Mutex::default(),
        });
        Ok((Arc::clone(&redis), Keeper { redis, writes: queue }))
    }

    /// What a scraper is told: what waits.
    pub fn read(&self, sheet: &mut Sheet) {
        let reads = &self.reads;
        sheet.queue(QueueName::RedisReads, reads.waiting(), reads.room(), reads.rejected());
        let (room, dropped) = (self.writes.max_capacity(), self.dropped.load(Ordering::Relaxed));
        sheet.queue(QueueName::RedisWrites, room - self.writes.capacity(), room, dropped);
    }

    /// What Redis holds for `want`, if a frontend of this store wrote it. Everything else is a miss, with its reason.
    pub async fn get(&self, want: &Want) -> Result<Content, RedisLookup> {
        self.named(&want.redis_name()).await
    }

    /// The same for the name that a want has here.
    pub(super) async fn named(&self, name: &str) -> Result<Content, RedisLookup> {
        if self.connection.load().is_none() {
            return Err(RedisLookup::Unavailable);
        }
        let Ok(Ok(value)) = self.reads.submit((name.to_owned(), Carried::here())).await else {
            return Err(RedisLookup::Unavailable);
        };
        let content = self.open(name, value.ok_or(RedisLookup::Absent)?);
        content.ok_or_else(|| {
            self.complain(&format!("{name:?} holds something that no frontend of this store wrote"));
            RedisLookup::Foreign
        })
    }

    /// Puts `content` there some time soon, or not at all.
    pub fn put(&self, want: &Want, content: &Content, ttl: Duration) {
        if self.connection.load().is_none() || content.body.len() > MAX_VALUE / 2 {
            return;
        }
        let name = want.redis_name();
        if let Some(value) = self.seal(&name, content).filter(|value| value.len() <= MAX_VALUE) {
            // Full: Redis is slower than we are, and this entry will not be missed.
            if self.writes.try_send(Write { name, value, ttl }).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn connection(&self) -> Option<Arc<MultiplexedConnection>> {
        self.connection.load_full()
    }

    pub fn is_connected(&self) -> bool {
        self.connection.load().is_some()
    }

    /// A reply within [`PATIENCE`]; without one the connection is given up until the keeper has tested a
    /// new one.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        connection: &Arc<MultiplexedConnection>,
        operation: RedisOperation,
        command: Cmd,
    ) -> Option<T> {
        let mut shared = MultiplexedConnection::clone(connection);
        self.reply(connection, operation, command.query_async(&mut shared))
            .await
            .and_then(|reply| self.good(connection, reply))
    }

    /// The values that lie under `names`.
    async fn values(&self, names: &[String]) -> Option<Vec<Option<Vec<u8>>>> {
        let connection = self.connection.load_full()?;
        let mut pipeline = Pipeline::with_capacity(names.len());
        pipeline.ignore_errors();
        for name in names {
            pipeline.cmd("GETRANGE").arg(name).arg(0).arg(MAX_VALUE - 1);
        }
        let mut shared = MultiplexedConnection::clone(&connection);
        let replies: Result<Vec<RedisResult<Vec<u8>>>, _> =
            self.reply(&connection, RedisOperation::Get, pipeline.query_async(&mut shared)).await?;
        let replies = self.good(&connection, replies)?.into_iter();
        let there = |value: &Vec<u8>| !value.is_empty();
        Some(replies.map(|reply| self.good(&connection, reply).filter(there)).collect())
    }

    /// What comes back within [`PATIENCE`].
    async fn reply<T>(
        &self,
        connection: &Arc<MultiplexedConnection>,
        operation: RedisOperation,
        reply: impl Future<Output = RedisResult<T>>,
    ) -> Option<RedisResult<T>> {
        let Timed { value, took } = Timed::of(tokio::time::timeout(PATIENCE, reply)).await;
        let outcome = match &value {
            Ok(Ok(_)) => RedisDone::Ok,
            Ok(Err(_)) => RedisDone::Error,
            Err(_) => RedisDone::Late,
        };
        self.counts.asked(operation, outcome, took);
        match value {
            Ok(reply) => {
                self.late.store(0, Ordering::Relaxed);
                Some(reply)
            }
            Err(_) => {
                if self.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE_IN_A_ROW {
                    self.give_up(connection, "it is too slow");
                }
                None
            }
        }
    }

    /// What is no error; after one that is not about the key alone the connection is given up.
    fn good<T>(&self, connection: &Arc<MultiplexedConnection>, reply: RedisResult<T>) -> Option<T> {
        match reply {
            Ok(reply) => Some(reply),
            Err(error) if is_about_the_key(&error) => None,
            Err(error) => {
                self.give_up(connection, &error.to_string());
                None
            }
        }
    }

    fn give_up(&self, connection: &Arc<MultiplexedConnection>, cause: &str) {
        let current = self.connection.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            self.connection.store(None);
            self.late.store(0, Ordering::Relaxed);
            self.complain(cause);
        }
    }

    /// Says what is wrong, at most once a minute.
    fn complain(&self, cause: &str) {
        let mut complaint = self.complaint.lock();
        if complaint.at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *complaint = Complaint { at: Some(Instant::now()), stands: true };
            log::warn!("Redis is not used as it could be, reads go on without it: {cause}");
        }
    }

    /// `mac ‖ length of head ‖ head ‖ body`
    fn seal(&self, name: &str, content: &Content) -> Option<Vec<u8>> {
        let head = Head { asof: content.asof, books: content.books.clone(), found: content.found };
        let head = serde_json::to_vec(&head).ok()?;
        let length = u32::try_from(head.len()).ok()?.to_le_bytes();
        let of_name = (name.len() as u64).to_le_bytes();
        let mac = self.mac_keys.mac(&[&of_name, name.as_bytes(), &length, &head, &content.body]);
        Some([&mac[..], &length, &head, &content.body].concat())
    }

    fn open(&self, name: &str, value: Vec<u8>) -> Option<Content> {
        let value = Bytes::from(value);
        let (mac, rest) = value.split_at_checked(32)?;
        let length = (name.len() as u64).to_le_bytes();
        if !self.mac_keys.is_mac(&[&length, name.as_bytes(), rest], mac) {
            return None;
        }
        let (length, rest) = rest.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let (head, body) = rest.split_at_checked(length)?;
        let Head { asof, books, found } = serde_json::from_slice(head).ok()?;
        Some(Content { asof, books, found, body: value.slice_ref(body) })
    }
}

/// Of the server, without the password that may stand before it.
fn place(url: &str) -> Vec<KeyValue> {
    let Ok(url) = url::Url::parse(url) else { return Vec::new() };
    let host = url.host_str().map(|host| KeyValue::new("server.address", host.to_owned()));
    let port = url.port().map(|port| KeyValue::new("server.port", i64::from(port)));
    host.into_iter().chain(port).collect()
}

/// One pipeline for all of `names`.
async fn read(redis: Option<Arc<Redis>>, names: Vec<String>) -> Vec<Reply> {
    let Some(redis) = redis else { return Vec::new() };
    let attributes = || {
        let [system, name, size] = ["db.system.name", "db.operation.name", "db.operation.batch.size"];
        let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
        let mut attributes = vec![KeyValue::new(system, "redis"), KeyValue::new(name, "GETRANGE")];
        // The convention: only of what is a batch.
        attributes.extend((count > 1).then(|| KeyValue::new(size, count)));
        attributes.extend(redis.place.clone());
        attributes
    };
    let values = trace::client("GETRANGE", attributes, async {
        let values = redis.values(&names).await;
        if values.is_none() {
            trace::fail("no_answer");
        }
        values
    });
    match values.await {
        Some(values) => values.into_iter().map(Ok).collect(),
        None => vec![Err(NoReply); names.len()],
    }
}

/// An error in one value (of another type, say) says nothing about Redis.
fn is_about_the_key(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

impl Keeper {
    /// Connects, writes, and tests the connection, until `stop`.
    pub async fn run(mut self, stop: Shutdown) {
        let mut round = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                _ = round.tick() => self.look().await,
                Some(write) = self.writes.recv() => self.write(write).await,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn write(&self, write: Write) {
        let Some(connection) = self.redis.connection.load_full() else { return };
        let mut set = cmd("SET");
        set.arg(write.name).arg(write.value).arg("EX").arg(write.ttl.as_secs().max(1));
        let _: Option<()> = self.redis.ask(&connection, RedisOperation::Set, set).await;
    }

    async fn look(&self) {
        let redis = &self.redis;
        if let Some(connection) = redis.connection.load_full() {
            let _: Option<String> = redis.ask(&connection, RedisOperation::Ping, cmd("PING")).await;
            return;
        }
        match self.connect().await {
            Ok(connection) => {
                redis.connection.store(Some(Arc::new(connection)));
                if std::mem::take(&mut redis.complaint.lock().stands) {
                    log::info!("Redis is used again");
                }
            }
            Err(cause) => redis.complain(&cause),
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let tested = async {
            let mut connection = self.redis.address.connect().await?;
            let _: String = cmd("PING").query_async(&mut connection).await?;
            Ok::<_, RedisError>(connection)
        };
        match tokio::time::timeout(CONNECT_DEADLINE, tested).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_) => Err("it is too slow".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Epoch;
    use crate::metrics::{Registry, RoleName};

    fn redis(token: &str) -> Arc<Redis> {
        let counts = RedisCounts::new(&Registry::new(RoleName::Frontend));
        Redis::new("redis://127.0.0.1:1", &InternalToken::parse(token).unwrap(), counts).unwrap().0
    }

    fn content() -> Content {
        let asof = Version::new(Epoch { number: 1, identity: 7 }, 3);
        Content {
            asof,
            books: vec![BookId::new(9).unwrap()],
            found: true,
            body: Bytes::from_static(b"{\"id\":9"),
        }
    }

    #[test]
    fn what_this_store_wrote_is_read_back() {
        let redis = redis("0123456789abcdef");
        let value = redis.seal("info:9", &content()).unwrap();
        assert_eq!(redis.open("info:9", value), Some(content()));
    }

    #[test]
    fn a_value_of_another_name_or_another_store_or_with_a_bit_changed_is_a_miss() {
        let redis_a = redis("0123456789abcdef");
        let value = redis_a.seal("info:9", &content()).unwrap();
        assert_eq!(redis_a.open("info:10", value.clone()), None);
        assert_eq!(redis("another token 16".replace(' ', "-").as_str()).open("info:9", value.clone()), None);
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert_eq!(redis_a.open("info:9", changed), None, "byte {at}");
        }
        for length in 0..value.len() {
            assert_eq!(redis_a.open("info:9", value[..length].to_vec()), None);
        }
    }

    use proptest::prelude::*;

    fn contents() -> impl Strategy<Value = Content> {
        let books = proptest::collection::vec(1..=BookId::MAX.get(), 0..50);
        let body = proptest::collection::vec(any::<u8>(), 0..200);
        (any::<[u64; 3]>(), books, any::<bool>(), body).prop_map(
            |([number, identity, seq], books, found, body)| {
                let books = books.into_iter().map(|id| BookId::new(id).unwrap()).collect();
                Content {
                    asof: Version::new(Epoch { number, identity }, seq),
                    books,
                    found,
                    body: body.into(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn every_content_is_read_back_as_it_was_written(content in contents(), name in ".{0,40}") {
            let redis = redis("0123456789abcdef");
            let value = redis.seal(&name, &content).unwrap();
            prop_assert_eq!(redis.open(&name, value), Some(content));
        }

        #[test]
        fn rubbish_is_a_miss(value: Vec<u8>) {
            prop_assert_eq!(redis("0123456789abcdef").open("info:9", value), None);
        }

        #[test]
        fn a_value_that_is_cut_lengthened_or_altered_is_a_miss(
            content in contents(),
            at: proptest::sample::Index,
            bits in 1..=255u8,
            tail in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            let redis = redis("0123456789abcdef");
            let value = redis.seal("info:9", &content).unwrap();
            let at = at.index(value.len());
            let mut altered = value.clone();
            altered[at] ^= bits;
            for wrong in [altered, value[..at].to_vec(), [value, tail].concat()] {
                prop_assert_eq!(redis.open("info:9", wrong), None);
            }
        }

        /// Not even the key of this store makes it read beyond what there is, or take rubbish for a head.
        #[test]
        fn a_value_with_a_right_seal_and_any_length_and_head_is_read_or_a_miss(length: u32, rest: Vec<u8>) {
            let redis = redis("0123456789abcdef");
            for length in [length, length % 64, rest.len() as u32, u32::MAX] {
                let length = length.to_le_bytes();
                let mac = redis.mac_keys.mac(&[&6_u64.to_le_bytes(), b"info:9", &length, &rest]);
                let value = [&mac[..], &length, &rest].concat();
                prop_assert_eq!(redis.open("info:9", value), None);
            }
        }
    }
}
