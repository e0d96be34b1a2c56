//! All books of one state, one after the other.
//!
//! Invariant: what is handed out is one SQLite snapshot, whatever is written meanwhile.

use super::{Store, StoreError, connection, rows};
use crate::domain::{Book, Version};
use futures_util::TryStreamExt;
use sqlx::{Connection, SqliteConnection};

impl Store {
    /// Hands `sink` every book in order of its number, until it fails. Gives the version of the state and the
    /// number of books.
    pub async fn each_book(
        &self,
        sink: impl AsyncFnMut(Book) -> Result<(), StoreError>,
    ) -> Result<(Version, u64), StoreError> {
        // A connection of its own: it is busy for as long as the reader takes.
        let mut reader = connection::reader(self.path()).await?;
        let read = read(&mut reader, sink).await;
        reader.close().await?;
        read
    }
}

async fn read(
    reader: &mut SqliteConnection,
    mut sink: impl AsyncFnMut(Book) -> Result<(), StoreError>,
) -> Result<(Version, u64), StoreError> {
    // The snapshot is taken by the first look, and kept until the transaction ends with the connection.
    sqlx::query("BEGIN").execute(&mut *reader).await?;
    let version = rows::position(reader).await?;
    let mut found =
        sqlx::query("SELECT id, title, topic, stock, price_cents FROM books ORDER BY id").fetch(reader);
    let mut count = 0;
    while let Some(row) = found.try_next().await? {
        if let Some(book) = rows::book(&row, 0)? {
            sink(book).await?;
            count += 1;
        }
    }
    Ok((version, count))
}
