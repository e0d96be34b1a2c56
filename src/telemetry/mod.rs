//! What a process tells of itself as it runs: log lines, and traces of requests.
//!
//! | file | what it does |
//! |---|---|
//! | `lines` | a log line, as text or as JSON |
//! | `trace` | what code that is traced does: spans, contexts that travel |
//! | `together` | what travels together: whose child it is, and links |
//! | `sampling` | which requests of customers are traced |
//! | `export` | spans on their way to the collector |
//!
//! Both are one for the whole process, like standard error: `bazar up` has all its roles in one.
//!
//! Invariants: nothing here makes a request wait, whatever becomes of the collector; a request that is not
//! traced pays a few nanoseconds, and nothing at all where there is no `--otlp-endpoint`.

mod export;
mod lines;
mod sampling;
mod together;
pub mod trace;

use std::time::Duration;

pub use lines::LogFormat;
pub use together::{Carried, shared, span_of};

/// For the spans that are left at the end of a process: what a stop has to spare beside its drain.
const FLUSH: Duration = Duration::from_secs(1);

/// Where traces go, and which requests have one.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// Of the collector.
    pub endpoint: Endpoint,
    /// `service.name` unless `OTEL_SERVICE_NAME` says another.
    pub service: &'static str,
    /// Which part of the customers' requests is traced, 0 to 1.
    pub ratio: f64,
    /// Whether customers may decide that theirs are.
    pub trusts_clients: bool,
}

/// The base URL of a collector that speaks OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(url::Url);

impl Endpoint {
    /// From `http://host[:port][/path]`. A collector of the network's own speaks TLS to whoever is outside of it;
    /// this process does not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = url::Url::parse(text).ok().filter(|url| {
            let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
            url.scheme() == "http" && url.has_host() && bare
        });
        url.map(Self).ok_or_else(|| format!("\"{text}\" is not a URL of the form http://host:port"))
    }

    /// Where traces go, as the specification has it: `/v1/traces` below the base.
    fn traces(&self) -> String {
        format!("{}/v1/traces", self.0.as_str().trim_end_matches('/'))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Sends what is left when it is dropped, within a second.
#[must_use]
pub struct Telemetry(Option<export::Pipeline>);

/// Starts logging for the whole process, and tracing if wanted; only the first call has an effect.
pub fn init(format: LogFormat, tracing: Option<Tracing>) -> Telemetry {
    lines::init(format);
    Telemetry(tracing.and_then(|tracing| trace::start(&tracing)))
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(pipeline) = &self.0 {
            pipeline.finish(FLUSH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn traces_go_to_their_place_below_the_base_url() {
        let traces = |base| Endpoint::parse(base).unwrap().traces();
        assert_eq!(traces("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(traces("http://collector:4318/"), "http://collector:4318/v1/traces");
        assert_eq!(traces("http://[::1]:4318/otlp/"), "http://[::1]:4318/otlp/v1/traces");
        for wrong in [
            "",
            "collector:4318",
            "https://collector:4318",
            "http://me:secret@collector",
            "http://c/?x=1",
            "grpc://c:4317",
        ] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
