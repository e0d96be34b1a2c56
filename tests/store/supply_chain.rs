//! What the documents say of the source tree, held against it: dependencies, lints, the tests and places that
//! SECURITY.md and docs/asvs.md name.

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

/// All files of ours, by their paths from the root.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().display().to_string(), text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    walk(&root().join("tests"), &mut found);
    found
}

/// Whether `text` has a test of this name, and not one that is left out.
fn has_test(text: &str, name: &str) -> bool {
    let defined = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let definitions = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.strip_prefix("async ").unwrap_or(line).starts_with(&defined));
    definitions.into_iter().any(|(at, _)| {
        let above =
            lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        let attributes: Vec<&str> = above.filter_map(|line| line.strip_prefix("#[")).collect();
        let is_test = |attribute: &&str| {
            ["test]", "tokio::test", "actix_web::test"].iter().any(|test| attribute.starts_with(test))
        };
        attributes.iter().any(is_test) && !attributes.iter().any(|attribute| attribute.starts_with("ignore"))
    })
}

#[test]
fn a_helper_and_a_test_that_is_left_out_are_no_tests() {
    assert!(has_test("#[test]\nfn a() {", "a") && has_test("#[tokio::test]\n// why\nasync fn a() {", "a"));
    for none in ["fn a() {", "#[test]\n#[ignore = \"slow\"]\nfn a() {", "#[test]\nfn b() {\n}\nfn a() {"] {
        assert!(!has_test(none, "a"), "{none}");
    }
}

/// What stands in a page as code.
fn spans(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2))
}

#[test]
fn every_test_and_place_that_the_documents_name_is_there() {
    let sources = sources();
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    for document in ["SECURITY.md", "docs/asvs.md"] {
        let page = fs::read_to_string(root().join(document)).unwrap();
        let mut named = 0;
        for span in spans(&page) {
            let parts: Vec<&str> = span.split("::").collect();
            if parts.len() > 1 && parts.iter().all(|part| is_name(part)) {
                named += 1;
                let (name, modules) = parts.split_last().unwrap();
                let is_there = sources.iter().any(|(path, text)| {
                    has_test(text, name) && modules.iter().all(|part| *part == "tests" || path.contains(part))
                });
                assert!(is_there, "{document} names the test {span}");
            }
            let place =
                ["src/", "tests/", "docs/", "deploy/", "scripts/"].iter().any(|dir| span.starts_with(dir));
            if place && !span.contains(' ') {
                assert!(root().join(span).exists(), "{document} names {span}");
            }
        }
        assert!(named > 20, "{document}: {named}");
        // Links to documents.
        for link in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                let from = root().join(document);
                assert!(from.parent().unwrap().join(file).exists(), "{document} leads to {link}");
            }
        }
    }
}

/// The standard's sections, each with the level of every requirement in it.
const ASVS: [(&str, &str); 80] = [
    ("1.1", "22"),
    ("1.2", "1111122223"),
    ("1.3", "112222222223"),
    ("1.4", "222"),
    ("1.5", "123"),
    ("2.1", "122"),
    ("2.2", "112"),
    ("2.3", "12223"),
    ("2.4", "23"),
    ("3.1", "3"),
    ("3.2", "113"),
    ("3.3", "12223"),
    ("3.4", "11222233"),
    ("3.5", "11122333"),
    ("3.6", "3"),
    ("3.7", "22333"),
    ("4.1", "12233"),
    ("4.2", "23333"),
    ("4.3", "22"),
    ("4.4", "1222"),
    ("5.1", "2"),
    ("5.2", "112333"),
    ("5.3", "113"),
    ("5.4", "222"),
    ("6.1", "122"),
    ("6.2", "111111112222"),
    ("6.3", "11223333"),
    ("6.4", "112233"),
    ("6.5", "22222333"),
    ("6.6", "2223"),
    ("6.7", "33"),
    ("6.8", "2222"),
    ("7.1", "222"),
    ("7.2", "1111"),
    ("7.3", "22"),
    ("7.4", "11222"),
    ("7.5", "223"),
    ("7.6", "22"),
    ("8.1", "1233"),
    ("8.2", "1123"),
    ("8.3", "133"),
    ("8.4", "23"),
    ("9.1", "111"),
    ("9.2", "1222"),
    ("10.1", "22"),
    ("10.2", "223"),
    ("10.3", "22223"),
    ("10.4", "1111122222233333"),
    ("10.5", "22222"),
    ("10.6", "22"),
    ("10.7", "222"),
    ("11.1", "2233"),
    ("11.2", "22233"),
    ("11.3", "11233"),
    ("11.4", "1222"),
    ("11.5", "23"),
    ("11.6", "23"),
    ("11.7", "33"),
    ("12.1", "12233"),
    ("12.2", "11"),
    ("12.3", "22223"),
    ("13.1", "2333"),
    ("13.2", "222223"),
    ("13.3", "2233"),
    ("13.4", "1222233"),
    ("14.1", "22"),
    ("14.2", "12223333"),
    ("14.3", "122"),
    ("15.1", "12233"),
    ("15.2", "12233"),
    ("15.3", "1222222"),
    ("15.4", "3333"),
    ("16.1", "2"),
    ("16.2", "22222"),
    ("16.3", "2222"),
    ("16.4", "222"),
    ("16.5", "2223"),
    ("17.1", "23"),
    ("17.2", "22223333"),
    ("17.3", "22"),
];

#[test]
fn every_requirement_of_the_standard_has_its_answer() {
    let page = fs::read_to_string(root().join("docs/asvs.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let mut answered = rows.iter().map(|row| (row[0].to_owned(), row[1].to_owned()));
    let wanted = ASVS.iter().flat_map(|(section, levels)| {
        let numbered = levels.chars().enumerate().filter(|(_, level)| *level != '3');
        numbered.map(move |(n, level)| (format!("{section}.{}", n + 1), level.to_string()))
    });
    assert!(
        answered.clone().eq(wanted.clone()),
        "{:?}",
        answered.find(|row| !wanted.clone().any(|known| known == *row))
    );
    let count =
        |level: &str, answer: &str| rows.iter().filter(|row| row[1] == level && row[3] == answer).count();
    assert_eq!(rows.iter().filter(|row| row[1] == "1").count(), 70);
    assert_eq!(rows.iter().filter(|row| row[1] == "2").count(), 183);
    for answer in ["yes", "no", "n/a"] {
        let told = format!("| {answer} | {} | {} |", count("1", answer), count("2", answer));
        assert!(page.contains(&told), "{told}");
        assert!(rows.iter().all(|row| row.len() == 5 && !row[4].is_empty()));
    }
}
