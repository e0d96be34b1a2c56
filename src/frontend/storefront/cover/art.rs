//! What is drawn besides the title: colours by topic, and one of a few compositions with one of a few
//! pictures, all from the bits of one hash.

use super::typeset::Room;
use super::{HEIGHT, WIDTH};
use maud::{Markup, html};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Numbers that look random, and are always the same for the same book.
pub struct Draw(u64);

impl Draw {
    pub fn new(hash: u64) -> Self {
        Self(hash)
    }

    /// The `nth` number below `bound`.
    fn number(&self, nth: u64, bound: u64) -> u64 {
        xxh3_64_with_seed(&self.0.to_le_bytes(), nth) % bound
    }
}

/// The colours of a cover. Ink on ground has a contrast of at least 4.5 to 1; the others are for the picture.
pub struct Palette {
    pub ground: &'static str,
    pub ink: &'static str,
    bright: &'static str,
    soft: &'static str,
}

/// Deep, pale, bright, soft.
const COLOURS: [[&str; 4]; 12] = [
    ["#0f4c4a", "#f3ead7", "#f2a541", "#5fa8a0"],
    ["#1d2f5f", "#f4ecd9", "#e4572e", "#7d9bd6"],
    ["#6b1d32", "#f6e9de", "#e8a87c", "#b85c6f"],
    ["#24492e", "#f1eedb", "#d9a441", "#7fae7b"],
    ["#43245e", "#f3e9f2", "#f0b34c", "#a37fc4"],
    ["#7c3215", "#f8ebd8", "#f2b84b", "#d27d4e"],
    ["#22303c", "#eef1ee", "#e63946", "#8fa9b8"],
    ["#4a4a1c", "#f5f0d8", "#d9822b", "#a5a558"],
    ["#0b4f8a", "#eef3f3", "#ffd166", "#6db1e0"],
    ["#8a2350", "#fbeaea", "#ffb997", "#d0739a"],
    ["#1f4e5f", "#eaf2ee", "#f76c5e", "#79a8a9"],
    ["#4e342e", "#f7efe5", "#ffb74d", "#a1887f"],
];

/// With it, the topics of the first books have colours of their own.
const SEED: u64 = 11_331;

impl Palette {
    /// A third of the covers are dark on pale.
    pub fn of(topic: &str, draw: &Draw) -> Self {
        let colour = xxh3_64_with_seed(topic.as_bytes(), SEED) % COLOURS.len() as u64;
        let [deep, pale, bright, soft] = COLOURS[colour as usize];
        let (ground, ink) = if draw.number(0, 3) == 0 { (pale, deep) } else { (deep, pale) };
        Self { ground, ink, bright, soft }
    }
}

/// Where things are.
pub struct Composition {
    pub title: Room,
    /// The baseline of the topic's name.
    pub label: u32,
    /// The top of the picture, which is half as high as the cover; `None`: a frame instead.
    pub picture: Option<u32>,
}

pub fn composition(draw: &Draw) -> Composition {
    match draw.number(1, 5) {
        0 | 1 => Composition {
            title: Room { margin: 20.0, top: 34.0, bottom: 146.0 },
            label: 26,
            picture: Some(HEIGHT / 2),
        },
        2 | 3 => Composition {
            title: Room { margin: 20.0, top: 160.0, bottom: 268.0 },
            label: 284,
            picture: Some(0),
        },
        _ => {
            Composition { title: Room { margin: 38.0, top: 66.0, bottom: 224.0 }, label: 264, picture: None }
        }
    }
}

pub fn picture(draw: &Draw, palette: &Palette, top: Option<u32>) -> Markup {
    let Some(top) = top else { return frame(draw, palette) };
    let drawn = match draw.number(2, 6) {
        0 => hills(draw, palette),
        1 => rings(draw, palette),
        2 => skyline(draw, palette),
        3 => tiles(draw, palette),
        4 => stripes(draw, palette),
        _ => orbits(draw, palette),
    };
    html! { svg y=(top) width=(WIDTH) height=(HEIGHT / 2) { (drawn) } }
}

/// A sun over three hills.
fn hills(draw: &Draw, palette: &Palette) -> Markup {
    let (x, y, size) = (50 + draw.number(3, 100), 45 + draw.number(4, 30), 24 + draw.number(5, 16));
    let hill = |nth: u64, base: u64| {
        let (left, right) = (base - draw.number(nth, 30), base + draw.number(nth + 1, 24));
        format!("M0 {base}C60 {left} 130 {right} 200 {}V150H0z", base - draw.number(nth + 2, 25))
    };
    html! {
        circle cx=(x) cy=(y) r=(size) fill=(palette.bright) {}
        path fill=(palette.soft) d=(hill(6, 88)) {}
        path fill=(palette.ink) opacity=".35" d=(hill(9, 108)) {}
        path fill=(palette.ground) opacity=".75" d=(hill(12, 130)) {}
    }
}

