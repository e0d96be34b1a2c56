//! A receiver of traces, as OpenTelemetry's protocol has it (OTLP over HTTP, as protobuf), which can also refuse,
//! hang or be away.

use super::wait_until;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span as Sent, span::SpanKind, status::StatusCode};
use prost::Message;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Takes,
    /// With this status.
    Refuses(u16),
    /// It reads, and says nothing.
    Hangs,
}

pub struct Collector {
    url: String,
    got: Arc<Mutex<Got>>,
}

struct Got {
    mood: Mood,
    /// Requests, whatever became of them.
    requests: usize,
    spans: Vec<Span>,
}

/// A span that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty: it has none.
    pub parent: String,
    pub name: String,
    pub kind: SpanKind,
    pub state: String,
    /// `service.name` of who sent it.
    pub service: String,
    pub attributes: BTreeMap<String, String>,
    /// Trace and span of each.
    pub links: Vec<(String, String)>,
    pub failed: bool,
    pub nanos: (u64, u64),
}

impl Collector {
    pub fn start() -> Self {
        Self::at("127.0.0.1:0")
    }

    /// At an address that nobody has.
    pub fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Got { mood: Mood::Takes, requests: 0, spans: Vec::new() }));
        let for_thread = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let got = Arc::clone(&for_thread);
                std::thread::spawn(move || serve(stream, &got));
            }
        });
        Self { url, got }
    }

    /// The base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn is(&self, mood: Mood) {
        self.got.lock().unwrap().mood = mood;
    }

    pub fn requests(&self) -> usize {
        self.got.lock().unwrap().requests
    }

    /// All that has arrived, in no order.
    pub fn spans(&self) -> Vec<Span> {
        self.got.lock().unwrap().spans.clone()
    }

    /// The spans of one trace.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace == id).collect()
    }

    /// Waits until the spans of a trace make this tree, as [`tree`] writes it.
    #[track_caller]
    pub fn has_tree(&self, trace: &str, expected: &str) {
        let expected: Vec<&str> =
            expected.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let margin = expected.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
        let expected: String = expected.iter().map(|line| format!("{}\n", &line[margin..])).collect();
        let mut found = String::new();
        let complete = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("the trace is complete", || {
                found = tree(&self.trace(trace));
                found == expected
            });
        }));
        assert!(complete.is_ok(), "expected:\n{expected}\nfound:\n{found}");
    }
}

/// Who did what, each below what it was done for, in alphabetical order.
pub fn tree(spans: &[Span]) -> String {
    let known = |id: &str| spans.iter().any(|span| span.id == id);
    let mut text = String::new();
    let mut roots: Vec<&Span> = spans.iter().filter(|span| !known(&span.parent)).collect();
    write_below(spans, &mut roots, 0, &mut text);
    text
}

fn write_below(all: &[Span], spans: &mut [&Span], depth: usize, text: &mut String) {
    let service = |span: &Span| span.service.trim_start_matches("bazar-").to_owned();
    let below = |span: &Span| all.iter().filter(|other| other.parent == span.id).collect::<Vec<_>>();
    spans.sort_by_key(|span| (service(span), span.name.clone(), span.nanos.0));
    for span in spans {
        let kind = match span.kind {
            SpanKind::Server => " ◀",
            SpanKind::Client => " ▶",
            _ => "",
        };
        writeln!(text, "{:depth$}{}: {}{kind}", "", service(span), span.name, depth = depth * 2).unwrap();
        write_below(all, &mut below(span), depth + 1, text);
    }
}

fn serve(stream: TcpStream, got: &Mutex<Got>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((head, body)) = read_request(&mut reader) {
        let mood = {
            let mut got = got.lock().unwrap();
            got.requests += 1;
            if got.mood == Mood::Takes {
                assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
                assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
                got.spans.extend(decode(&body));
            }
            got.mood
        };
        let answer = match mood {
            Mood::Takes => {
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n".into()
            }
            Mood::Refuses(status) => format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n"),
            Mood::Hangs => {
                // Until whoever sent it has had enough.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                let _ = reader.read(&mut [0]);
                return;
            }
        };
        if (&stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
    });
    let mut body = vec![0; length?];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn decode(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
    let of_resource = request.resource_spans.into_iter().flat_map(|sent| {
        let resource = attributes(&sent.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").cloned().unwrap_or_default();
        sent.scope_spans.into_iter().flat_map(|scope| scope.spans).map(move |span| (service.clone(), span))
    });
    of_resource.map(|(service, span)| received(service, span)).collect()
}

fn received(service: String, span: Sent) -> Span {
    Span {
        trace: hex::encode(&span.trace_id),
        id: hex::encode(&span.span_id),
        parent: hex::encode(&span.parent_span_id),
        kind: span.kind(),
        state: span.trace_state,
        service,
        attributes: attributes(&span.attributes),
        links: span
            .links
            .iter()
            .map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id)))
            .collect(),
        failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
        nanos: (span.start_time_unix_nano, span.end_time_unix_nano),
        name: span.name,
    }
}

fn attributes(sent: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    sent.iter().map(|member| (member.key.clone(), text(&member.value))).collect()
}
