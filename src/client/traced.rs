//! A call to another role, as a span.

use super::{BaseUrl, CallError};
use crate::telemetry::trace::{self, Context, KeyValue, SpanKind};
use opentelemetry::trace::TraceContextExt;

/// `call` with a span of its own, if what runs here is traced.
pub async fn traced<T>(
    method: &'static str,
    path: &str,
    to: &BaseUrl,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    let Some(span) = span(method, path, to) else { return call.await };
    let ended = trace::part_of(span.clone(), call).await;
    let status = match &ended {
        Ok(_) => Some(200),
        Err(error) => {
            trace::failed(&span, error_type(error));
            error.code().map(|code| code.status())
        }
    };
    if let Some(status) = status {
        span.span().set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    span.span().end();
    ended
}

fn span(method: &'static str, path: &str, to: &BaseUrl) -> Option<Context> {
    let here = Context::current();
    if !trace::is_sampled(&here) {
        return None;
    }
    let template = template(path);
    let span = trace::below(&here, SpanKind::Client, format!("{method} {template}"))?;
    span.span().set_attributes([
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.template", template),
        KeyValue::new("server.address", to.host().to_owned()),
        KeyValue::new("server.port", i64::from(to.port())),
    ]);
    Some(span)
}

/// What `path` has in common with others of its kind: an order's number opens that order, and a query has
/// what somebody looked for.
fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let mut members = path.split('/').skip(1);
    let first = members.next().unwrap_or_default();
    match (first, members.next()) {
        (_, None) => format!("/{first}"),
        // These are the names of routes.
        ("leases" | "cache" | "edits", Some(second)) => format!("/{first}/{second}"),
        (_, Some(_)) => format!("/{first}/{{}}"),
    }
}

fn error_type(error: &CallError) -> String {
    match error {
        CallError::Refused { problem, .. } => problem.code.to_string(),
        CallError::Unreachable { .. } => "unreachable".into(),
        CallError::NoAnswer { .. } => "no_answer".into(),
        CallError::Unproven { .. } => "unproven".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn what_names_an_order_or_a_search_is_left_out() {
        assert_eq!(template("/purchases"), "/purchases");
        assert_eq!(template("/orders/0192f0c1-secret"), "/orders/{}");
        assert_eq!(template("/books?ids=9,11"), "/books");
        assert_eq!(template("/books/9?min=1.7"), "/books/{}");
        assert_eq!(template("/query?q=what%20I%20want"), "/query");
        assert_eq!(template("/cache/invalidate"), "/cache/invalidate");
        assert_eq!(template("/edits/guarded"), "/edits/guarded");
    }
}
