//! Recompiles the crate when a migration changes: `sqlx::migrate!` embeds them, and cargo cannot see that.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
