//! Reading, from a pool of read-only connections.
//!
//! Invariant: a value and its `asof` come from one SQLite snapshot. Each read is a single statement that
//! joins the last log row, since a transaction around several would cost a round trip to the
//! connection's thread for each.

use super::{StoreError, connection, rows};
use crate::domain::{
    Book, BookId, BookPage, Order, OrderId, QueryPage, Rank, Title, Topic, TopicCount, Version, Words,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqliteConnection, SqlitePool};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The index is walked from the row behind the one given, and only as far as the limit; each of its rows ends in
/// the number of its book.
const BOOKS_WITH_WORDS: &str =
    "SELECT l.epoch_number, l.epoch_identity, l.seq, b.id, b.title, b.topic, b.stock, b.price_cents
     FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
     LEFT JOIN (SELECT rowid AS rank FROM titles WHERE titles MATCH ?1 AND rowid > ?2
                ORDER BY rowid LIMIT ?3) AS t
     LEFT JOIN books AS b ON b.id = t.rank & 9007199254740991
     ORDER BY t.rank";

/// How long a search may take: one that finds more than it can look through by then is given up. With
/// [`SEARCH_PATIENCE`] less than a frontend waits for a node.
const SEARCH_DEADLINE: Duration = Duration::from_millis(250);

/// How long a search waits for those before it.
const SEARCH_PATIENCE: Duration = Duration::from_millis(200);

/// Steps of SQLite's machine between two looks at the clock: some microseconds.
const SEARCH_STEPS: i32 = 1000;

/// The row of the full-text index that a rank stands for: the schema has the same arithmetic.
fn title_row(rank: Rank) -> i64 {
    i64::from(rank.chars) << 53 | rank.id.get()
}

/// A title has at most 300.
fn chars(title: &Title) -> u16 {
    u16::try_from(title.as_str().chars().count()).unwrap_or(u16::MAX)
}

const BOOK: &str =
    "SELECT l.epoch_number, l.epoch_identity, l.seq, b.id, b.title, b.topic, b.stock, b.price_cents
     FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
     LEFT JOIN books AS b ON b.id = ?1";

const BOOKS_OF_TOPIC: &str =
    "SELECT l.epoch_number, l.epoch_identity, l.seq, b.id, b.title, b.topic, b.stock, b.price_cents
     FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
     LEFT JOIN (SELECT id, title, topic, stock, price_cents FROM books
                WHERE topic = ?1 AND id > ?2 ORDER BY id LIMIT ?3) AS b
     ORDER BY b.id";

const TOPICS: &str = "SELECT l.epoch_number, l.epoch_identity, l.seq, t.topic, t.books
     FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
     LEFT JOIN topics AS t
     ORDER BY t.topic LIMIT ?1";

/// Topics in the list of topics. With the longest names they fit into what one role takes from another.
pub const MAX_TOPICS: u32 = 10_000;

const ORDER: &str = "SELECT l.epoch_number, l.epoch_identity, l.seq, o.order_id, o.book_id, o.quantity,
            o.total_cents, o.created_at_ms, o.epoch_number, o.epoch_identity, o.seq
     FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l
     LEFT JOIN orders AS o ON o.order_id = ?1";

/// For the test that each of them is a seek, whatever the size of the catalog.
#[cfg(test)]
pub(super) const STATEMENTS: [(&str, &str); 5] = [
    ("book", BOOK),
    ("books of a topic", BOOKS_OF_TOPIC),
    ("books with words", BOOKS_WITH_WORDS),
    ("topics", TOPICS),
    ("order", ORDER),
];

/// What was read, and the version of the state that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<T> {
    pub asof: Version,
    pub value: T,
}

/// A cheap handle for reading; clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pool: SqlitePool,
    path: PathBuf,
    /// For searches, opened by the first one. They take the longer the more titles have their words, so they have
    /// one connection among them, and never keep the others from reading.
    searcher: Arc<Mutex<Option<SqliteConnection>>>,
}

impl Store {
    pub(super) fn new(pool: SqlitePool, path: PathBuf) -> Self {
        Self { pool, path, searcher: Arc::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The version of the last committed record.
    pub async fn position(&self) -> Result<Version, StoreError> {
        let mut connection = self.pool.acquire().await?;
        rows::position(&mut connection).await
    }

    /// How many books there are without a copy. Looks at all of them: some 0.1 s for a million.
    pub async fn out_of_stock(&self) -> Result<u64, StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM books WHERE stock = 0").fetch_one(&self.pool).await?;
        Ok(count.cast_unsigned())
    }

    pub async fn book(&self, id: BookId) -> Result<Snapshot<Option<Book>>, StoreError> {
        let row =
            sqlx::query(BOOK).bind(id.get()).fetch_optional(&self.pool).await?.ok_or_else(rows::empty_log)?;
        Ok(Snapshot { asof: rows::version(&row, 0)?, value: rows::book(&row, 3)? })
    }

    /// Those of `ids` that there are, all from one snapshot, in one statement whose only row is easier on
    /// the connection's thread than a row for each book.
    pub async fn books(&self, ids: &[BookId]) -> Result<Snapshot<Vec<Book>>, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
        let row = sqlx::query(
            "SELECT l.epoch_number, l.epoch_identity, l.seq,
                    (SELECT json_group_array(json_array(b.id, b.title, b.topic, b.stock, b.price_cents))
                     FROM json_each(?1) AS wanted CROSS JOIN books AS b ON b.id = wanted.value)
             FROM (SELECT epoch_number, epoch_identity, seq FROM log ORDER BY seq DESC LIMIT 1) AS l",
        )
        .bind(serde_json::to_string(&ids)?)
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(rows::empty_log)?;
        Ok(Snapshot { asof: rows::version(&row, 0)?, value: rows::books(row.try_get(3)?)? })
    }

