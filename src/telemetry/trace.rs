//! Spans, and the context that travels with a request.
//!
//! What runs for a request finds its context on its thread ([`Context::current`]): the server's door puts it
//! there whenever the request's task is polled. Whatever leaves that task takes the context along: a task of
//! its own by [`here`], an item of a queue as [`Carried`](super::Carried), a call to a peer in its headers.
//!
//! A request has a context if it is traced, or if whoever sent it has named a trace. In the second case it is
//! only passed on, and written into log lines: also by a role that sends no traces itself.
//!
//! Names and attributes are those of OpenTelemetry's semantic conventions for HTTP and databases; ours begin
//! with `bazar.`. Nothing that a customer must not share is among them: no path, no query, no order number,
//! no title, no key.

use super::export::Pipeline;
use super::{Tracing, sampling};
use crate::wire::trace::{MAX_STATE, TRACEPARENT, TRACESTATE, TraceContext, Traceparent};
use opentelemetry::trace::{
    FutureExt, Link, SpanBuilder, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Key, Value};
use opentelemetry_sdk::trace::SdkTracer;
use std::borrow::Cow;
use std::str::FromStr;
use std::sync::OnceLock;

pub use opentelemetry::trace::{SpanContext, SpanKind};
pub use opentelemetry::{Context, ContextGuard, KeyValue};

/// What makes spans in this process, if anything does.
struct Source {
    tracer: SdkTracer,
    ratio: f64,
    trusts_clients: bool,
}

static SOURCE: OnceLock<Source> = OnceLock::new();

/// Starts tracing for this process, once.
pub(super) fn start(tracing: &Tracing) -> Option<Pipeline> {
    let pipeline = match Pipeline::new(tracing) {
        Ok(pipeline) => pipeline,
        Err(error) => {
            log::error!("there are no traces: {error}");
            return None;
        }
    };
    let source =
        Source { tracer: pipeline.tracer(), ratio: tracing.ratio, trusts_clients: tracing.trusts_clients };
    SOURCE.set(source).is_ok().then_some(pipeline)
}

/// Whether a request of a customer, which has just come in, is traced: by chance, or because the customer
/// says so and is trusted.
pub fn draws(sent: impl FnOnce() -> Option<SpanContext>) -> Option<Context> {
    let source = SOURCE.get()?;
    let drawn = sampling::draws(source.ratio);
    if !drawn && !source.trusts_clients {
        return None;
    }
    let sent = sent();
    let asked = source.trusts_clients && sent.as_ref().is_some_and(SpanContext::is_sampled);
    (drawn || asked).then(|| remote(sent))
}

/// The context of a request whose sender is another role, which has decided whether it is traced.
pub fn remote(sent: Option<SpanContext>) -> Context {
    sent.map_or_else(Context::new, |sent| Context::new().with_remote_span_context(sent))
}

/// What `sent` says; nothing where it says nothing that is well-formed.
pub fn parse(traceparent: &str, tracestate: &str) -> Option<SpanContext> {
    let Traceparent { trace_id, span_id, sampled } = Traceparent::parse(traceparent)?;
    let state = (tracestate.len() <= MAX_STATE).then(|| TraceState::from_str(tracestate).ok()).flatten();
    Some(SpanContext::new(
        TraceId::from_bytes(trace_id.to_be_bytes()),
        SpanId::from_bytes(span_id.to_be_bytes()),
        TraceFlags::default().with_sampled(sampled),
        true,
        state.unwrap_or_default(),
    ))
}

/// The same, unsampled: of a sender who has no say in it.
pub fn unsampled(sent: &SpanContext) -> SpanContext {
    let state = sent.trace_state().clone();
    SpanContext::new(sent.trace_id(), sent.span_id(), TraceFlags::default(), true, state)
}

/// As it travels.
pub(super) fn written(context: &SpanContext) -> Option<TraceContext> {
    context.is_valid().then(|| {
        let traceparent = Traceparent {
            trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(context.span_id().to_bytes()),
            sampled: context.is_sampled(),
        };
        TraceContext { traceparent: traceparent.to_string(), tracestate: context.trace_state().header() }
    })
}

/// What a call that leaves from here carries: names and values of headers.
pub fn headers() -> impl Iterator<Item = (&'static str, String)> {
    let context = Context::map_current(|current| match current.has_active_span() {
        true => written(current.span().span_context()),
        false => None,
    });
    context.into_iter().flat_map(|TraceContext { traceparent, tracestate }| {
        let state = (!tracestate.is_empty()).then_some((TRACESTATE, tracestate));
        [(TRACEPARENT, traceparent)].into_iter().chain(state)
    })
}

