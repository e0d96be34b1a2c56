//! The examples of the README do what they say.

use crate::harness::{Client, in_company, start_nodes};
use std::process::{Command, Stdio};

#[expect(dead_code, reason = "it has a main of its own")]
#[path = "../../examples/buy.rs"]
mod buy;

const README: &str = include_str!("../../README.md");

/// Where the README's store is.
const STORE: &str = "http://127.0.0.1:8083";

/// The block of code of the README in `language` that has `part` in it.
#[track_caller]
fn block(language: &str, part: &str) -> &'static str {
    let blocks = README.split("```").skip(1).step_by(2);
    let mut of_it = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    of_it.find(|block| block.contains(part)).unwrap_or_else(|| panic!("no {language} with {part}"))
}

#[track_caller]
fn output(program: &str, flag: &str, script: &str) -> String {
    let output = Command::new(program).args([flag, script]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_examples_buy_one_copy_with_a_key_and_read_it_at_its_version() {
    let _company = in_company();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let args = ["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let up = start_nodes(dir.path(), "up", &args);
    let client = Client::new(up.url());
    let here = |script: &str| script.replace(STORE, up.url());

    let curl = output("bash", "-ec", &here(block("sh", "Bazar-Min-Version: $version")));
    assert!(curl.contains(r#""numberOfItems":14"#), "{curl}");
    let python = output("python3", "-c", &here(block("python", "Bazar-Min-Version")));
    assert!(python.contains("13 left"), "{python}");
    let bought = buy::buy(up.url(), 9, "example").unwrap();
    let read = buy::read(up.url(), 9, bought["version"].as_str().unwrap()).unwrap();
    assert_eq!(read["numberOfItems"], 12);
    // The key of each makes it the same purchase again.
    assert_eq!(buy::buy(up.url(), 9, "example").unwrap()["orderId"], bought["orderId"]);
    assert_eq!(client.info(9).ok().stock(9), 12);
}
