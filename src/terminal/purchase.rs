//! A purchase: its receipt, its refusal, or how to find out safely.

use super::{Unfulfilled, as_it_came, said};
use crate::shopper::{Answer, Attempts, Bought, Connection, NewPurchase, buy, dollars, pairs, plain, quoted};
use crate::wire::{ErrorCode, headers, shopper::PurchaseRead};
use std::io::Write;
use std::time::Duration;
use tokio::time::sleep;

/// How long somebody at a terminal waits for an outcome, and when a word is due.
#[derive(Debug, Clone, Copy)]
struct Patience {
    word_after: Duration,
    most: Duration,
}

/// The store has an outcome, or says that there is none, within 10 s: so this is one whole attempt and, behind it,
/// the repetitions of the time that a master takes to start again. A purchase takes milliseconds, so whoever waits for
/// seconds should be told why.
const PATIENCE: Patience = Patience { word_after: Duration::from_secs(2), most: Duration::from_secs(15) };

pub async fn print(
    connection: &mut Connection,
    purchase: &NewPurchase,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Unfulfilled> {
    match outcome(connection, purchase, PATIENCE, |word| eprintln!("{word}")).await {
        Bought::Yes(_, answer) if json => Ok(as_it_came(out, &answer)?),
        Bought::Yes(receipt, answer) => Ok(writeln!(out, "{}", table(&receipt, &answer))?),
        Bought::No(answer) => Err(refused(&answer, purchase)),
        Bought::NotSent(failure) => Err(failure.into()),
        Bought::Unknown(cause) => Err(Unfulfilled::Other(format!(
            "it is not known whether this purchase took place ({}); its key is {}, and this repeats it without \
             buying twice: {}",
            plain(&cause),
            purchase.key,
            again(connection, purchase),
        ))),
    }
}

/// Repeats it until there is an outcome or no patience left.
async fn outcome(
    connection: &mut Connection,
    purchase: &NewPurchase,
    patience: Patience,
    tell: impl Fn(String),
) -> Bought {
    let Patience { word_after, most } = patience;
    let repeated = || tell(format!("no outcome yet: repeating it with its key {}", purchase.key));
    let impatient = async {
        sleep(word_after).await;
        // Whoever gives up now can find out with the key.
        tell(format!(
            "waiting for the store, {most:?} at most; the key of this purchase is {}",
            purchase.key
        ));
        sleep(most.saturating_sub(word_after)).await;
    };
    tokio::select! {
        bought = buy(connection, purchase, Attempts::PATIENT, repeated) => bought,
        () = impatient => Bought::Unknown(format!("there was no outcome within {most:?}")),
    }
}

fn table(receipt: &PurchaseRead, answer: &Answer) -> String {
    let replayed = answer.header(headers::IDEMPOTENCY_REPLAYED) == Some("true");
    pairs(&[
        (if replayed { "Bought before" } else { "Bought" }, format!("book {}", receipt.book_id)),
        ("Copies", receipt.quantity.get().to_string()),
        ("Total", dollars(receipt.total)),
        ("Left", receipt.remaining.get().to_string()),
        ("Order", receipt.order_id.to_string()),
        ("Version", receipt.version.to_string()),
    ])
}

fn refused(answer: &Answer, purchase: &NewPurchase) -> Unfulfilled {
    let Some(problem) = answer.problem() else { return Unfulfilled::Other(said(answer)) };
    match problem.code {
        ErrorCode::BookNotFound => Unfulfilled::NotFound(format!("there is no book {}", purchase.book_id)),
        ErrorCode::OutOfStock | ErrorCode::Underpaid | ErrorCode::IdempotencyMismatch => {
            let more = problem.detail.map(|detail| format!(": {}", plain(&detail))).unwrap_or_default();
            Unfulfilled::Refused(format!("not bought: {}{more}", plain(&problem.error)))
        }
        _ => Unfulfilled::Other(said(answer)),
    }
}

/// The command that repeats `purchase` under its key.
fn again(connection: &Connection, purchase: &NewPurchase) -> String {
    let mut command = format!("bazar buy {} --quantity {}", purchase.book_id, purchase.quantity.get());
    if let Some(offer) = purchase.offer {
        command.push_str(&format!(" --offer {offer}"));
    }
    let store = connection.store().to_string();
    command.push_str(&format!(" --key {} --url {}", quoted(purchase.key.as_str()), quoted(&store)));
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::BaseUrl;
    use crate::domain::{BookId, IdempotencyKey, Quantity};
    use std::cell::RefCell;
    use std::net::TcpListener;

    #[actix_web::test]
    async fn who_waits_for_a_silent_store_is_told_the_key_and_then_that_nothing_is_known() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection =
            Connection::new(BaseUrl::from_addr(silent.local_addr().unwrap()), Duration::from_secs(60));
        let purchase = NewPurchase {
            book_id: BookId::new(9).unwrap(),
            quantity: Quantity::ONE,
            offer: None,
            key: IdempotencyKey::parse("monday").unwrap(),
        };
        let patience = Patience { word_after: Duration::from_millis(10), most: Duration::from_millis(50) };
        let words = RefCell::new(Vec::new());
        let bought =
            outcome(&mut connection, &purchase, patience, |word| words.borrow_mut().push(word)).await;
        assert!(matches!(bought, Bought::Unknown(why) if why == "there was no outcome within 50ms"));
        assert_eq!(
            words.into_inner(),
            ["waiting for the store, 50ms at most; the key of this purchase is monday"]
        );
    }
}
