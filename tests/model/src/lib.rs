//! The coherence protocol in a model checker and in a seeded simulator.
//!
//! `coherence` and `domain` are the very files that the store is built from, included by path: so they are
//! compiled here without the rest of the store, optimised, with a small floor table and with switches that
//! take one rule out at a time (`cfg(mutants)`), which the store itself never has.
//!
//! | file | what it is |
//! |---|---|
//! | `world/` | the system under test: catalog nodes, frontends, order nodes, second level, network, disks |
//! | `world/oracle` | the judge: which answer was right, which order was lost |
//! | `configs`, `checker` | small worlds, and every order of events in them (stateright) |
//! | `simulate` | larger worlds, and long random schedules of them by seed |
//! | `mutants` | each rule taken out once, and what must then go wrong |
//!
//! # What is the store's own code, and what is not
//!
//! Production types decide: `Session`, `Lease`, `Floors`, `Holders`, `Stamp`, `fresh_from_master`, `follow`,
//! `InSync`, `Met`, `may_start`, `touched_keys`, and the `Ledger`. What lies between them in the store (HTTP,
//! tasks, SQL) is written again in `world/`, event by event after the store's I/O code, and is therefore as
//! faithful as its writer was careful. The chaos run on real processes is there for that rest.
//!
//! # Bounds
//!
//! The checker explores every interleaving within each configuration's budget ([`world::Left`]): one to
//! three requests, a few ticks, losses and crashes. A tick leads to the next moment at which a deadline of
//! somebody passes, so nothing between two deadlines is missed; a process that does nothing for a while needs
//! no budget, for nobody is ever forced to act. Several configurations begin in the middle of a story
//! ([`world::Prelude`]), which makes them deep without making them wide. `(all)` in the report says that a
//! configuration was explored to its end; the others are cut off at the number of states asked for, breadth
//! first. Of each 64th state the fair continuation is run: everybody must get an answer.
//!
//! The simulator's worlds have up to 3 frontends, 3 catalog nodes, 14 purchases and edits of 4 books in 2
//! topics, clocks that drift up to 1 % each, pauses of a frontend for up to 2.5 s, lease terms from 100 ms to
//! 5 s, and all faults mixed. A seed fixes everything.
//!
//! # What is abstracted away
//!
//! - A commit is one step: before it nothing is there, after it everything. SQLite is trusted with that; a
//!   process that dies in between is one that dies before or after.
//! - A second level holds entries without TTL and without eviction; what lay there before may come back.
//!   MACs are not modelled: nobody forges.
//! - Order nodes hold no state, so they are the customers' requests themselves, with what they have met.
//! - Pages of a topic are whole topics; the log is never trimmed; stored answers are never forgotten.
//! - Snapshots arrive whole or not at all. Digests of ranges and full-text answers are not there.
//! - The back-offs of unreachable frontends and replicas, queue limits and deadlines of calls are there only
//!   as far as the production types have them: a call that has lost its message may fail at any time.
//! - Operators do not start fresh data as a second master beside a living one. They may start an old master
//!   again after a promotion by force: see `world/oracle` for what is then still promised.

#[path = "../../../src/coherence/mod.rs"]
pub mod coherence;
#[path = "../../../src/domain/mod.rs"]
pub mod domain;

pub mod checker;
pub mod configs;
pub mod mutants;
pub mod simulate;
pub mod world;
