//! Real faults on real processes, and a checker that judges every answer.

fn main() {}
