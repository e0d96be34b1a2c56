//! The coherence protocol in a model checker and in a seeded simulator.
//!
//! `coherence` and `domain` are the very files that the store is built from, included by path: so they are
//! compiled here without the rest of the store, optimised, with a small floor table and with switches that
//! take one rule out at a time (`cfg(mutants)`), which the store itself never has.

#[path = "../../../src/coherence/mod.rs"]
pub mod coherence;
#[path = "../../../src/domain/mod.rs"]
pub mod domain;
pub mod world;

pub mod checker;
pub mod configs;
pub mod mutants;
pub mod simulate;
