//! The last copies: more buyers than there are copies, all at once.

use super::outcome::{Outcome, Table, count};
use super::store::{Shelf, Up};
use super::{DEADLINE, Lab, Trouble};
use crate::client::BaseUrl;
use crate::domain::{BookId, IdempotencyKey, Quantity};
use crate::load;
use crate::shopper::{Attempts, Bought, Connection, NewPurchase, buy, info_path};
use crate::wire::ErrorCode;
use crate::wire::shopper::StockRead;
use futures_util::future::join_all;
use std::collections::BTreeSet;

const FRONTENDS: usize = 2;

/// Rounds in a store of its own, each for another book.
const ROUNDS: u64 = 20;
const COPIES: u64 = 5;

/// Who comes beside those who can get one.
const TOO_MANY: u32 = 35;

/// In a store that runs, only a book with at most so many left is sold out.
const FEW: u32 = 100;

pub async fn run(lab: &Lab) -> Result<Outcome, Trouble> {
    let shelf = Shelf { books: ROUNDS, topics: 4, copies: COPIES };
    let own = match lab.stores.is_empty() {
        true => Some(Up::start(lab, FRONTENDS, None, shelf).await?),
        false => None,
    };
    let stores = own.as_ref().map_or(&lab.stores, |own| &own.urls);
    let mut rounds = Vec::new();
    for book in load::books(&stores[0], lab.seed).await? {
        let copies = left(&stores[0], book).await?;
        // One book is enough of what is somebody else's.
        let enough = own.is_none() && !rounds.is_empty();
        if copies > 0 && copies <= FEW && !enough {
            rounds.push(rush(stores, book, copies).await?);
        }
    }
    Ok(judge(&rounds, own.is_some()))
}

/// What became of the buyers of one book.
struct Round {
    book: BookId,
    copies: u32,
    buyers: u32,
    bought: u32,
    refused: u32,
    /// Neither, in words.
    others: Vec<String>,
    /// What the receipts said was left, each once.
    places: BTreeSet<u32>,
    left: u32,
}

async fn rush(stores: &[BaseUrl], book_id: BookId, copies: u32) -> Result<Round, Trouble> {
    let buyers = copies + TOO_MANY;
    let run = rand::random::<u64>();
    let buyer = |number: u32| async move {
        let store = stores[number as usize % stores.len()].clone();
        let key = IdempotencyKey::parse(format!("bazar-experiment-{run:016x}-{number}"));
        let key = key.map_err(|invalid| Trouble::Answer(invalid.to_string()))?;
        let purchase = NewPurchase { book_id, quantity: Quantity::ONE, offer: None, key };
        Ok::<_, Trouble>(
            buy(&mut Connection::new(store, DEADLINE), &purchase, Attempts::PATIENT, || ()).await,
        )
    };
    let mut round = Round {
        book: book_id,
        copies,
        buyers,
        bought: 0,
        refused: 0,
        others: Vec::new(),
        places: BTreeSet::new(),
        left: 0,
    };
    for outcome in join_all((0..buyers).map(buyer)).await {
        match outcome? {
            Bought::Yes(receipt, _) => {
                round.bought += 1;
                round.places.insert(receipt.remaining.get());
            }
            Bought::No(answer) if answer.code() == Some(ErrorCode::OutOfStock) => round.refused += 1,
            Bought::No(answer) => round.others.push(format!("status {}", answer.status.as_u16())),
            Bought::Unknown(cause) => round.others.push(cause),
            Bought::NotSent(failure) => round.others.push(failure.to_string()),
        }
    }
    round.left = left(&stores[stores.len() - 1], book_id).await?;
    Ok(round)
}

async fn left(store: &BaseUrl, book: BookId) -> Result<u32, Trouble> {
    let answer = Connection::new(store.clone(), DEADLINE).get(&info_path(book)).await?;
    let read: StockRead = serde_json::from_slice(&answer.body)
        .map_err(|_| Trouble::Answer(format!("book {book} was answered with {}", answer.status)))?;
    Ok(read.number_of_items.get())
}

