//! The store as its callers see it, on real files.

mod digest;
mod directory;
mod editing;
mod epochs;
mod importing;
mod keeping;
mod listing;
mod parsing;
mod reading;
mod replication;
mod searching;
mod writing;

use super::{DataDir, Decided, LogPage, NewEpoch, Store, Writer, current_file};
use crate::domain::{
    Book, BookId, Cents, Edit, IdempotencyKey, NewBook, NodeId, OrderId, Outcome, Purchase, Quantity,
    Receipt, Record, Refusal, Request, Stock, Title, Topic, Version,
};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::path::Path;
use tempfile::TempDir;

/// An identity that does not fit a signed integer.
const IDENTITY: u64 = 0xfedc_ba98_7654_3210;
const NOW_MS: i64 = 1_700_000_000_000;
const LEASE_MS: u64 = 3_000;
const NODE: NodeId = NodeId(0xfeed_beef_dead_cafe);

/// How many answers the file under `data` keeps, for tests of those who forget them.
pub async fn stored_answers(data: &Path) -> i64 {
    let options = SqliteConnectOptions::new().filename(current_file(data).unwrap());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM answers").fetch_one(&mut connection).await.unwrap()
}

fn new_epoch(identity: u64, at_least: u64, lease_term_ms: u64) -> NewEpoch {
    NewEpoch { identity, at_least, lease_term_ms, node: NODE }
}

/// An open store in a directory of its own.
struct Node {
    store: Store,
    writer: Writer,
    data: DataDir,
    dir: TempDir,
}

impl Node {
    /// At genesis, with the books of the migration.
    async fn fresh() -> Node {
        let dir = TempDir::new().unwrap();
        let data = DataDir::lock(dir.path(), "test").unwrap();
        let (store, writer) = data.open(2).await.unwrap();
        Node { store, writer, data, dir }
    }

    /// A master in its first epoch.
    async fn master() -> Node {
        let mut node = Node::fresh().await;
        node.writer.start_epoch(new_epoch(IDENTITY, 0, LEASE_MS)).await.unwrap();
        node
    }

    async fn write(&mut self, requests: &[Request]) -> Decided {
        let prepared = self.writer.prepare(requests, NOW_MS, None).await.unwrap();
        if prepared.record.is_some() {
            self.writer.commit().await.unwrap();
        }
        prepared
    }

    /// Every table but sqlx's own, as text; of the full-text index, which may lie in any number of pieces, its
    /// words.
    async fn dump(&self) -> String {
        dump(&current_file(self.dir.path()).unwrap()).await
    }

    async fn restart(self) -> Node {
        let Node { store, writer, data, dir } = self;
        store.close().await;
        writer.checkpoint_and_close().await.unwrap();
        let (store, writer) = data.open(2).await.unwrap();
        Node { store, writer, data, dir }
    }
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}

async fn dump(path: &Path) -> String {
    let mut connection = connect(path).await;
    sqlx::raw_sql("CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'titles', 'instance')")
        .execute(&mut connection)
        .await
        .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> '_sqlx_migrations' AND name NOT LIKE 'titles%'
         UNION ALL SELECT 'words' ORDER BY name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let expected = [
        "answers",
        "books",
        "deposed",
        "edit_answers",
        "epochs",
        "imports",
        "log",
        "orders",
        "sqlite_sequence",
        "topics",
        "words",
    ];
    assert_eq!(tables, expected);
    let mut dump = String::new();
    for table in tables {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1)")
            .bind(&table)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
        let sql = format!(
            "SELECT CAST(concat_ws(', ', {}) AS BLOB) FROM {table} ORDER BY {}",
            quoted.join(", "),
            if table == "words" { "term, doc, offset" } else { &columns[0] }
        );
        let rows: Vec<Vec<u8>> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        let rows: Vec<_> = rows.iter().map(|row| String::from_utf8_lossy(row)).collect();
        dump.push_str(&format!("{table}: {}\n{}\n", columns.join(", "), rows.join("\n")));
    }
    connection.close().await.unwrap();
    dump
}

/// The records behind `predecessor`, which must be known.
async fn log_behind(store: &Store, predecessor: Version) -> Vec<Record> {
    match store.log_after(predecessor, u32::MAX, u64::MAX).await.unwrap() {
        LogPage::Records(records) => records,
        LogPage::Unknown => panic!("{predecessor} is unknown"),
    }
}

/// Changes a file behind the back of whoever has it open.
async fn alter(node: &Node, sql: &'static str) {
    let mut connection = connect(&current_file(node.dir.path()).unwrap()).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn id(number: i64) -> BookId {
    BookId::new(number).unwrap()
}

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

/// One copy of a book under the key and order id number `n`.
fn purchase(n: u128, book: i64) -> Purchase {
    Purchase {
        order_id: OrderId::draw(0, n),
        key: IdempotencyKey::parse(format!("key-{n}")).unwrap(),
        book_id: id(book),
        quantity: Quantity::ONE,
        offer: None,
    }
}

fn buy(n: u128, book: i64) -> Request {
    Request::Purchase(purchase(n, book))
}

fn new_book(title: &str, about: &str) -> NewBook {
    NewBook {
        title: Title::parse(title).unwrap(),
        topic: topic(about),
        stock: Stock::new(3).unwrap(),
        price: Cents::new(1999).unwrap(),
    }
}

fn create(title: &str, about: &str) -> Request {
    Request::Edit(Edit::Create(new_book(title, about)))
}

fn restock(book: i64, copies: u32) -> Request {
    Request::Edit(Edit::Restock { book_id: id(book), copies })
}

fn delete(book: i64) -> Request {
    Request::Edit(Edit::Delete { book_id: id(book) })
}

fn sold(outcome: &Outcome) -> Result<Receipt, Refusal> {
    match outcome {
        Outcome::Purchase { answer, .. } => *answer,
        other => panic!("{other:?}"),
    }
}

fn edited(outcome: &Outcome) -> (Option<Book>, Version) {
    match outcome {
        Outcome::Edit(Ok(edited)) => (edited.book.clone(), edited.version),
        other => panic!("{other:?}"),
    }
}
