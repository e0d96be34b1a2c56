//! Buys a copy of book 9 safely and reads it at the version of the purchase:
//! `cargo run --example buy -- http://127.0.0.1:8083`.

use serde_json::{Value, json};
use std::error::Error;
use std::thread::sleep;
use std::time::Duration;
use ureq::http::StatusCode;

/// How often a purchase without an outcome is repeated.
const ATTEMPTS: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let store = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8083".into());
    let bought = buy(&store, 9, &format!("example-{:032x}", rand::random::<u128>()))?;
    println!("{bought}");
    println!("{}", read(&store, 9, bought["version"].as_str().unwrap_or_default())?);
    Ok(())
}

/// One copy, once, however often it is sent: a 503 or a lost connection is repeated under the same key.
pub fn buy(store: &str, book: i64, key: &str) -> Result<Value, Box<dyn Error>> {
    for attempt in 1.. {
        let sent = ureq::post(format!("{store}/order-service/purchase"))
            .config()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(15)))
            .build()
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .send(json!({ "book_id": book }).to_string());
        let unknown = match sent {
            Ok(mut answer) => {
                let body: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
                match answer.status() {
                    StatusCode::OK => return Ok(body),
                    StatusCode::SERVICE_UNAVAILABLE => body["error"].to_string(),
                    _ => return Err(format!("not bought: {}", body["error"]).into()),
                }
            }
            Err(error) => error.to_string(),
        };
        if attempt == ATTEMPTS {
            return Err(format!("no outcome ({unknown}); repeat it with the key {key}").into());
        }
        sleep(Duration::from_secs(1));
    }
    unreachable!("the last attempt returns")
}

/// The book as it is at `version` or later, through whichever frontend and cache.
pub fn read(store: &str, book: i64, version: &str) -> Result<Value, Box<dyn Error>> {
    let mut answer = ureq::get(format!("{store}/catalog-service/info/{book}"))
        .header("bazar-min-version", version)
        .call()?;
    Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
}
