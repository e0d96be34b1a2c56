//! Full-text search: what customers type, and how its answers are ordered.

use super::{Book, BookId, Invalid};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The words of a search, as they were typed: two spellings of one search are two values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Words(Box<str>);

impl Words {
    /// More than any title has.
    pub const MAX_CHARS: usize = 300;

    /// More words than this are refused: each is looked up on its own.
    pub const MAX_WORDS: usize = 16;

    /// Shorter beginnings stand for themselves: half the catalog begins with any two letters.
    const MIN_PREFIX_CHARS: usize = 3;

    /// Refuses what has no word in it, and more than fits a title. Everything but letters and digits only
    /// separates words; control characters are taken for spaces.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into().replace(char::is_control, " ");
        if text.len() > 4 * Self::MAX_CHARS || text.chars().count() > Self::MAX_CHARS {
            return Err(Invalid(format!("a search must have at most {} characters", Self::MAX_CHARS)));
        }
        match words(&text).count() {
            0 => Err(Invalid::new("a search must have at least one word, of letters or digits")),
            n if n > Self::MAX_WORDS => {
                Err(Invalid(format!("a search must have at most {} words", Self::MAX_WORDS)))
            }
            _ => Ok(Self(text.into_boxed_str())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words one by one. The last one, and one that ends in `*`, may be the beginning of a longer word.
    pub fn terms(&self) -> impl Iterator<Item = Term<'_>> {
        let mut words = words(&self.0).peekable();
        std::iter::from_fn(move || {
            let (word, starred) = words.next()?;
            let open = starred || words.peek().is_none();
            Some(Term { word, may_go_on: open && word.chars().count() >= Self::MIN_PREFIX_CHARS })
        })
    }

    /// The search in the language of FTS5: all the words, each in quotes, so that none is taken for an operator.
    pub fn to_fts5(&self) -> String {
        let mut expression = String::with_capacity(self.0.len() + 16);
        for Term { word, may_go_on } in self.terms() {
            // No quote is a letter or a digit, so nothing in a word needs to be escaped.
            let parts = ["\"", word, "\"", if may_go_on { "*" } else { "" }, " "];
            expression.extend(parts);
        }
        expression.truncate(expression.trim_end().len());
        expression
    }
}

/// One word of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term<'a> {
    pub word: &'a str,
    /// Whether longer words that begin so are meant too.
    pub may_go_on: bool,
}

/// The runs of letters and digits, and whether a star follows. (What the index takes for a letter may differ
/// in rare characters: a quoted word that it splits is a phrase to it.)
fn words(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.split(|c: char| !c.is_alphanumeric() && c != '*').flat_map(|run| {
        let mut parts = run.split('*').peekable();
        std::iter::from_fn(move || parts.next().map(|word| (word, parts.peek().is_some())))
            .filter(|(word, _)| !word.is_empty())
    })
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Words {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl From<Words> for String {
    fn from(words: Words) -> String {
        words.0.into()
    }
}

/// Where a book stands among those that a search finds: the shorter its title, the more of it are the words;
/// books of equal length are in order of their numbers. It depends on that book alone, so a page that goes on
/// behind a rank is right whatever happened to other books meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// Characters of the title.
    pub chars: u16,
    pub id: BookId,
}

/// `31.9`
impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.chars, self.id)
    }
}

/// Takes what [`Display`](fmt::Display) writes and nothing else, so that one page has one name.
impl FromStr for Rank {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("after must be what \"next\" of the page before says");
        let (chars, id) = text.split_once('.').ok_or_else(invalid)?;
        let rank = Rank {
            chars: chars.parse().map_err(|_| invalid())?,
            id: BookId::parse(id).map_err(|_| invalid())?,
        };
        // A title is never longer, and the index has room for no more.
        let known = usize::from(rank.chars) <= super::Title::MAX_CHARS;
        if known && rank.to_string() == text { Ok(rank) } else { Err(invalid()) }
    }
}

impl Serialize for Rank {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rank {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Some books that a search found, in order of their rank, and the rank to continue behind where there are more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPage {
    pub books: Vec<Book>,
    pub next: Option<Rank>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fts5(text: &str) -> String {
        Words::parse(text).unwrap().to_fts5()
    }

    #[test]
    fn a_search_is_words_whatever_stands_between_them() {
        assert_eq!(fts5("lost city"), "\"lost\" \"city\"*");
        assert_eq!(fts5("  LOST-(city\") OR NEAR/2 ^x "), "\"LOST\" \"city\" \"OR\" \"NEAR\" \"2\" \"x\"");
        assert_eq!(fts5("javasc* of"), "\"javasc\"* \"of\"");
        assert_eq!(fts5("a* bc* d**efg"), "\"a\" \"bc\" \"d\" \"efg\"*");
        assert_eq!(fts5("crème brûlée"), "\"crème\" \"brûlée\"*");
        for text in ["", " ", "*", "\"", "()-+:^", "😀", &"x".repeat(301), &"a ".repeat(33)] {
            assert!(Words::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rank_has_one_spelling() {
        let rank = Rank { chars: 31, id: BookId::new(9).unwrap() };
        assert_eq!(rank.to_string().parse::<Rank>().unwrap(), rank);
        for text in ["", "31", "31.", ".9", "031.9", "31.09", "+31.9", "31.0", "301.9", "31.9.9", "31.-9"] {
            assert!(text.parse::<Rank>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_a_search_in_quotes_or_refused(text: String) {
            let Ok(words) = Words::parse(text) else { return Ok(()) };
            let expression = words.to_fts5();
            prop_assert!(expression.matches('"').count() % 2 == 0 && expression.contains('"'));
            // Outside of the quotes there are only stars and spaces.
            let outside: String = expression.split('"').step_by(2).collect();
            prop_assert!(outside.chars().all(|c| c == '*' || c == ' '), "{}", expression);
        }
    }
}