/// Rings around a corner or the middle of an edge.
fn rings(draw: &Draw, palette: &Palette) -> Markup {
    let (x, y) = [(0, 150), (200, 150), (100, 150), (200, 0)][draw.number(3, 4) as usize];
    let step = 20 + draw.number(4, 8);
    html! {
        g fill="none" stroke-width=(step / 2) {
            @for ring in 1..=5 {
                circle cx=(x) cy=(y) r=(ring * step) stroke=(if ring % 2 == 0 { palette.bright } else { palette.soft }) {}
            }
        }
        circle cx=(x) cy=(y) r=(step / 2) fill=(palette.bright) {}
    }
}

/// Books or houses in a row.
fn skyline(draw: &Draw, palette: &Palette) -> Markup {
    let bars = |every: u64| {
        let bar = |nth: u64| format!("M{} 150v-{}h17v200", 14 + nth * 22, 40 + draw.number(3 + nth, 80));
        (0..8).filter(|nth| nth % 3 == every).map(bar).collect::<String>()
    };
    html! {
        path fill=(palette.soft) d=(bars(0)) {}
        path fill=(palette.bright) d=(bars(1)) {}
        path fill=(palette.ink) opacity=".6" d=(bars(2)) {}
    }
}

/// Quarters of circles in squares, each turned at random.
fn tiles(draw: &Draw, palette: &Palette) -> Markup {
    let tile = |nth: u64| {
        let (x, y) = (nth % 4 * 50, nth / 4 * 50);
        match draw.number(3 + nth, 4) {
            0 => format!("M{x} {y}h50a50 50 0 0 1-50 50z"),
            1 => format!("M{x} {y}h50v50a50 50 0 0 1-50-50z"),
            2 => format!("M{x} {}v-50a50 50 0 0 1 50 50z", y + 50),
            _ => format!("M{} {y}v50h-50a50 50 0 0 1 50-50z", x + 50),
        }
    };
    let of =
        |colour: u64| (0..12).filter(|nth| draw.number(20 + nth, 3) == colour).map(tile).collect::<String>();
    html! {
        path fill=(palette.soft) d=(of(0)) {}
        path fill=(palette.bright) d=(of(1)) {}
        path fill=(palette.ink) opacity=".5" d=(of(2)) {}
    }
}

/// Slanted bands.
fn stripes(draw: &Draw, palette: &Palette) -> Markup {
    let slant = 40 + draw.number(3, 60);
    let bands = |first: u64| {
        let band = |nth: u64| format!("M{} 150l{slant}-150h16l-{slant} 150z", nth * 32);
        (0..8).filter(|nth| nth % 2 == first).map(band).collect::<String>()
    };
    html! {
        g transform={ "translate(-" (slant / 2) ")" } {
            path fill=(palette.soft) d=(bands(0)) {}
            path fill=(palette.bright) d=(bands(1)) {}
        }
    }
}

/// Bodies on their ways around another.
fn orbits(draw: &Draw, palette: &Palette) -> Markup {
    let turn = draw.number(3, 60);
    html! {
        g transform={ "rotate(-" (turn) " 100 75)" } {
            g fill="none" stroke=(palette.soft) stroke-width="2" {
                @for way in 1..=3u64 { ellipse cx="100" cy="75" rx=(way * 28) ry=(way * 15) {} }
            }
            circle cx="100" cy="75" r="13" fill=(palette.bright) {}
            @for way in 1..=3u64 {
                circle cx=(if draw.number(3 + way, 2) == 0 { 100 + way * 28 } else { 100 - way * 28 }) cy="75" r=(3 + way) fill=(palette.ink) {}
            }
        }
    }
}

/// A classic: lines around the edge, and an ornament.
fn frame(draw: &Draw, palette: &Palette) -> Markup {
    let petals = 5 + draw.number(3, 4);
    html! {
        g fill="none" stroke=(palette.bright) {
            path stroke-width="2" d="M20 14h166v272H20z" {}
            path d="M25 19h156v262H25z" {}
        }
        g transform="translate(100 40)" fill=(palette.soft) {
            @for petal in 0..petals {
                ellipse cx="0" cy="-8" rx="3.5" ry="7" transform={ "rotate(" (petal * 360 / petals) ")" } {}
            }
            circle r="3" fill=(palette.bright) {}
        }
        path stroke=(palette.bright) d="M70 240h60" {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_topics_of_the_first_books_have_colours_of_their_own() {
        let topics = ["fiction", "science", "history", "programming", "education", "nature"];
        let colours: HashSet<_> =
            topics.iter().map(|topic| Palette::of(topic, &Draw::new(1)).bright).collect();
        assert_eq!(colours.len(), topics.len());
    }

    /// WCAG 2.2, relative luminance.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn every_title_can_be_read_on_its_ground() {
        for [deep, pale, ..] in COLOURS {
            let contrast = (luminance(pale) + 0.05) / (luminance(deep) + 0.05);
            assert!(contrast >= 4.5, "{deep} on {pale}: {contrast}");
        }
    }
}
