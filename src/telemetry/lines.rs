//! Logs: one line an event on standard error, as text for people or JSON for collectors.
//!
//! `RUST_LOG` chooses levels (`info` by default, without the chatter of the HTTP server;
//! `bazar=debug` shows every cache decision). Members that
//! a line carries, such as `request_id`, follow the sentence as `name=value`. What is written while a request
//! of a trace is worked on carries that trace's id, and the id of the span if there is one: where the request
//! is not traced itself, its trace is only as far known as whoever sent it said.

use super::trace;
use env_logger::fmt::Formatter;
use log::Record;
use log::kv::{self, Key, Value, VisitSource};
use serde_json::{Map, Value as Json};
use std::fmt::Write as _;
use std::io::Write;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging for the whole process; only the first call has an effect.
pub fn init(format: LogFormat) {
    let mut builder =
        env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info,actix_server=warn"));
    // Who sends what is no HTTP is told so. A line for each would let anybody fill the disk.
    let asked_for = std::env::var("RUST_LOG").is_ok_and(|filter| filter.contains("actix_http"));
    if !asked_for {
        builder.filter_module("actix_http::h1::dispatcher", log::LevelFilter::Off);
    }
    match format {
        LogFormat::Text => builder.format(text),
        LogFormat::Json => builder.format(json),
    };
    // Tests start several roles in one process: the first one's logger serves them all.
    let _ = builder.try_init();
}

fn now() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(std::time::SystemTime::now())
}

fn text(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let target = record.target().strip_prefix("bazar::").unwrap_or(record.target());
    let members = members(record);
    let mut line = format!("{} {:5} {target}: {}", now(), record.level(), record.args());
    for (name, value) in members {
        let _ = match value {
            Json::String(text) => write!(line, " {name}={text}"),
            other => write!(line, " {name}={other}"),
        };
    }
    writeln!(out, "{}", one_line(&line))
}

fn json(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let mut line = Map::new();
    line.insert("time".into(), now().to_string().into());
    line.insert("level".into(), record.level().as_str().into());
    line.insert("target".into(), record.target().into());
    line.insert("message".into(), record.args().to_string().into());
    for (name, value) in members(record) {
        line.entry(name).or_insert(value);
    }
    writeln!(out, "{}", Json::Object(line))
}

/// What follows the sentence.
fn members(record: &Record<'_>) -> Vec<(String, Json)> {
    let mut members = Members::default();
    // Collecting into memory cannot fail.
    let _ = record.key_values().visit(&mut members);
    let mut members = members.0;
    if let Some((trace_id, span_id)) = trace::ids() {
        members.push(("trace_id".into(), trace_id.into()));
        members.extend(span_id.map(|span_id| ("span_id".into(), span_id.into())));
    }
    members
}

/// What came from outside may hold a line break: a forged log line would begin there.
fn one_line(line: &str) -> std::borrow::Cow<'_, str> {
    match line.chars().any(char::is_control) {
        true => line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        false => line.into(),
    }
}

#[derive(Default)]
struct Members(Vec<(String, Json)>);

impl<'kvs> VisitSource<'kvs> for Members {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = match (value.to_u64(), value.to_f64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            _ => value.to_string().into(),
        };
        self.0.push((key.as_str().into(), value));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_line_break_from_outside_does_not_begin_a_line() {
        assert_eq!(one_line("a\nINFO forged"), "a\u{fffd}INFO forged");
        assert_eq!(one_line("plain"), "plain");
    }
}
