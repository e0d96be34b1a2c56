//! `bazar generate`: a made-up, plausible catalog of any size.
//!
//! Invariants: the same number of books and seed give the same bytes, on every machine; memory does not grow
//! with the number of books; no two of the first [`TITLES`] books of a topic have the same title.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// What was asked for, checked.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub books: u64,
    pub seed: u64,
    /// The number of the first book.
    pub first_id: u64,
}

/// Each topic with the things that its titles are about; the first topics have the most books.
const TOPICS: [(&str, [&str; 8]); 32] = [
    ("fiction", ["Daughter", "Stranger", "Lighthouse", "Promise", "Orchard", "Letter", "Bridge", "Storm"]),
    ("history", ["Empire", "Revolution", "Treaty", "Dynasty", "Siege", "Republic", "Crown", "Exile"]),
    ("science", ["Atom", "Gene", "Quark", "Cell", "Comet", "Enzyme", "Neuron", "Photon"]),
    (
        "programming",
        ["Compiler", "Algorithm", "Database", "Kernel", "Protocol", "Parser", "Scheduler", "Cache"],
    ),
    ("mystery", ["Murder", "Alibi", "Witness", "Inspector", "Cipher", "Heist", "Vanishing", "Suspect"]),
    ("education", ["Classroom", "Lecture", "Seminar", "Curriculum", "Exam", "School", "Tutor", "Thesis"]),
    ("nature", ["Forest", "Meadow", "Glacier", "Wolf", "Heron", "Moss", "Tide", "Canyon"]),
    ("cooking", ["Kitchen", "Bread", "Spice", "Soup", "Harvest", "Oven", "Noodle", "Pickle"]),
    ("travel", ["Voyage", "Railway", "Caravan", "Harbour", "Pilgrimage", "Passport", "Ferry", "Compass"]),
    ("fantasy", ["Dragon", "Sorcerer", "Rune", "Goblin", "Spell", "Griffin", "Throne", "Oracle"]),
    (
        "biography",
        ["Memoir", "Diary", "Portrait", "Childhood", "Testament", "Legacy", "Career", "Confession"],
    ),
    ("philosophy", ["Paradox", "Virtue", "Dialogue", "Reason", "Ethics", "Doubt", "Being", "Idea"]),
    ("poetry", ["Sonnet", "Elegy", "Verse", "Ballad", "Ode", "Haiku", "Stanza", "Psalm"]),
    ("art", ["Canvas", "Fresco", "Sculpture", "Palette", "Gallery", "Mosaic", "Etching", "Easel"]),
    ("music", ["Symphony", "Fugue", "Melody", "Opera", "Cello", "Chorus", "Rhythm", "Sonata"]),
    ("mathematics", ["Theorem", "Integral", "Lattice", "Prime", "Matrix", "Manifold", "Axiom", "Fractal"]),
    ("physics", ["Pendulum", "Entropy", "Gravity", "Plasma", "Spectrum", "Vacuum", "Wave", "Laser"]),
    ("chemistry", ["Polymer", "Catalyst", "Crystal", "Acid", "Isotope", "Solvent", "Alloy", "Ion"]),
    ("economics", ["Market", "Currency", "Tariff", "Monopoly", "Inflation", "Auction", "Ledger", "Debt"]),
    ("medicine", ["Vaccine", "Surgeon", "Pulse", "Remedy", "Epidemic", "Clinic", "Nerve", "Antidote"]),
    ("law", ["Verdict", "Statute", "Jury", "Contract", "Tribunal", "Appeal", "Charter", "Oath"]),
    ("gardening", ["Rose", "Compost", "Hedge", "Tulip", "Seedling", "Pergola", "Herb", "Greenhouse"]),
    ("sports", ["Marathon", "Regatta", "Goalkeeper", "Summit", "Sprint", "Racket", "Derby", "Stadium"]),
    ("photography", ["Shutter", "Darkroom", "Negative", "Aperture", "Tripod", "Filter", "Exposure", "Lens"]),
    ("astronomy", ["Nebula", "Eclipse", "Telescope", "Asteroid", "Pulsar", "Galaxy", "Orbit", "Meteor"]),
    ("architecture", ["Cathedral", "Facade", "Vault", "Pavilion", "Aqueduct", "Tower", "Arcade", "Dome"]),
    ("religion", ["Monastery", "Prophet", "Liturgy", "Relic", "Covenant", "Temple", "Sermon", "Saint"]),
    ("politics", ["Senate", "Ballot", "Coalition", "Embassy", "Campaign", "Decree", "Summons", "Veto"]),
    ("psychology", ["Memory", "Dream", "Habit", "Instinct", "Emotion", "Attention", "Persona", "Reflex"]),
    ("engineering", ["Turbine", "Girder", "Piston", "Circuit", "Dam", "Rivet", "Gearbox", "Engine"]),
    ("languages", ["Grammar", "Dialect", "Vowel", "Alphabet", "Lexicon", "Idiom", "Syntax", "Accent"]),
    ("crafts", ["Loom", "Pottery", "Quilt", "Anvil", "Basket", "Bookbinding", "Lathe", "Embroidery"]),
];