fn judge(rounds: &[Round], own: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let sum = |of: fn(&Round) -> u32| rounds.iter().map(|round| u64::from(of(round))).sum::<u64>();
    let (copies, buyers) = (sum(|round| round.copies), sum(|round| round.buyers));
    let (bought, refused) = (sum(|round| round.bought), sum(|round| round.refused));
    let exact = rounds.iter().filter(|round| round.bought == round.copies && round.left == 0).count();
    let other = rounds.iter().flat_map(|round| &round.others).next();
    let seen = format!(
        "{} buyers of {} copies of {} books: {} bought; of {exact} books exactly as many as there were",
        count(buyers),
        count(copies),
        rounds.len(),
        count(bought)
    );
    outcome.claim(
        !rounds.is_empty() && exact == rounds.len(),
        "of the last copies exactly as many are sold as there are",
        match rounds.is_empty() {
            true => format!("no book has between 1 and {FEW} copies left"),
            false => seen,
        },
    );
    outcome.claim(
        !rounds.is_empty() && refused == buyers - bought && other.is_none(),
        "everybody else is told that it is sold out",
        other.map_or_else(|| format!("{} were", count(refused)), |other| format!("{other} instead")),
    );
    let doubled = rounds.iter().find(|round| round.places.len() != round.bought as usize);
    outcome.claim(
        !rounds.is_empty() && doubled.is_none(),
        "no copy is sold twice: no two receipts leave the same number",
        match doubled {
            Some(round) => format!("two receipts of book {} did", round.book),
            None => format!("{} receipts, all different for each book", count(bought)),
        },
    );
    for (measure, value) in
        [("copies", copies), ("buyers", buyers), ("bought", bought), ("refused as sold out", refused)]
    {
        outcome.figure("all rounds", measure, "", value as f64);
    }
    outcome.tables.push(Table {
        title: "The rush".into(),
        columns: ["", "books", "copies", "buyers", "bought", "told sold out"].map(Into::into).to_vec(),
        rows: vec![
            [
                "all rounds".into(),
                rounds.len().to_string(),
                count(copies),
                count(buyers),
                count(bought),
                count(refused),
            ]
            .to_vec(),
        ],
    });
    outcome.note(match own {
        true => format!(
            "For each of {ROUNDS} books with {COPIES} copies {} buyers come at once, each on a connection of its \
             own, through {FRONTENDS} frontends.",
            COPIES + u64::from(TOO_MANY)
        ),
        false => "One book of the store was sold out for it.".into(),
    });
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(bought: u32, places: &[u32], left: u32) -> Round {
        Round {
            book: BookId::new(9).unwrap(),
            copies: 2,
            buyers: 5,
            bought,
            refused: 5 - bought,
            others: Vec::new(),
            places: places.iter().copied().collect(),
            left,
        }
    }

    fn verdicts(rounds: &[Round]) -> Vec<bool> {
        judge(rounds, true).claims.iter().map(|claim| claim.holds).collect()
    }

    #[test]
    fn one_sale_too_many_too_few_or_doubled_fails() {
        let good = || round(2, &[0, 1], 0);
        assert_eq!(verdicts(&[good(), good()]), [true, true, true]);
        assert_eq!(verdicts(&[good(), round(3, &[0, 1], 0)]), [false, true, false]);
        assert_eq!(verdicts(&[round(1, &[1], 1)]), [false, true, true]);
        assert_eq!(verdicts(&[round(2, &[0], 0)]), [true, true, false]);
        let lost = Round { refused: 2, others: vec!["no answer".into()], ..good() };
        assert_eq!(verdicts(&[lost]), [true, false, true]);
        assert_eq!(verdicts(&[]), [false, false, false]);
    }
}
