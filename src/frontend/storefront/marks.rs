//! The words of a search, marked in the titles that it found, as the index compares them: without regard to
//! case and diacritics, the last word also as the beginning of a longer one.

use crate::domain::Words;
use maud::{Markup, html};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The title, with every word marked that `words` ask for. Each piece is escaped on its own, so a mark cannot
/// open what the title's author wrote.
pub fn marked(title: &str, words: &Words) -> Markup {
    let wanted: Vec<(String, bool)> = words.terms().map(|term| (fold(term.word), term.may_go_on)).collect();
    let is_wanted = |piece: &str| {
        let piece = fold(piece);
        wanted.iter().any(|(word, may_go_on)| match may_go_on {
            true => piece.starts_with(word.as_str()),
            false => piece == *word,
        })
    };
    html! {
        @for piece in pieces(title) {
            @if is_wanted(piece) { mark { (piece) } } @else { (piece) }
        }
    }
}

/// Words and what is between them, in turn.
fn pieces(title: &str) -> impl Iterator<Item = &str> {
    let mut rest = title;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let in_word = is_of_word(first);
        let end = rest.find(|c| is_of_word(c) != in_word).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(piece)
    })
}

/// As FTS5's `unicode61` has it: letters, digits, and the marks on them.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// As `remove_diacritics 2` has it.
fn fold(word: &str) -> String {
    word.chars().flat_map(char::to_lowercase).nfd().filter(|&c| !is_combining_mark(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(title: &str, words: &str) -> String {
        marked(title, &Words::parse(words).unwrap()).into_string()
    }

    #[test]
    fn words_are_marked_whatever_their_case_and_diacritics() {
        assert_eq!(mark("The Lost City", "city LOST"), "The <mark>Lost</mark> <mark>City</mark>");
        assert_eq!(mark("Crème Brûlée", "creme brulee"), "<mark>Crème</mark> <mark>Brûlée</mark>");
        assert_eq!(mark("Cafe\u{301} Noir", "café"), "<mark>Cafe\u{301}</mark> Noir");
        assert_eq!(mark("Tiếng Việt", "tieng viet"), "<mark>Tiếng</mark> <mark>Việt</mark>");
        assert_eq!(mark("Node.js, Complete", "js"), "Node.<mark>js</mark>, Complete");
    }

    #[test]
    fn only_the_last_word_and_a_starred_one_may_go_on() {
        assert_eq!(mark("JavaScript Mastery", "javasc"), "<mark>JavaScript</mark> Mastery");
        assert_eq!(
            mark("JavaScript Mastery", "javasc* mast"),
            "<mark>JavaScript</mark> <mark>Mastery</mark>"
        );
        assert_eq!(
            mark("Lostling and the lost", "lost the"),
            "Lostling and <mark>the</mark> <mark>lost</mark>"
        );
        // Two letters stand for themselves.
        assert_eq!(mark("Into it", "it"), "Into <mark>it</mark>");
    }

    #[test]
    fn a_title_cannot_bring_markup_of_its_own() {
        let hostile = "<script>alert(1)</script> & \"script\"";
        let shown = mark(hostile, "script");
        assert!(!shown.contains("<script"), "{shown}");
        assert_eq!(shown.matches("<mark>script</mark>").count(), 3, "{shown}");
        assert!(mark("<b>mark</b>", "mark").contains("&lt;b&gt;<mark>mark</mark>&lt;/b&gt;"));
    }

    proptest! {
        #[test]
        fn nothing_of_a_title_is_lost(title: String) {
            prop_assert_eq!(pieces(&title).collect::<String>(), title);
        }
    }
}