const ADJECTIVES: [&str; 32] = [
    "Silent",
    "Golden",
    "Hidden",
    "Practical",
    "Complete",
    "Forgotten",
    "Modern",
    "Little",
    "Great",
    "Ancient",
    "Secret",
    "Essential",
    "Curious",
    "Broken",
    "Winter",
    "Crimson",
    "Invisible",
    "Patient",
    "Restless",
    "Northern",
    "Brief",
    "Wild",
    "Honest",
    "Wandering",
    "Electric",
    "Perfect",
    "Last",
    "First",
    "Gentle",
    "Unfinished",
    "Common",
    "Élégant",
];

const PLACES: [&str; 32] = [
    "Patagonia",
    "Kyoto",
    "Lisbon",
    "the Andes",
    "Zürich",
    "Oslo",
    "the Baltic",
    "Samarkand",
    "Lagos",
    "Crete",
    "Lima",
    "the Sahara",
    "Málaga",
    "Prague",
    "the Hebrides",
    "Havana",
    "Nairobi",
    "Bergen",
    "Jaipur",
    "the Pioneer Valley",
    "Quito",
    "Naples",
    "the Rhine",
    "Hanoi",
    "Tbilisi",
    "Galway",
    "Kraków",
    "Tasmania",
    "the Volga",
    "Montréal",
    "Fez",
    "Reykjavík",
];

const SUBTITLES: [&str; 16] = [
    "",
    ": A Novel",
    ": An Introduction",
    ": A Beginner's Guide",
    ": Notes from the Field",
    ": The Untold Story",
    ": Theory and Practice",
    ": A Handbook",
    ": Collected Essays",
    ": Lessons for Today",
    ": A Short History",
    ": The Illustrated Edition",
    ": Questions and Answers",
    ": Stories",
    ": A Year in Letters",
    ": What Remains",
];

/// How adjective, thing and place become a title.
const PATTERNS: [&str; 8] = [
    "The {a} {t} of {p}",
    "{a} {t}s in {p}",
    "A {a} {t} from {p}",
    "{p} and the {a} {t}",
    "My {a} {t}: {p} Revisited",
    "On the {a} {t} near {p}",
    "The {t} and the {a} Road to {p}",
    "How the {a} {t} Came to {p}",
];

/// Different titles of one topic.
pub const TITLES: u64 = (ADJECTIVES.len() * PLACES.len() * SUBTITLES.len() * PATTERNS.len() * 8) as u64;

/// Coprime to [`TITLES`], a power of two, and far from a simple fraction of it: books that follow one another have
/// nothing in common.
const STRIDE: u64 = 648_055;

