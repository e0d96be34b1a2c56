//! When a master that runs one of the well-known recipes tells the frontends what a batch touches.

use crate::coherence::Key;
use crate::recipe::Recipe;

/// What is announced before the commit, and what after it. The store's own protocol fences before.
pub fn announcements(recipe: Option<Recipe>, touched: Vec<Key>) -> (Vec<Key>, Vec<Key>) {
    match recipe {
        None | Some(Recipe::DeleteThenWrite) => (touched, Vec::new()),
        Some(Recipe::WriteThenDelete) => (Vec::new(), touched),
        Some(Recipe::Ttl | Recipe::Nothing) => (Vec::new(), Vec::new()),
    }
}
