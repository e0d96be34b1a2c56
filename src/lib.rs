pub mod coherence;
pub mod domain;
pub mod wire;
