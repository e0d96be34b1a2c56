//! A request at the door, as part of a trace.

use crate::telemetry::trace::{self, Context, ContextGuard, KeyValue, SpanKind};
use crate::wire::trace::{TRACEPARENT, TRACESTATE};
use actix_http::Request;
use actix_web::HttpMessage;
use actix_web::dev::{RequestHead, ServiceRequest, ServiceResponse};
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

    /// Other roles, as far as they sign: they have decided.
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

    /// A request of whoever has named a trace, to be passed on. Whether it is one of another role, whose word on what
    /// is traced counts, is not known at the door: [`Traced::admitted`].
    pub fn followed(visitors: Visitors, request: &Request) -> Option<Self> {
        let head = request.head();
        let sent = sent(&head.headers)?;
        if !visitors.public {
            request.extensions_mut().insert(visitors);
        }
        let context = trace::remote(Some(trace::unsampled(&sent)));
        Some(Self { context, method: method(&head.method) })
    }

    /// A request that was signed and let in, and which is traced.
    pub fn admitted(request: &ServiceRequest) -> Option<Self> {
        let visitors = request.extensions().get::<Visitors>().copied()?;
        let head = request.head();
        let parent = trace::remote(sent(&head.headers));
        if !trace::is_sampled(&parent) {
            return None;
        }
        let span = Self::span(visitors, head, &parent);
        Some(span.unwrap_or_else(|| Self { context: parent, method: method(&head.method) }))
    }

    /// Answers it as part of its trace.
    pub async fn by<B, E>(
        self,
        answer: impl Future<Output = Result<ServiceResponse<B>, E>>,
    ) -> Result<ServiceResponse<B>, E> {
        let answer = trace::part_of(self.context.clone(), answer).await?;
        let pattern = answer.request().match_pattern();
        self.answered(pattern.as_deref(), answer.status().as_u16());
        Ok(answer)
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

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const MEMBERS: Visitors = Visitors::members("order");

    fn asking(parent: &str) -> TestRequest {
        TestRequest::default().insert_header((TRACEPARENT, parent))
    }

    #[test]
    fn at_the_door_nobodys_word_on_what_is_traced_counts() {
        for visitors in [MEMBERS, Visitors::CUSTOMERS] {
            let request = asking(SAMPLED).to_request();
            let traced = Traced::followed(visitors, &request).unwrap();
            assert!(!trace::is_sampled(&traced.context));
            let id = traced.context.span().span_context().trace_id();
            assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            // Only of who may turn out to be a member is it noted that it came that way.
            assert_eq!(request.extensions().contains::<Visitors>(), !visitors.public);
        }
    }

    #[test]
    fn the_word_of_who_was_let_in_counts() {
        let admitted = |parent: &str, visitors: Option<Visitors>| {
            let request = asking(parent).to_srv_request();
            visitors.map(|visitors| request.extensions_mut().insert(visitors));
            Traced::admitted(&request)
        };
        let traced = admitted(SAMPLED, Some(MEMBERS)).unwrap();
        assert!(trace::is_sampled(&traced.context));
        let unsampled = SAMPLED.replace("-01", "-00");
        assert!(admitted(&unsampled, Some(MEMBERS)).is_none());
        assert!(admitted("nothing", Some(MEMBERS)).is_none());
        assert!(admitted(SAMPLED, None).is_none());
    }
}
