//! Who looks at which books, and what each of them is still to be told.
//!
//! Invariant: of each book a watcher keeps one state, the newest that it was offered; so one that reads slowly is
//! told the latest and nothing in between, and nothing piles up for it.

use super::shown::Shown;
use crate::domain::BookId;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Open pages of one frontend. Each is a connection, which its page may have left up to two heartbeats ago.
pub const MAX_WATCHERS: usize = 2048;

/// All who look at something.
pub struct Watchers {
    looking: Mutex<Looking>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Looking {
    /// Under each book the watchers, by number.
    books: HashMap<BookId, HashMap<u64, Arc<Mailbox>>>,
    next: u64,
}

/// One who looks at some books, until this is dropped.
pub struct Watcher {
    all: Arc<Watchers>,
    number: u64,
    mailbox: Arc<Mailbox>,
}

/// What is known to one watcher, or still to be told.
#[derive(Default)]
struct Mailbox {
    books: Mutex<BTreeMap<BookId, Place>>,
    news: Notify,
}

/// One book's place on a page.
#[derive(Default)]
struct Place {
    latest: Option<Arc<Shown>>,
    /// `latest` looks other than what was told last.
    news: bool,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { looking: Mutex::default(), count: watch::channel(0).0 }
    }
}

impl Watchers {
    /// Somebody looks at `books` from now on. `None`: there are too many already.
    pub fn watch(self: &Arc<Self>, books: &BTreeSet<BookId>) -> Option<Watcher> {
        let mailbox = Arc::new(Mailbox {
            books: Mutex::new(books.iter().map(|&id| (id, Place::default())).collect()),
            news: Notify::new(),
        });
        let mut looking = self.looking.lock();
        let admitted = self.count.send_if_modified(|count| {
            let room = *count < MAX_WATCHERS;
            *count += usize::from(room);
            room
        });
        if !admitted {
            return None;
        }
        let number = looking.next;
        looking.next += 1;
        for &id in books {
            looking.books.entry(id).or_default().insert(number, Arc::clone(&mailbox));
        }
        drop(looking);
        log::debug!("{} pages are open", *self.count.borrow());
        Some(Watcher { all: Arc::clone(self), number, mailbox })
    }

    /// How many look at something.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Returns when somebody looks at something.
    pub async fn somebody(&self) {
        // The sender is ours, so there is one.
        let _ = self.count.subscribe().wait_for(|&count| count > 0).await;
    }

    /// The books that somebody looks at.
    pub fn books(&self) -> BTreeSet<BookId> {
        self.looking.lock().books.keys().copied().collect()
    }

    /// Those of `books` that somebody looks at.
    pub fn among(&self, books: &BTreeSet<BookId>) -> BTreeSet<BookId> {
        let looking = self.looking.lock();
        books.iter().copied().filter(|id| looking.books.contains_key(id)).collect()
    }

    /// Tells everybody who looks at the book, unless they know.
    pub fn tell(&self, id: BookId, shown: &Arc<Shown>) {
        let looking = self.looking.lock();
        for mailbox in looking.books.get(&id).into_iter().flat_map(HashMap::values) {
            mailbox.offer(id, shown);
        }
    }
}

impl Watcher {
    /// Tells this one only.
    pub fn tell(&self, id: BookId, shown: &Arc<Shown>) {
        self.mailbox.offer(id, shown);
    }

    /// What there is to tell, when there is something.
    pub async fn news(&self) -> Bytes {
        loop {
            if let Some(news) = self.mailbox.take() {
                return news;
            }
            self.mailbox.news.notified().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut looking = self.all.looking.lock();
        for id in self.mailbox.books.lock().keys() {
            if let Some(watchers) = looking.books.get_mut(id) {
                watchers.remove(&self.number);
                if watchers.is_empty() {
                    looking.books.remove(id);
                }
            }
        }
        drop(looking);
        self.all.count.send_modify(|count| *count -= 1);
        log::debug!("{} pages are open", *self.all.count.borrow());
    }
}

impl Mailbox {
    fn offer(&self, id: BookId, shown: &Arc<Shown>) {
        let mut books = self.books.lock();
        let Some(place) = books.get_mut(&id) else { return };
        let looks_other = match &place.latest {
            Some(latest) if !shown.is_newer_than(latest) => return,
            Some(latest) => !shown.looks_like(latest),
            None => true,
        };
        place.latest = Some(Arc::clone(shown));
        if looks_other && !std::mem::replace(&mut place.news, true) {
            self.news.notify_one();
        }
    }

