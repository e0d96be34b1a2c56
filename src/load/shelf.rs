//! What there is to ask for: topics and books, found the way a customer finds them.

use super::LoadError;
use crate::domain::{BookId, Stock};
use crate::shopper::{Answer, Connection, TOPICS, info_path, topic_path};
use crate::wire::shopper::{SearchRead, TopicsRead};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;

/// More would not change what a cache has to do, and each has its past to be remembered.
const MAX_TOPICS: usize = 1_000;
const MAX_BOOKS: usize = 10_000;

/// Pages that are read at most, however few books each has.
const MAX_PAGES: usize = MAX_TOPICS + MAX_BOOKS;

/// A book and what was read of it first.
#[derive(Debug, Clone)]
pub struct Book {
    pub id: BookId,
    pub stock: Stock,
    /// Of its page.
    pub path: Box<str>,
}

/// The most popular first.
#[derive(Debug)]
pub struct Shelf {
    /// Paths of their first pages.
    pub topics: Vec<Box<str>>,
    pub books: Vec<Book>,
    /// Whether there are more than these.
    pub partial: bool,
}

impl Shelf {
    /// Reads the topics and their pages, the first of each topic first, until it has enough. The order of
    /// popularity is drawn from `rng`.
    pub async fn discover(store: &mut Connection, rng: &mut SmallRng) -> Result<Self, LoadError> {
        let answer = store.get(TOPICS).await?;
        let all: TopicsRead = parse(store, &answer)?;
        let topics: Vec<Box<str>> =
            all.items.iter().take(MAX_TOPICS).map(|item| topic_path(&item.topic).into()).collect();
        let mut pages: VecDeque<Box<str>> = topics.iter().cloned().collect();
        let mut shelf = Self { partial: all.items.len() > topics.len(), topics, books: Vec::new() };
        for _ in 0..MAX_PAGES {
            let Some(path) = pages.pop_front() else { break };
            let answer = store.get(&path).await?;
            let page: SearchRead = parse(store, &answer)?;
            let left = MAX_BOOKS - shelf.books.len();
            shelf.partial |= page.items.len() > left;
            shelf.books.extend(page.items.iter().take(left).map(|book| Book {
                id: book.id,
                stock: book.number_of_items,
                path: info_path(book.id).into(),
            }));
            match page.next.filter(|next| **next != *path) {
                Some(_) if shelf.books.len() == MAX_BOOKS => shelf.partial = true,
                Some(next) => pages.push_back(next.into()),
                None => {}
            }
            if shelf.books.len() == MAX_BOOKS {
                shelf.partial |= !pages.is_empty();
                break;
            }
        }
        if shelf.books.is_empty() {
            return Err(LoadError::Empty);
        }
        shelf.topics.shuffle(rng);
        shelf.books.shuffle(rng);
        Ok(shelf)
    }
}

fn parse<T: DeserializeOwned>(store: &Connection, answer: &Answer) -> Result<T, LoadError> {
    let no_shelf = |cause: String| LoadError::NoShelf(store.store().clone(), cause);
    if answer.says_stale() {
        // What is checked begins with the stock that there is.
        return Err(no_shelf("its answers may be stale, because its write master is away".into()));
    }
    match answer.status.is_success() {
        true => serde_json::from_slice(&answer.body).map_err(|error| no_shelf(error.to_string())),
        false => Err(no_shelf(answer.problem().map_or_else(
            || format!("it answered {}", answer.status.as_u16()),
            |problem| problem.code.to_string(),
        ))),
    }
}
