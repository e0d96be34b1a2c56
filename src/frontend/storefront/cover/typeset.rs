//! Setting a title in lines, without the font at hand: widths are estimates, and on the safe side, because whoever
//! looks may have a wider serif than ours.

use super::WIDTH;

/// From large to small; the first in which all of the title fits is taken.
const SIZES: [f64; 7] = [27.0, 24.0, 21.0, 18.5, 16.0, 14.0, 12.0];

/// From one line to the next, in sizes.
const LEADING: f64 = 1.2;

/// Characters of a topic that fit its line.
const LABEL: usize = 20;

/// Where a text may stand: from one height to another, and so far from either side.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub margin: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Room {
    /// How wide it is, in sizes.
    fn ems(self, size: f64) -> f64 {
        (f64::from(WIDTH) - 2.0 * self.margin) / size
    }
}

/// A title in its lines.
pub struct Block {
    pub size: f64,
    lines: Vec<String>,
    first: f64,
}

impl Block {
    /// Sets it in the middle of `room`.
    pub fn set(title: &str, room: Room) -> Self {
        let height = room.bottom - room.top;
        let fits = |size: f64, lines: &[String]| lines.len() as f64 * size * LEADING <= height;
        let whole = SIZES.iter().find_map(|&size| {
            let lines = wrap(title, room.ems(size), false)?;
            fits(size, &lines).then_some((size, lines))
        });
        let (size, lines) = whole.unwrap_or_else(|| {
            // The smallest, with words broken and the end left out.
            let size = SIZES[SIZES.len() - 1];
            let mut lines = wrap(title, room.ems(size), true).unwrap_or_default();
            let most = (height / (size * LEADING)) as usize;
            if lines.len() > most {
                lines.truncate(most);
                if let Some(last) = lines.last_mut() {
                    last.pop();
                    last.push('…');
                }
            }
            (size, lines)
        });
        let used = lines.len() as f64 * size * LEADING;
        // A baseline lies four fifths below the top of its letters.
        let first = room.top + (height - used) / 2.0 + size * 0.9;
        Self { size, lines, first }
    }

    /// Each line with its baseline.
    pub fn lines(&self) -> impl Iterator<Item = (i64, &str)> {
        let below = |line: usize| (self.first + line as f64 * self.size * LEADING).round() as i64;
        self.lines.iter().enumerate().map(move |(number, line)| (below(number), line.as_str()))
    }
}

/// The topic in capitals, as far as it fits.
pub fn label(topic: &str) -> String {
    let capitals = topic.to_uppercase();
    match capitals.chars().count() {
        0..=LABEL => capitals,
        _ => capitals.chars().take(LABEL - 1).chain(['…']).collect(),
    }
}

/// Lines that are at most so wide. `None`: a word does not fit, and words must not be broken.
fn wrap(title: &str, most: f64, breaks_words: bool) -> Option<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = most;
    for word in title.split_whitespace() {
        let wide = width(word);
        if wide > most && !breaks_words {
            return None;
        }
        match lines.last_mut() {
            Some(line) if used + width(" ") + wide <= most => {
                line.push(' ');
                line.push_str(word);
                used += width(" ") + wide;
            }
            _ => {
                lines.push(String::new());
                used = 0.0;
                for c in word.chars() {
                    if used + of_char(c) > most {
                        lines.push(String::new());
                        used = 0.0;
                    }
                    if let Some(line) = lines.last_mut() {
                        line.push(c);
                        used += of_char(c);
                    }
                }
            }
        }
    }
    Some(lines)
}

/// In sizes.
fn width(text: &str) -> f64 {
    text.chars().map(of_char).sum()
}

fn of_char(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '’' | '!' | '|' => 0.36,
        ' ' => 0.28,
        'I' | 'f' | 'r' | 't' | '(' | ')' | '-' | '"' | '“' | '”' => 0.46,
        'm' | 'w' => 0.95,
        'M' | 'W' | '@' | '%' | '—' => 1.08,
        _ if c.is_ascii_uppercase() => 0.78,
        _ if c.is_ascii() => 0.62,
        // Latin, Greek, Cyrillic; whatever comes behind may be as wide as it is high.
        '\u{80}'..='\u{52f}' => 0.75,
        _ => 1.05,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOM: Room = Room { margin: 20.0, top: 20.0, bottom: 150.0 };

    fn lines(title: &str) -> Vec<String> {
        Block::set(title, ROOM).lines.clone()
    }

    #[test]
    fn a_short_title_is_large_and_a_long_one_is_smaller() {
        let size = |title| Block::set(title, ROOM).size;
        assert_eq!(size("Ants"), SIZES[0]);
        assert!(size("How to finish Project 3 on time") > size(&"a long title ".repeat(10)));
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(lines("Mystery of the Lost City").concat(), "Mystery ofthe LostCity");
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        let lines = lines(&"word ".repeat(60));
        assert!(lines.last().unwrap().ends_with('…'), "{lines:?}");
    }

    #[test]
    fn a_long_topic_is_cut() {
        assert_eq!(label("science"), "SCIENCE");
        assert_eq!(label(&"a".repeat(30)).chars().count(), LABEL);
    }

    proptest! {
        #[test]
        fn no_title_leaves_its_room(title in "\\PC{1,300}") {
            let block = Block::set(&title, ROOM);
            let most = ROOM.ems(block.size);
            for (baseline, line) in block.lines() {
                prop_assert!((ROOM.top as i64..=ROOM.bottom as i64).contains(&baseline));
                prop_assert!(width(line) <= most + of_char('…'), "{}", line);
            }
        }
    }
}
