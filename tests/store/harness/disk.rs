//! A disk that fails on demand, under one role.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The faults of the role `name` of the store in `dir`, if it runs on such a disk.
pub struct Disk(PathBuf);

impl Disk {
    pub fn of(dir: &Path, name: &str) -> Self {
        Self(dir.join(format!("{name}.faults")))
    }

    /// From now on every write (`"write"`) or sync (`"sync"`) of a file fails with this error.
    pub fn fail(&self, what: &str, error: rustix::io::Errno) {
        // In one step: a role that reads half of it would take it for no fault.
        let written = self.0.with_extension("new");
        std::fs::write(&written, format!("{what} {}\n", error.raw_os_error())).unwrap();
        std::fs::rename(&written, &self.0).unwrap();
    }

    pub fn heal(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }

    /// What a role's environment needs for it.
    pub fn env(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", shim().to_owned()), ("BAZAR_TEST_FAULTS", self.0.to_str().unwrap().to_owned())]
    }
}

/// Compiled once, by the compiler that SQLite was built with.
fn shim() -> &'static str {
    static SHIM: OnceLock<String> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/harness/faulty_disk.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faulty_disk.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(built.unwrap().success());
        library.to_str().unwrap().to_owned()
    })
}
