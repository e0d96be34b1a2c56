//! A purchase: its receipt, its refusal, or how to find out safely.

use super::{Unfulfilled, as_it_came, said};
use crate::shopper::{Answer, Attempts, Bought, Connection, NewPurchase, buy, dollars, pairs, plain, quoted};
use crate::wire::{ErrorCode, headers, shopper::PurchaseRead};
use std::io::Write;

pub async fn print(
    connection: &mut Connection,
    purchase: &NewPurchase,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Unfulfilled> {
    let repeated = || eprintln!("no outcome yet: repeating it with its key {}", purchase.key);
    match buy(connection, purchase, Attempts::PATIENT, repeated).await {
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
            Unfulfilled::Refused(format!("not bought: {}", plain(&problem.error)))
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
