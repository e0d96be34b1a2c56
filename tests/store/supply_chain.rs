//! What the documents say of the source tree, held against it.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The packages of the workspace, as Cargo itself reads their manifests.
fn packages() -> Vec<Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn every_direct_dependency_has_its_line_and_every_line_its_dependency() {
    let (mut in_binary, mut in_tests) = (BTreeSet::new(), BTreeSet::new());
    for package in packages() {
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap().to_owned();
            let shipped = package["name"] == "bazar" && dependency["kind"].as_str() != Some("dev");
            if shipped {
                in_binary.insert(name)
            } else {
                in_tests.insert(name)
            };
        }
    }
    let page = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let (shipped, tested) = page.split_once("## In tests and benches only").unwrap();
    let named = |part: &str| -> BTreeSet<String> {
        let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| {
            let (name, why) = row.split_once("` | ").unwrap();
            assert!(why.trim_end_matches(" |").len() >= 5, "{name} says nothing");
            name.to_owned()
        })
        .collect()
    };
    let in_tests = in_tests.difference(&in_binary).cloned().collect::<BTreeSet<_>>();
    assert_eq!(named(shipped), in_binary, "left: docs/dependencies.md, right: [dependencies] of bazar");
    assert_eq!(named(tested), in_tests, "left: docs/dependencies.md, right: only in tests and benches");
}

#[test]
fn no_crate_of_the_workspace_can_have_unsafe_code() {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let (_, lints) = read(&root().join("Cargo.toml"))
        .split_once("[workspace.lints.rust]")
        .map(|(before, after)| (before.to_owned(), after.to_owned()))
        .unwrap();
    let lints = lints.split("\n[").next().unwrap();
    assert!(lints.lines().any(|line| line == "unsafe_code = \"forbid\""), "{lints}");
    for package in packages() {
        let manifest = package["manifest_path"].as_str().unwrap();
        assert!(read(Path::new(manifest)).contains("\n[lints]\nworkspace = true\n"), "{manifest}");
    }
}

#[test]
fn every_dependency_comes_from_the_registry_or_is_part_of_the_workspace() {
    for package in packages() {
        for dependency in package["dependencies"].as_array().unwrap() {
            let source = dependency["source"].as_str().unwrap_or("a path");
            assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{dependency}");
        }
    }
}
