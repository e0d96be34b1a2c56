//! Somebody who wants in, or wants the store to fall over. Each test plays one attacker with the means that
//! SECURITY.md grants them, sees the attack fail, and sees that everybody else was served meanwhile.
//!
//! | file | who |
//! |---|---|
//! | `redis` | the owner of Redis: what it holds, and what it says |
//! | `input` | a customer, or a stranger: injection, numbers, spellings, dear questions |
//! | `files` | the author of an import file |
//! | `data` | whoever can write to a data directory, or hands out a copy of one |
//! | `secrets` | whoever reads logs, process lists, answers and other people's files |
//!
//! Forged and replayed internal requests are in `internal`; forms, cookies, scripts in titles and the like beside the
//! pages that they are aimed at (`storefront`, `desk`, `demo`). SECURITY.md has them all, attacker by attacker.

mod data;
mod files;
mod input;
mod redis;
mod secrets;