    /// All that is to be told, as bytes that belong to everybody where there is only one.
    fn take(&self) -> Option<Bytes> {
        let mut books = self.books.lock();
        let untold = books.values_mut().filter_map(|place| match std::mem::take(&mut place.news) {
            true => place.latest.as_ref(),
            false => None,
        });
        let mut events = untold.map(|shown| shown.event());
        let first = events.next()?;
        let Some(second) = events.next() else { return Some(first) };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second);
        events.for_each(|event| all.extend_from_slice(&event));
        Some(all.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::super::shown::tests::{gone, shown};
    use super::*;
    use futures_util::FutureExt;

    fn ids<const N: usize>(books: [i64; N]) -> BTreeSet<BookId> {
        books.map(|id| BookId::new(id).unwrap()).into()
    }

    fn id(book: i64) -> BookId {
        BookId::new(book).unwrap()
    }

    /// What there is to tell now.
    fn news(watcher: &Watcher) -> Option<String> {
        watcher.news().now_or_never().map(|news| String::from_utf8(news.to_vec()).unwrap())
    }

    #[test]
    fn who_looks_is_told_the_latest_of_each_book_and_nothing_in_between() {
        let watchers = Arc::new(Watchers::default());
        let watcher = watchers.watch(&ids([7, 9])).unwrap();
        for stock in (3..15).rev() {
            watchers.tell(id(9), &shown(9, u64::from(20 - stock), stock));
        }
        watchers.tell(id(7), &shown(7, 1, 5));
        watchers.tell(id(8), &shown(8, 1, 5));
        assert_eq!(
            news(&watcher).unwrap(),
            "event: stock\nid: 1.1\ndata: {\"id\":7,\"numberOfItems\":5,\"bookCost\":28}\n\n\
             event: stock\nid: 1.17\ndata: {\"id\":9,\"numberOfItems\":3,\"bookCost\":28}\n\n"
        );
        assert_eq!(news(&watcher), None);
    }

    #[test]
    fn nobody_is_told_an_older_state_behind_a_newer_one_or_the_same_twice() {
        let watchers = Arc::new(Watchers::default());
        let watcher = watchers.watch(&ids([9])).unwrap();
        watchers.tell(id(9), &shown(9, 8, 14));
        assert!(news(&watcher).unwrap().contains("\"numberOfItems\":14"));
        // A read that was slower than another one, and one that found nothing new.
        watcher.tell(id(9), &shown(9, 7, 15));
        watchers.tell(id(9), &shown(9, 9, 14));
        assert_eq!(news(&watcher), None);
        watcher.tell(id(9), &shown(9, 8, 14));
        watchers.tell(id(9), &gone(9, 10));
        assert_eq!(news(&watcher).unwrap(), "event: stock\nid: 1.10\ndata: {\"id\":9,\"gone\":true}\n\n");
    }

    #[test]
    fn books_are_looked_at_as_long_as_somebody_does() {
        let watchers = Arc::new(Watchers::default());
        assert!(watchers.somebody().now_or_never().is_none());
        let (one, other) = (watchers.watch(&ids([7, 9])).unwrap(), watchers.watch(&ids([9])).unwrap());
        assert!(watchers.somebody().now_or_never().is_some());
        assert_eq!(watchers.among(&ids([7, 8, 9])), ids([7, 9]));
        drop(one);
        assert_eq!(watchers.books(), ids([9]));
        drop(other);
        assert!(watchers.books().is_empty() && watchers.somebody().now_or_never().is_none());
    }

    #[test]
    fn who_comes_when_there_are_too_many_is_turned_away_until_one_has_gone() {
        let watchers = Arc::new(Watchers::default());
        let mut all: Vec<Watcher> = (0..MAX_WATCHERS).map(|_| watchers.watch(&ids([9])).unwrap()).collect();
        assert!(watchers.watch(&ids([9])).is_none());
        all.pop();
        assert!(watchers.watch(&ids([9])).is_some());
    }
}
