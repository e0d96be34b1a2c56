//! A request at the door, as part of a trace.

use crate::telemetry::trace::{self, Context, ContextGuard, KeyValue, SpanKind};
use crate::wire::trace::{TRACEPARENT, TRACESTATE};
use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use std::borrow::Cow;

/// Who comes to a listener, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Visitors {
    role: &'static str,
    /// Anybody. Their word on what is traced counts for nothing unless they are trusted.
    public: bool,
}

impl Visitors {
    /// Customers of a frontend: which requests are traced is decided here.
    pub const CUSTOMERS: Self = Self { role: "frontend", public: true };

    /// Other roles: they have decided.
    pub const fn members(role: &'static str) -> Self {
        Self { role, public: false }
    }
}

/// A request that belongs to a trace, until it is answered.
pub struct Traced {
    context: Context,
    method: &'static str,
}

impl Traced {
    /// A request of a customer that is to be traced. (Probes are not: there are many, and they tell nothing.)
    pub fn drawn(visitors: Visitors, head: &RequestHead) -> Option<Self> {
        if !visitors.public {
            return None;
        }
        let parent = trace::draws(|| sent(&head.headers))?;
        let is_probe = matches!(head.uri.path(), "/healthz" | "/readyz");
        (!is_probe).then(|| Self::span(visitors, head, &parent)).flatten()
    }

    /// A request of another role that is traced, or one of whoever has named a trace, to be passed on.
    pub fn followed(visitors: Visitors, head: &RequestHead) -> Option<Self> {
        let sent = sent(&head.headers)?;
        let method = method(&head.method);
        if visitors.public {
            return Some(Self { context: trace::remote(Some(trace::unsampled(&sent))), method });
        }
        let parent = trace::remote(Some(sent));
        let span = trace::is_sampled(&parent).then(|| Self::span(visitors, head, &parent)).flatten();
        Some(span.unwrap_or(Self { context: parent, method }))
    }

    fn span(visitors: Visitors, head: &RequestHead, parent: &Context) -> Option<Self> {
        let method = method(&head.method);
        let context = trace::below(parent, SpanKind::Server, method)?;
        context.span().set_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("bazar.role", visitors.role),
        ]);
        Some(Self { context, method })
    }

    /// What runs until the guard is dropped is part of it.
    pub fn enter(&self) -> ContextGuard {
        self.context.clone().attach()
    }

    /// It was answered, by this route, unless it has been said already or there is none.
    pub fn answered(self, route: Option<&str>, status: u16) {
        let span = self.context.span();
        if !span.is_recording() {
            return;
        }
        if let Some(route) = route {
            trace::routed(&self.context, self.method, route);
        }
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            trace::failed(&self.context, status.to_string());
        }
        span.end();
    }
}

/// What the sender says of its trace. Two `traceparent` are as good as none; of `tracestate` there may be
/// several, which are one.
fn sent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all(TRACEPARENT);
    let parent = parents.next()?.to_str().ok()?;
    if parents.next().is_some() {
        return None;
    }
    let mut states = headers.get_all(TRACESTATE).filter_map(|state| state.to_str().ok());
    let first = states.next().unwrap_or_default();
    let state = states.fold(Cow::Borrowed(first), |all, state| format!("{all},{state}").into());
    trace::parse(parent, &state)
}

/// One of the methods that there are: others could be of any number.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|&known| known == method.as_str()).unwrap_or("_OTHER")
}
