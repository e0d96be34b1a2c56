//! Compiles the included modules with the switches of the mutants and a small floor table.

fn main() {
    println!("cargo:rustc-cfg=mutants");
    println!("cargo:rustc-check-cfg=cfg(mutants)");
    println!("cargo:rerun-if-changed=build.rs");
}
