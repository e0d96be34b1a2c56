//! The last two minutes of a figure, as a line.

use super::rates::Rates;
use maud::{Markup, html};
use std::collections::VecDeque;
use std::fmt::Write;

/// Points of a line: two minutes of them.
const POINTS: usize = 120;

/// The size of a plot in units of its own; the style sheet says how large it is shown.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 48.0;
/// So that a line at its highest is drawn whole.
const MARGIN: f64 = 2.0;

/// The figures of the last two minutes, the latest last.
#[derive(Debug, Clone, Default)]
pub struct History(VecDeque<Rates>);

impl History {
    pub fn push(&mut self, rates: &Rates) {
        if self.0.len() >= POINTS {
            self.0.pop_front();
        }
        self.0.push_back(rates.clone());
    }

    /// What `figure` was, from zero to its highest, the latest at the right. Decoration for who cannot see it:
    /// the figure itself stands beside it.
    pub fn plot(&self, figure: impl Fn(&Rates) -> Option<f64>) -> Markup {
        let values: Vec<Option<f64>> = self.0.iter().map(figure).collect();
        let highest = values.iter().flatten().copied().fold(0.0, f64::max);
        let line = line(&values, highest);
        html! {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
                path.area d=(area(&line)) {}
                path.line d=(path(&line)) {}
            }
        }
    }
}

/// Pieces without gaps, as points.
fn line(values: &[Option<f64>], highest: f64) -> Vec<Vec<(f64, f64)>> {
    let step = WIDTH / (POINTS - 1) as f64;
    let begin = POINTS.saturating_sub(values.len());
    let mut pieces = vec![Vec::new()];
    for (index, value) in values.iter().enumerate() {
        match (value, pieces.last_mut()) {
            (Some(value), Some(piece)) => {
                let share = if highest > 0.0 { value / highest } else { 0.0 };
                let y = HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN);
                piece.push(((begin + index) as f64 * step, y));
            }
            _ => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn path(pieces: &[Vec<(f64, f64)>]) -> String {
    let mut d = String::new();
    for piece in pieces {
        for (index, (x, y)) in piece.iter().enumerate() {
            let _ = write!(d, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
    }
    d
}

fn area(pieces: &[Vec<(f64, f64)>]) -> String {
    let mut d = String::new();
    for piece in pieces {
        if let (Some(first), Some(last)) = (piece.first(), piece.last()) {
            d.push_str(&path(std::slice::from_ref(piece)));
            let _ = write!(d, "L{:.1} {HEIGHT}L{:.1} {HEIGHT}Z", last.0, first.0);
        }
    }
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_the_right_and_is_broken_where_nothing_was_measured() {
        let pieces = line(&[Some(1.0), None, Some(2.0), Some(0.0)], 2.0);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1][0].1, MARGIN);
        assert_eq!(pieces[1][1], (WIDTH, HEIGHT - MARGIN));
    }

    #[test]
    fn only_the_last_two_minutes_are_kept() {
        let mut history = History::default();
        (0..500).for_each(|_| history.push(&Rates::default()));
        assert_eq!(history.0.len(), POINTS);
    }
}
