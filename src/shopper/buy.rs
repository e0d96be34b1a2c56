//! One purchase, repeated with its key while its outcome is unknown: the key makes that safe.
//!
//! Invariant: whatever is repeated carries the key and the body of the first attempt, so that the store
//! takes all of them for one purchase; the number of attempts is bounded.

use super::{Answer, Connection, Failure, PURCHASE};
use crate::domain::{BookId, Cents, IdempotencyKey, Quantity};
use crate::wire::{headers, shopper::PurchaseRead};
use bytes::Bytes;
use serde_json::json;
use std::time::Duration;

/// What is to be bought, under the key that names this purchase.
#[derive(Debug, Clone)]
pub struct NewPurchase {
    pub book_id: BookId,
    pub quantity: Quantity,
    /// For the whole purchase; absent means "at the listed price".
    pub offer: Option<Cents>,
    pub key: IdempotencyKey,
}

/// How often a purchase with an unknown outcome is sent, and the pauses in between.
#[derive(Debug, Clone, Copy)]
pub struct Attempts {
    pub most: u32,
    /// Before the second; each further pause is twice as long. The store's `Retry-After` may prolong it.
    pub pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
}

impl Attempts {
    /// A master that starts again, or a replica that takes over, is there within a few seconds.
    pub const PATIENT: Attempts =
        Attempts { most: 6, pause: Duration::from_millis(200), longest_pause: Duration::from_secs(2) };

    fn pause_before(self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.pause.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        doubled.max(asked.unwrap_or_default()).min(self.longest_pause)
    }
}

/// How a purchase ended.
#[derive(Debug)]
pub enum Bought {
    /// The store said yes; the receipt beside the answer as it came.
    Yes(PurchaseRead, Answer),
    /// The store decided otherwise (a 4xx): this purchase did not happen.
    No(Answer),
    /// It may or may not have happened; it can be repeated with its key. The cause is fit for people.
    Unknown(String),
    /// The store was not reached: this purchase did not happen.
    NotSent(Failure),
}

/// Sends `purchase` until there is an outcome or `attempts` are used up. `repeated` is called before each
/// repetition.
pub async fn buy(
    connection: &mut Connection,
    purchase: &NewPurchase,
    attempts: Attempts,
    mut repeated: impl FnMut(),
) -> Bought {
    let body = body(purchase);
    let lines = [(headers::IDEMPOTENCY_KEY, purchase.key.as_str())];
    let mut unknown = None;
    let mut attempt = 1;
    loop {
        let asked = match connection.post_json(PURCHASE, &lines, body.clone()).await {
            // An answer without a receipt says nothing of the outcome; nor does any 5xx, or a busy store.
            Ok(answer) if answer.status.is_success() => match serde_json::from_slice(&answer.body) {
                Ok(receipt) => return Bought::Yes(receipt, answer),
                Err(error) => return Bought::Unknown(format!("its answer is not a receipt: {error}")),
            },
            Ok(answer) if answer.status.is_server_error() || answer.status == 429 || answer.status == 408 => {
                unknown = Some(match answer.problem() {
                    Some(problem) => problem.error,
                    None => format!("status {}", answer.status.as_u16()),
                });
                answer.retry_after()
            }
            // A refusal is the store's word on this key, whatever became of earlier attempts.
            Ok(answer) => return Bought::No(answer),
            // Nothing has happened, so there is nothing to find out.
            Err(failure @ Failure::Unreachable(..)) if unknown.is_none() => return Bought::NotSent(failure),
            Err(Failure::Unreachable(..)) => None,
            Err(failure) => {
                unknown = Some(failure.to_string());
                None
            }
        };
        if attempt == attempts.most {
            return Bought::Unknown(unknown.unwrap_or_default());
        }
        tokio::time::sleep(attempts.pause_before(attempt, asked)).await;
        attempt += 1;
        repeated();
    }
}