    /// At most `limit` books of the topic, those behind the number `after`.
    pub async fn books_of_topic(
        &self,
        topic: &Topic,
        after: Option<BookId>,
        limit: u32,
    ) -> Result<Snapshot<BookPage>, StoreError> {
        let limit = limit.max(1) as usize;
        let found = sqlx::query(BOOKS_OF_TOPIC)
            .bind(topic.as_str())
            .bind(after.map_or(0, BookId::get))
            .bind(limit as i64 + 1)
            .fetch_all(&self.pool)
            .await?;
        let (asof, books, next) = page(&found, limit, |last| last.id)?;
        Ok(Snapshot { asof, value: BookPage { books, next } })
    }

    /// At most `limit` of the books whose titles have all the `words`, in order of their rank, those behind
    /// the rank `after`. [`StoreError::Busy`] where that takes too long.
    pub async fn books_with_words(
        &self,
        words: &Words,
        after: Option<Rank>,
        limit: u32,
    ) -> Result<Snapshot<QueryPage>, StoreError> {
        self.search(words, after, limit, SEARCH_DEADLINE).await
    }

    /// The same, given up after `deadline`.
    pub(super) async fn search(
        &self,
        words: &Words,
        after: Option<Rank>,
        limit: u32,
        deadline: Duration,
    ) -> Result<Snapshot<QueryPage>, StoreError> {
        let limit = limit.max(1) as usize;
        let in_turn = tokio::time::timeout(SEARCH_PATIENCE, self.searcher.lock()).await;
        let mut searcher = in_turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let connection = match &mut *searcher {
            Some(connection) => connection,
            none => none.insert(connection::reader(&self.path).await?),
        };
        // Each search sets its own, also behind one whose caller has gone away.
        let until = Instant::now() + deadline;
        connection.lock_handle().await?.set_progress_handler(SEARCH_STEPS, move || Instant::now() < until);
        let found = sqlx::query(BOOKS_WITH_WORDS)
            .bind(words.to_fts5())
            .bind(after.map_or(0, title_row))
            .bind(limit as i64 + 1)
            .fetch_all(&mut *connection)
            .await?;
        let (asof, books, next) =
            page(&found, limit, |last| Rank { chars: chars(&last.title), id: last.id })?;
        Ok(Snapshot { asof, value: QueryPage { books, next } })
    }

    /// The topics in order of their text: the first [`MAX_TOPICS`] of them.
    pub async fn topics(&self) -> Result<Snapshot<Vec<TopicCount>>, StoreError> {
        let found = sqlx::query(TOPICS).bind(MAX_TOPICS).fetch_all(&self.pool).await?;
        let asof = rows::version(found.first().ok_or_else(rows::empty_log)?, 0)?;
        let mut topics = Vec::with_capacity(found.len());
        for row in &found {
            if let Some(topic) = row.try_get::<Option<String>, _>(3)? {
                let books: i64 = row.try_get(4)?;
                topics.push(TopicCount { topic: Topic::parse(topic)?, books: books.cast_unsigned() });
            }
        }
        Ok(Snapshot { asof, value: topics })
    }

    pub async fn order(&self, id: OrderId) -> Result<Snapshot<Option<Order>>, StoreError> {
        let row = sqlx::query(ORDER)
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?
            .ok_or_else(rows::empty_log)?;
        Ok(Snapshot { asof: rows::version(&row, 0)?, value: rows::order(&row, 3)? })
    }

    /// Waits for running reads and closes the connections of all clones.
    pub async fn close(self) {
        if let Some(searcher) = self.searcher.lock().await.take() {
            searcher.close().await.ok();
        }
        self.pool.close().await;
    }
}

/// The books of `found`, at most `limit`, and the place of the last of them if there are more: one row too
/// many says so.
pub(super) fn page<P>(
    found: &[SqliteRow],
    limit: usize,
    place: impl FnOnce(&Book) -> P,
) -> Result<(Version, Vec<Book>, Option<P>), StoreError> {
    let asof = rows::version(found.first().ok_or_else(rows::empty_log)?, 0)?;
    let mut books = Vec::with_capacity(found.len());
    for row in found {
        books.extend(rows::book(row, 3)?);
    }
    let more = books.len() > limit;
    books.truncate(limit);
    let next = books.last().filter(|_| more).map(place);
    Ok((asof, books, next))
}
