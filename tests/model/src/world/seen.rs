//! What has happened at least once in a run.

/// What has happened at least once, for the properties that say that things are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seen(pub u32);

pub const SEEN: [(&str, u32); 14] = [
    ("a hit from memory", 1 << 0),
    ("a hit from the second level", 1 << 1),
    ("an answer of a replica", 1 << 2),
    ("an answer with a warning", 1 << 3),
    ("a purchase acknowledged", 1 << 4),
    ("a purchase acknowledged after a loss", 1 << 5),
    ("a purchase acknowledged after a restart of the master", 1 << 6),
    ("a purchase acknowledged after a lease ran out in a fence", 1 << 7),
    ("a purchase acknowledged after a handover", 1 << 8),
    ("a purchase acknowledged after a promotion by force", 1 << 9),
    ("a purchase acknowledged after the data was wiped or restored", 1 << 10),
    ("a replica took a snapshot", 1 << 11),
    ("a fence overtook the answer to a join", 1 << 12),
    ("a master was deposed", 1 << 13),
];

impl Seen {
    pub const MEMORY: u32 = 1 << 0;
    pub const REDIS: u32 = 1 << 1;
    pub const REPLICA: u32 = 1 << 2;
    pub const WARNING: u32 = 1 << 3;
    pub const BOUGHT: u32 = 1 << 4;
    pub const AFTER_LOSS: u32 = 1 << 5;
    pub const AFTER_RESTART: u32 = 1 << 6;
    pub const AFTER_EXPIRY: u32 = 1 << 7;
    pub const AFTER_HANDOVER: u32 = 1 << 8;
    pub const AFTER_FORCE: u32 = 1 << 9;
    pub const AFTER_REWIND: u32 = 1 << 10;
    pub const SNAPSHOT: u32 = 1 << 11;
    pub const OVERTOOK: u32 = 1 << 12;
    pub const DEPOSED: u32 = 1 << 13;
}