fn body(purchase: &NewPurchase) -> Bytes {
    let mut body = json!({ "book_id": purchase.book_id, "quantity": purchase.quantity });
    if let Some(offer) = purchase.offer {
        // Within Cents::MAX the nearest double names the cents that were meant.
        body["orderCost"] = json!(offer.get() as f64 / 100.0);
    }
    Bytes::from(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::BaseUrl;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    const FEW: Attempts =
        Attempts { most: 3, pause: Duration::from_millis(1), longest_pause: Duration::from_millis(2) };

    const RECEIPT: &str = r#"{"message":"","orderId":"0000000000000000000000000000000a","bookId":9,"quantity":2,"total":56,"remaining":13,"version":"1.2","responseTime":1}"#;

    fn purchase() -> NewPurchase {
        NewPurchase {
            book_id: BookId::new(9).unwrap(),
            quantity: Quantity::new(2).unwrap(),
            offer: Some(Cents::new(5650).unwrap()),
            key: IdempotencyKey::parse("k1").unwrap(),
        }
    }

    /// A store that gives these answers, one a connection (an empty one hangs up), and shows the requests.
    fn answering(answers: Vec<String>) -> (Connection, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = BaseUrl::from_addr(listener.local_addr().unwrap());
        let (seen, requests) = channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                while !request.ends_with('}') {
                    let mut chunk = [0; 4096];
                    let read = stream.read(&mut chunk).unwrap();
                    request.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
                }
                seen.send(request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (Connection::new(url, Duration::from_secs(5)), requests)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[actix_web::test]
    async fn what_is_repeated_is_the_same_purchase_under_the_same_key() {
        let unavailable = answer("503 Service Unavailable", "{}");
        let (mut store, requests) = answering(vec![unavailable, String::new(), answer("200 OK", RECEIPT)]);
        let mut repeated = 0;
        let bought = buy(&mut store, &purchase(), FEW, || repeated += 1).await;
        assert!(matches!(bought, Bought::Yes(receipt, _) if receipt.remaining.get() == 13));
        assert_eq!(repeated, 2);
        let requests: Vec<String> = requests.iter().collect();
        assert!(requests[0].contains("idempotency-key: k1"), "{}", requests[0]);
        assert!(requests[0].ends_with(r#"{"book_id":9,"orderCost":56.5,"quantity":2}"#), "{}", requests[0]);
        assert!(requests[1] == requests[0] && requests[2] == requests[0], "{requests:?}");
    }

    #[actix_web::test]
    async fn a_refusal_is_final() {
        let (mut store, _requests) = answering(vec![answer("409 Conflict", "{}")]);
        let bought = buy(&mut store, &purchase(), FEW, || ()).await;
        assert!(matches!(bought, Bought::No(answer) if answer.status == 409));
    }

    #[actix_web::test]
    async fn after_the_last_attempt_the_outcome_is_unknown_unless_none_was_ever_sent() {
        let unavailable = || answer("503 Service Unavailable", "{}");
        let (mut store, requests) = answering(vec![unavailable(), unavailable(), unavailable()]);
        assert!(matches!(buy(&mut store, &purchase(), FEW, || ()).await, Bought::Unknown(_)));
        assert_eq!(requests.iter().count(), 3);
        let nobody = BaseUrl::parse("http://127.0.0.1:1").unwrap();
        let mut nobody = Connection::new(nobody, Duration::from_secs(5));
        assert!(matches!(buy(&mut nobody, &purchase(), FEW, || ()).await, Bought::NotSent(_)));
    }

    #[test]
    fn pauses_double_heed_the_store_and_are_bounded() {
        let pause = |attempt, asked| Attempts::PATIENT.pause_before(attempt, asked).as_millis();
        assert_eq!((pause(1, None), pause(2, None), pause(9, None)), (200, 400, 2000));
        assert_eq!(pause(1, Some(Duration::from_secs(1))), 1000);
        assert_eq!(pause(1, Some(Duration::from_secs(99))), 2000);
    }
}
