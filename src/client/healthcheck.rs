//! `bazar healthcheck`.

use super::{MAX_RESPONSE_BYTES, within};
use std::time::Duration;

/// `bazar healthcheck`: whether `url` answers 2xx, to somebody who has no token, within two seconds.
pub async fn healthcheck(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    const DEADLINE: Duration = Duration::from_secs(2);
    let client = awc::Client::builder().disable_redirects().timeout(DEADLINE).finish();
    let mut answer = client.get(url).send().await.map_err(|error| format!("{url}: {error}"))?;
    let body = within(DEADLINE, answer.body().limit(MAX_RESPONSE_BYTES)).await;
    match (answer.status().is_success(), body) {
        (true, _) => Ok(()),
        (false, Some(Ok(body))) => {
            Err(format!("{url}: {}\n{}", answer.status(), String::from_utf8_lossy(&body)).into())
        }
        (false, _) => Err(format!("{url}: {}", answer.status()).into()),
    }
}
