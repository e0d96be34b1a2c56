//! Server-sent events: an answer that goes on as long as somebody reads it.
//!
//! Invariant: it ends with the listener's stop, so that no open page holds up what else is to be finished.

use crate::shutdown::Shutdown;
use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use std::convert::Infallible;
use std::time::Duration;

/// When there is nothing to tell, this says that the connection lives, and finds out whether somebody is still
/// there.
const HEARTBEAT: Duration = Duration::from_secs(15);
const STILL_HERE: Bytes = Bytes::from_static(b":\n\n");

/// In milliseconds: when a browser comes back after a connection that broke or was ended.
const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// Sends what `events` gives, each item whole events, until it ends or `stop`.
pub fn stream_events(events: impl Stream<Item = Bytes> + 'static, stop: Shutdown) -> HttpResponse {
    let told = stream::unfold((Box::pin(events), stop), async |(mut events, stop)| {
        let chunk = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            event = events.next() => event?,
            () = tokio::time::sleep(HEARTBEAT) => STILL_HERE,
        };
        Some((chunk, (events, stop)))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Nginx would keep events until it has a buffer full of them.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::once(async { RETRY }).chain(told).map(Ok::<_, Infallible>))
}

/// One event. JSON and markup of ours have no line breaks; what has one would be cut there, so it is replaced.
pub fn event(name: &str, data: &str) -> String {
    let data = data.replace(['\r', '\n'], " ");
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    #[actix_web::test]
    async fn a_stop_ends_what_would_go_on_for_ever() {
        let stop = Shutdown::new();
        let first = stream::once(async { Bytes::from_static(b"data: 1\n\n") });
        let answer = stream_events(first.chain(stream::pending()), stop.clone());
        stop.cancel();
        let body = tokio::time::timeout(HEARTBEAT / 3, to_bytes(answer.into_body())).await;
        let body = body.expect("it ends").unwrap();
        assert!(body.starts_with(b"retry: "), "{body:?}");
    }

    #[test]
    fn no_line_break_gets_into_an_event() {
        assert_eq!(event("view", "a\nb\r"), "event: view\ndata: a b \n\n");
    }
}
