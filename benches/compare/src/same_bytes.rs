//! Whether two servers send the same: head and body, but for what a server must write itself.

use crate::http::{Answer, headers};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;

/// What a server says of itself and of the connection; no part of what is compared.
const OF_THE_SERVER: [&str; 4] = ["date", "server", "connection", "content-length"];

/// Refuses two answers that differ in status, in headers or in body. `responseTime` is what the store measured for
/// this very answer: its digits are left out on both sides, and of the `Content-Length` only that much may differ.
pub fn check(ours: &Answer, theirs: &Answer, who: &str) -> Result<()> {
    check_but(ours, theirs, who, &[])
}

/// The same, but for the values of the headers `drawn`, which are drawn anew for each answer; both must have them.
pub fn check_but(ours: &Answer, theirs: &Answer, who: &str, drawn: &[&str]) -> Result<()> {
    ensure!(ours.status() == theirs.status(), "{who} answers with another status:\n{}", theirs.head());
    let (here, there) = (names_and_values(ours, drawn), names_and_values(theirs, drawn));
    ensure!(
        here == there,
        "{who} sends other headers: {:?}",
        here.symmetric_difference(&there).collect::<Vec<_>>()
    );
    ensure!(
        without_response_time(ours.body()) == without_response_time(theirs.body()),
        "{who} sends another body:\n{}\n{}",
        String::from_utf8_lossy(ours.body()),
        String::from_utf8_lossy(theirs.body())
    );
    Ok(())
}

fn names_and_values(answer: &Answer, drawn: &[&str]) -> BTreeSet<(String, String)> {
    headers(answer.head())
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .map(|(name, value)| if drawn.contains(&name.as_str()) { (name, "") } else { (name, value) })
        .map(|(name, value)| (name, value.to_owned()))
        .filter(|(name, _)| !OF_THE_SERVER.contains(&name.as_str()))
        .collect()
}

fn without_response_time(body: &[u8]) -> Vec<u8> {
    let name = b"\"responseTime\":";
    let Some(at) = body.windows(name.len()).position(|window| window == name) else {
        return body.to_vec();
    };
    let (before, after) = body.split_at(at + name.len());
    let digits = after.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    [before, &after[digits..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digits_of_the_response_time_are_left_out() {
        let body = br#"{"items":[1],"responseTime":0.123}"#;
        assert_eq!(without_response_time(body), br#"{"items":[1],"responseTime":}"#);
        assert_eq!(without_response_time(b"{}"), b"{}");
    }
}