/// Which trace what runs here belongs to, and which span of ours.
pub(super) fn ids() -> Option<(String, Option<String>)> {
    Context::map_current(|current| {
        if !current.has_active_span() {
            return None;
        }
        let span = current.span();
        let span = span.span_context();
        let own = !span.is_remote();
        span.is_valid().then(|| (span.trace_id().to_string(), own.then(|| span.span_id().to_string())))
    })
}

/// Whether what runs here has a span that takes notes.
pub fn is_traced() -> bool {
    Context::map_current(|current| current.has_active_span() && current.span().is_recording())
}

/// Notes something at the span of what runs here.
pub fn note(key: impl Into<Key>, value: impl Into<Value>) {
    if is_traced() {
        Context::map_current(|current| current.span().set_attribute(KeyValue::new(key, value)));
    }
}

/// The span of what runs here has failed.
pub fn fail(error: impl Into<Value>) {
    if is_traced() {
        Context::map_current(|current| failed(current, error));
    }
}

/// The span of `context` has failed.
pub fn failed(context: &Context, error: impl Into<Value>) {
    let span = context.span();
    span.set_attribute(KeyValue::new("error.type", error));
    span.set_status(Status::error(""));
}

/// The request of `context` goes by this route.
pub fn routed(context: &Context, method: &str, route: &str) {
    let span = context.span();
    span.update_name(format!("{method} {route}"));
    span.set_attribute(KeyValue::new("http.route", route.to_owned()));
}

/// What the span of `context` stands for is over.
pub fn end(context: &Context) {
    if context.has_active_span() {
        context.span().end();
    }
}

/// Whether `context` is that of somebody whose trace is kept.
pub fn is_sampled(context: &Context) -> bool {
    context.has_active_span() && context.span().span_context().is_sampled()
}

/// A span below `parent`, which is sampled. `None`: this process makes none.
pub fn below(parent: &Context, kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Option<Context> {
    let builder = SpanBuilder::from_name(name).with_kind(kind);
    begin(parent, builder)
}

/// The root of a trace of its own, linked to others.
pub(super) fn root(name: &'static str, links: Vec<Link>) -> Option<Context> {
    begin(&Context::new(), SpanBuilder::from_name(name).with_links(links))
}

pub(super) fn linked(parent: &Context, name: &'static str, to: SpanContext) -> Option<Context> {
    let link = Link::new(to, Vec::new(), 0);
    begin(parent, SpanBuilder::from_name(name).with_links(vec![link]))
}

fn begin(parent: &Context, builder: SpanBuilder) -> Option<Context> {
    let source = SOURCE.get()?;
    Some(parent.with_span(source.tracer.build_with_context(builder, parent)))
}

/// `work` with a span of its own, if what runs here is traced.
pub async fn within<T>(
    name: &'static str,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    work: impl Future<Output = T>,
) -> T {
    spanning(SpanKind::Internal, name, attributes, work).await
}

/// The same for what is asked of a system outside of the store.
pub async fn client<T>(
    name: &'static str,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    work: impl Future<Output = T>,
) -> T {
    spanning(SpanKind::Client, name, attributes, work).await
}

/// What a span of work in the store's own file says.
pub fn sqlite() -> Vec<KeyValue> {
    vec![KeyValue::new("db.system.name", "sqlite")]
}

async fn spanning<T>(
    kind: SpanKind,
    name: &'static str,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    work: impl Future<Output = T>,
) -> T {
    let span =
        Context::map_current(|current| is_sampled(current).then(|| below(current, kind, name)).flatten());
    let Some(span) = span else { return work.await };
    span.span().set_attributes(attributes());
    let done = work.with_context(span.clone()).await;
    span.span().end();
    done
}

/// `work`, which becomes a task of its own, as part of what runs here.
pub fn here<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    work.with_current_context()
}

/// `work` as part of `context`.
pub fn part_of<F: Future>(context: Context, work: F) -> impl Future<Output = F::Output> + use<F> {
    work.with_context(context)
}

/// What runs here goes on with what another does: each is linked from here.
pub fn link(to: &SpanContext) {
    if to.is_sampled() && is_traced() {
        Context::map_current(|current| current.span().add_link(to.clone(), Vec::new()));
    }
}

/// The span of what runs here, for those who will wait for it.
pub fn own() -> SpanContext {
    Context::map_current(|current| match current.has_active_span() {
        true => current.span().span_context().clone(),
        false => SpanContext::empty_context(),
    })
}
