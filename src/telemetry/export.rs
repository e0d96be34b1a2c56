//! Spans on their way to the collector: OTLP over HTTP, as protobuf, by a thread of its own.
//!
//! ```text
//!   a span ends ──▶ queue, bounded ──▶ batches ──▶ POST /v1/traces, again while that may help
//!                     │ full                         │ refused, or out of time
//!                     └──────────── dropped: counted, and said in the log ─┘
//! ```
//!
//! Invariants: whoever ends a span never waits; what is dropped is counted.

use super::Tracing;
use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanProcessor,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Spans that wait: some 4 MB, and what two hundred purchases make. With more, new ones are dropped.
const QUEUE: usize = 4096;

/// Spans in one request to the collector.
const BATCH: usize = 512;

/// The longest that a span waits for others before it leaves.
const DELAY: Duration = Duration::from_secs(1);

/// One attempt to hand a batch over: a collector that needs longer has hung up in its own way.
const ATTEMPT: Duration = Duration::from_secs(2);

/// All attempts for one batch, with the pauses in between. A restart of the collector fits in.
const DEADLINE: Duration = Duration::from_secs(8);

/// Between attempts; doubles from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The largest answer of a collector that is read.
const MAX_ANSWER: u64 = 64 << 10;

/// Between two log lines about the same trouble.
const LOG_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicUsize,
    /// Spans that found no room in the queue.
    queue_full: AtomicU64,
    /// Spans that the collector did not take.
    not_taken: AtomicU64,
    /// When the log was told of trouble last.
    told: Mutex<Option<Instant>>,
}

impl Counts {
    fn complain(&self, what: &str) {
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() >= LOG_EVERY) {
            *told = Some(Instant::now());
            drop(told);
            let (queue_full, not_taken) =
                (self.queue_full.load(Ordering::Relaxed), self.not_taken.load(Ordering::Relaxed));
            log::warn!(
                "traces are lost: {what} ({queue_full} spans found the queue full, {not_taken} were not taken, \
                 since the start)"
            );
        }
    }
}

/// The way to the collector.
pub struct Pipeline {
    provider: SdkTracerProvider,
    counts: Arc<Counts>,
}

impl Pipeline {
    pub fn new(tracing: &Tracing) -> Result<Self, ExporterBuildError> {
        let counts = Arc::<Counts>::default();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new())
            .with_endpoint(tracing.endpoint.traces())
            .with_timeout(DEADLINE)
            .with_retry_policy(again())
            .build()?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let exporter = Counted { exporter, counts: Arc::clone(&counts) };
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Bounded { processor, counts: Arc::clone(&counts) })
            // Who is traced is decided where a request comes in, before there is a span.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource(tracing.service))
            .build();
        Ok(Self { provider, counts })
    }

    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("bazar")
    }

    /// Sends what is left, for as long as that.
    pub fn finish(&self, at_most: Duration) {
        // What it has to say is in the counts.
        let _ = self.provider.shutdown_with_timeout(at_most);
        let left = self.counts.waiting.load(Ordering::Relaxed);
        if left > 0 {
            log::warn!("{left} spans were left at the end: the collector has not taken them in time");
        }
    }
}

/// What was refused for now, or found nobody, is sent again until its time is over.
fn again() -> RetryPolicy {
    RetryPolicy::recommended()
        .with_max_retries(usize::MAX)
        .with_initial_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_max_jitter(FIRST_PAUSE)
}

/// Who it is that tells: what the environment says (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`) counts
/// more than what we know.
fn resource(service: &'static str) -> Resource {
    let of_environment = EnvResourceDetector::new().detect();
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let own = [
        KeyValue::new("service.name", service),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        // Two of a kind are told apart by it.
        KeyValue::new("service.instance.id", format!("{:032x}", rand::random::<u128>())),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(own)
        .with_attributes(of_environment.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())))
        .with_attributes(name.map(|name| KeyValue::new("service.name", name)))
        .build()
}

/// The queue's bound: the processor behind it has one as well, but does not say what it drops.
#[derive(Debug)]
struct Bounded {
    processor: BatchSpanProcessor,
    counts: Arc<Counts>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        let counts = &self.counts;
        if counts.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            counts.waiting.fetch_sub(1, Ordering::Relaxed);
            counts.queue_full.fetch_add(1, Ordering::Relaxed);
            counts.complain("there are more than the collector takes");
            return;
        }
        self.processor.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// Counts what leaves the queue, and what is not taken.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    counts: Arc<Counts>,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        // Only now: what is on its way takes room as well.
        self.counts.waiting.fetch_sub(spans, Ordering::Relaxed);
        if let Err(error) = &exported {
            self.counts.not_taken.fetch_add(spans as u64, Ordering::Relaxed);
            self.counts.complain(&error.to_string());
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The collector, spoken to from the exporter's own thread, which may wait.
#[derive(Debug)]
struct Collector(ureq::Agent);

impl Collector {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ATTEMPT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A collector is a neighbour.
            .proxy(None)
            .user_agent(concat!("bazar/", env!("CARGO_PKG_VERSION")));
        Self(config.build().new_agent())
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, mut body) = self.0.run(request.map(|body| body.to_vec()))?.into_parts();
        let body = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}
