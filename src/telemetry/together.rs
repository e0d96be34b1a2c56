//! What travels together, and whose child it is.
//!
//! Purchases of many customers share a request to an order node, a request to the master, a commit. A span has
//! one parent only, so:
//!
//! - If what travels together belongs to one request that is traced, it is a child of that. So the trace of
//!   a single purchase has everything in it, and so has that of a batch whose purchases stay together.
//! - If it belongs to several, it is a trace of its own, with a link to each; and each has a link to it.
//!
//! A purchase that came in a batch which is a trace of its own has a span in its own trace in each role that
//! it passes, with a link to the batch.

use super::trace::{self, Context};
use crate::wire::trace::TraceContext;
use opentelemetry::trace::{Link, SpanContext, SpanId, TraceContextExt};

/// What an item of a queue takes along of the request that put it there.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// Of the purchase, or of whatever it is.
    own: Context,
    /// Of the request that it came in, which may be that of many.
    with: Context,
}

impl Carried {
    /// Part of what runs here.
    pub fn here() -> Self {
        let here = Context::current();
        Self { own: here.clone(), with: here }
    }

    /// Came in the body of the request that is worked on here, with a context of its own.
    pub fn received(own: Option<&TraceContext>) -> Self {
        let sent = own.and_then(|own| trace::parse(&own.traceparent, &own.tracestate));
        let Some(sent) = sent else { return Self::default() };
        let request = Context::current();
        let of_request = request.has_active_span().then(|| request.span().span_context().clone());
        match of_request {
            Some(of_request) if of_request.trace_id() == sent.trace_id() => {
                Self { own: request.clone(), with: request }
            }
            of_request => {
                let request = of_request.filter(SpanContext::is_sampled).map(|span| (span, request));
                let parent = trace::remote(Some(sent));
                let own = match (trace::is_sampled(&parent), &request) {
                    (false, _) => None,
                    (true, Some((span, _))) => trace::linked(&parent, "purchase", span.clone()),
                    (true, None) => trace::below(&parent, trace::SpanKind::Internal, "purchase"),
                };
                let own = own.unwrap_or(parent);
                let with = request.map_or_else(|| own.clone(), |(_, request)| request);
                Self { own, with }
            }
        }
    }

    /// As it travels on.
    pub fn written(&self) -> Option<TraceContext> {
        self.own.has_active_span().then(|| trace::written(self.own.span().span_context())).flatten()
    }

    /// Which span the request that it came in has.
    fn request(&self) -> SpanId {
        self.with.span().span_context().span_id()
    }
}

/// Whom items that go on together belong to.
enum Shared {
    /// One request, traced or not, or nobody.
    One(Context),
    /// Several that are traced: a trace of its own, which has begun with this span.
    Several(Context),
}

/// The context of what `items` share from here on; `name` is that of its span, should it be a trace of its own.
pub fn shared<'a>(name: &'static str, items: impl Iterator<Item = &'a Carried> + Clone) -> Context {
    match whose(name, items) {
        Shared::One(context) | Shared::Several(context) => context,
    }
}

/// The same, with a span of that name in any case; `None` where nothing is traced.
pub fn span_of<'a>(name: &'static str, items: impl Iterator<Item = &'a Carried> + Clone) -> Option<Context> {
    match whose(name, items) {
        Shared::One(context) if trace::is_sampled(&context) => {
            trace::below(&context, trace::SpanKind::Internal, name)
        }
        Shared::One(_) => None,
        Shared::Several(root) => Some(root),
    }
}

fn whose<'a>(name: &'static str, items: impl Iterator<Item = &'a Carried> + Clone) -> Shared {
    let mut named = items.clone().filter(|item| item.own.has_active_span());
    let Some(first) = named.next() else { return Shared::One(Context::new()) };
    let traced = items.filter(|item| trace::is_sampled(&item.own));
    let Some(first_traced) = traced.clone().next() else {
        // Nobody's is kept: one that stands alone is passed on, for the logs.
        return Shared::One(if named.next().is_none() { first.own.clone() } else { Context::new() });
    };
    let one = first_traced.request();
    if traced.clone().all(|item| item.request() == one) {
        return Shared::One(first_traced.with.clone());
    }
    let links = traced.clone().map(|item| Link::new(item.own.span().span_context().clone(), Vec::new(), 0));
    // A process that makes no spans leaves it to the next one, which finds what each item carries.
    let Some(root) = trace::root(name, links.collect()) else { return Shared::One(Context::new()) };
    for item in traced {
        item.own.span().add_link(root.span().span_context().clone(), Vec::new());
    }
    Shared::Several(root)
}
