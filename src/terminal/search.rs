//! A search: pages of books, one in memory at a time.

use super::{Found, Unfulfilled, as_it_came, found, parse, warn_if_stale};
use crate::shopper::{Columns, Connection, dollars, escaped, plain, query_path, quoted, topic_path};
use crate::wire::shopper::{SearchRead, query_value};
use std::io::Write;

/// What is to be printed.
pub struct Pages {
    pub what: Found,
    /// Follow all pages.
    pub all: bool,
    pub limit: Option<u32>,
    pub after: Option<String>,
}

impl Pages {
    pub async fn print(
        self,
        connection: &mut Connection,
        json: bool,
        out: &mut impl Write,
    ) -> Result<(), Unfulfilled> {
        let mut path = self.first_path();
        let mut columns = Columns::new(["Id", "Title", "Topic", "In stock", "Price"], &[0, 3, 4]);
        let mut any = self.after.is_some();
        loop {
            let answer = found(connection.get(&path).await?, "this store cannot search for words")?;
            let page: SearchRead = parse(&answer)?;
            let next = page.next.filter(|next| next.starts_with('/') && *next != path);
            any |= !page.items.is_empty();
            if json {
                as_it_came(out, &answer)?;
            } else if !page.items.is_empty() {
                let rows = page.items.into_iter().map(|book| {
                    [
                        book.id.to_string(),
                        plain(&book.book_title),
                        plain(&book.book_topic),
                        book.number_of_items.get().to_string(),
                        dollars(book.book_cost),
                    ]
                });
                writeln!(out, "{}", columns.part(rows))?;
            }
            warn_if_stale(&answer);
            match next {
                Some(next) if self.all => path = next,
                Some(next) if !json => {
                    self.name_next(connection, &next);
                    break;
                }
                _ => break,
            }
        }
        if any { Ok(()) } else { Err(self.nothing()) }
    }

    fn first_path(&self) -> String {
        let (mut path, mut separator) = match &self.what {
            Found::Topic(topic) => (topic_path(topic.as_str()), '?'),
            Found::Words(words) => (query_path(words.as_str()), '&'),
        };
        let limit = self.limit.map(|limit| limit.to_string());
        for (name, value) in [("limit", &limit), ("after", &self.after)] {
            if let Some(value) = value {
                path.push_str(&format!("{separator}{name}={}", escaped(value)));
                separator = '&';
            }
        }
        path
    }

    /// Says how to get the page that `next` names: on standard error, where it is in nobody's way.
    fn name_next(&self, connection: &Connection, next: &str) {
        let Some(after) = query_value(next, "after") else { return };
        let mut command = match &self.what {
            Found::Topic(topic) => format!("bazar search {}", quoted(topic.as_str())),
            Found::Words(words) => format!("bazar search --query {}", quoted(words.as_str())),
        };
        if let Some(limit) = self.limit {
            command.push_str(&format!(" --limit {limit}"));
        }
        command.push_str(&format!(" --after {}", quoted(&after)));
        let store = connection.store().to_string();
        if store != crate::shopper::NEXT_DOOR {
            command.push_str(&format!(" --url {store}"));
        }
        eprintln!("There are more: {command}   (or --all)");
    }

    fn nothing(&self) -> Unfulfilled {
        Unfulfilled::NotFound(match &self.what {
            Found::Topic(topic) => format!("there is no book under the topic \"{}\"", plain(topic.as_str())),
            Found::Words(words) => {
                format!("there is no book with \"{}\" in its title", plain(words.as_str()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Topic, Words};

    #[test]
    fn what_is_searched_for_reaches_the_store_whatever_is_in_it() {
        let topic = Found::Topic(Topic::parse("sci/fi & ?").unwrap());
        let pages = Pages { what: topic, all: false, limit: Some(5), after: Some("7".into()) };
        assert_eq!(pages.first_path(), "/catalog-service/search/sci%2Ffi%20%26%20%3F?limit=5&after=7");
        let words = Found::Words(Words::parse("c++ & é").unwrap());
        let pages = Pages { what: words, all: false, limit: None, after: Some("1&2".into()) };
        assert_eq!(pages.first_path(), "/catalog-service/search?q=c%2B%2B%20%26%20%C3%A9&after=1%262");
    }
}