/// Writes the catalog to `output`, or to standard output.
pub fn write(config: Config, output: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let written = match output {
        Some(path) => File::create(path).and_then(|file| run(config, &mut BufWriter::new(file))),
        None => run(config, &mut BufWriter::new(io::stdout().lock())),
    };
    match written {
        // Who reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes the header and the books.
pub fn run(config: Config, out: &mut impl Write) -> io::Result<()> {
    let mut random = SplitMix64(config.seed);
    let start = random.next() % TITLES;
    // A topic's share of the books falls with its place in the list, as the shares of words in a text do.
    let mut bounds = [0.0; TOPICS.len()];
    let mut sum = 0.0;
    for (place, bound) in bounds.iter_mut().enumerate() {
        sum += 1.0 / (place + 1) as f64;
        *bound = sum;
    }
    let mut line = String::new();
    out.write_all(b"id,title,topic,stock,price\n")?;
    for n in 0..config.books {
        let share = random.unit() * sum;
        let topic = bounds.partition_point(|&bound| bound <= share).min(TOPICS.len() - 1);
        let (name, things) = &TOPICS[topic];
        line.clear();
        // Writing to a string does not fail.
        let _ = write!(line, "{},", config.first_id.saturating_add(n));
        title(start.wrapping_add(n), things, &mut line);
        let dollars = 4 + random.below(26) + random.below(26);
        let cents = ["", ".50", ".95", ".99"][random.below(4) as usize];
        // Few have many, some have none.
        let most = random.below(200);
        let stock = random.below(1 + most);
        let _ = writeln!(line, ",{name},{stock},{dollars}{cents}");
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}

/// The `n`th title about `things`: the digits of a number that runs through all titles once before one comes again;
/// then there are further editions.
fn title(n: u64, things: &[&str; 8], title: &mut String) {
    let mut rest = (n % TITLES).wrapping_mul(STRIDE) % TITLES;
    let mut digit = |base: usize| {
        let digit = rest % base as u64;
        rest /= base as u64;
        digit as usize
    };
    let (adjective, place, thing) = (ADJECTIVES[digit(32)], PLACES[digit(32)], things[digit(8)]);
    let (pattern, subtitle) = (PATTERNS[digit(8)], SUBTITLES[digit(16)]);
    for part in pattern.split_inclusive('}') {
        let (text, hole) = part.split_once('{').unwrap_or((part, ""));
        title.push_str(text);
        title.push_str(match hole {
            "a}" => adjective,
            "t}" => thing,
            "p}" => place,
            _ => "",
        });
    }
    title.push_str(subtitle);
    let edition = n / TITLES;
    if edition > 0 {
        let _ = write!(title, " (Edition {})", edition + 1);
    }
}

/// Steele, Lea and Flood: "Fast Splittable Pseudorandom Number Generators" (2014). Small, and the same for ever,
/// which a library does not promise.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is small: the bias does not show.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// From 0 to just below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn generated(books: u64, seed: u64) -> String {
        let mut out = Vec::new();
        run(Config { books, seed, first_id: 12 }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_catalog_and_another_one_another() {
        assert_eq!(generated(100, 7), generated(100, 7));
        assert_ne!(generated(100, 7), generated(100, 8));
        // A longer catalog goes on where a shorter one ends.
        assert!(generated(200, 7).starts_with(&generated(100, 7)));
    }

    #[test]
    fn titles_differ_topics_are_skewed_and_every_line_is_a_book() {
        let csv = generated(50_000, 1);
        let (mut titles, mut topics) = (HashSet::new(), HashMap::new());
        for (n, line) in csv.lines().skip(1).enumerate() {
            let [id, title, topic, stock, price] = line.split(',').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            assert_eq!(id, (n + 12).to_string());
            assert!(titles.insert(title), "{title} twice");
            crate::domain::Title::parse(title).unwrap();
            crate::domain::import::parse_dollars(price).unwrap();
            assert!(stock.parse::<u32>().unwrap() < 200);
            *topics.entry(topic).or_insert(0) += 1;
        }
        assert_eq!(topics.len(), TOPICS.len());
        assert!(topics["fiction"] > 20 * topics["crafts"]);
    }
}
