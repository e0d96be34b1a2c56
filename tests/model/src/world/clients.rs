//! Customers and keepers, who repeat what nobody has answered.

use crate::coherence::rule::{Rule, kept};
use crate::domain::{
    Edit, Epoch, GuardedEdit, IdempotencyKey, OrderId, Outcome, Purchase, Quantity, Request,
};
use crate::world::net::Msg;
use crate::world::oracle::ATTEMPTS;
use crate::world::{Action, Deed, Seen, World};
use std::sync::Arc;

/// A request of a client on its way, as the order node that carries it knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Op {
    pub begun: bool,
    pub attempts: u16,
    pub done: bool,
    /// The candidate that is asked next.
    pub master: usize,
}

impl World {
    pub(super) fn enabled_clients(&self, actions: &mut Vec<Action>) {
        for (op, state) in self.ops.iter().enumerate() {
            if !state.begun {
                // In their order: which customer is which makes no difference.
                actions.push(Action::Begin { op });
                break;
            }
        }
        for (op, state) in self.ops.iter().enumerate().filter(|(_, state)| state.begun && !state.done) {
            let repeatable = matches!(self.setup.deeds[op], Deed::Buy(_));
            let under_way = self.net.iter().any(|sealed| {
                matches!(&sealed.envelope.msg, Msg::Buy { op: other, .. } | Msg::Bought { op: other, .. } if *other == op)
            }) || self.nodes.iter().any(|node| node.has_job(op));
            if repeatable && if under_way { self.left.impatience > 0 } else { self.left.retries > 0 } {
                actions.push(Action::Retry { op, node: state.master });
            }
        }
    }

    pub(super) fn send_op(&mut self, op: usize, to: usize) {
        let ops = Arc::make_mut(&mut self.ops);
        ops[op].attempts += 1;
        let attempt = ops[op].attempts;
        let request = match &self.setup.deeds[op] {
            Deed::Edit(edit) => Request::Edit(edit.clone()),
            Deed::Buy(book) => {
                let key = match kept(Rule::RetriesKeepTheirKey) {
                    true => format!("key-{op}"),
                    false => format!("key-{op}-{attempt}"),
                };
                Request::Purchase(Purchase {
                    // Each attempt of a client may come through another frontend, which drew another id.
                    order_id: OrderId::draw(0, op as u128 * ATTEMPTS + u128::from(attempt)),
                    key: IdempotencyKey::parse(key).expect("a short key of visible characters"),
                    book_id: *book,
                    quantity: Quantity::ONE,
                    offer: None,
                })
            }
        };
        self.say(&format!("customer {op}"), || match &request {
            Request::Purchase(purchase) => format!("buys book {} (attempt {attempt})", purchase.book_id),
            Request::Edit(edit) | Request::Guarded(GuardedEdit { edit, .. }) => {
                format!("the keeper's edit: {}", edit_words(edit))
            }
        });
        let met = self.orders_met.highest();
        self.send(met, Msg::Buy { op, request: Box::new(request), to });
    }

    pub fn bought(
        &mut self,
        op: usize,
        outcome: Option<Box<Outcome>>,
        version: crate::domain::Version,
        by: Epoch,
    ) {
        if self.ops[op].done {
            // A late answer to an earlier attempt: the customer has one already, and reads this one too.
            if let Some(outcome) = outcome {
                self.told(op, &outcome, version, by);
            }
            return;
        }
        let Some(outcome) = outcome else {
            let next = (self.ops[op].master + 1) % self.nodes.len();
            Arc::make_mut(&mut self.ops)[op].master = next;
            return;
        };
        Arc::make_mut(&mut self.ops)[op].done = true;
        self.told(op, &outcome, version, by);
    }

    pub(super) fn told(&mut self, op: usize, outcome: &Outcome, version: crate::domain::Version, by: Epoch) {
        match outcome {
            Outcome::Purchase { answer, replayed } => {
                let words = match answer {
                    Ok(receipt) => {
                        self.seen.0 |= Seen::BOUGHT | self.faults;
                        format!(
                            "is told: bought at {}, {} left",
                            receipt.version.public(),
                            receipt.remaining.get()
                        )
                    }
                    Err(refusal) => format!("is told: {refusal}"),
                };
                let again = if *replayed { " (replayed)" } else { "" };
                self.say(&format!("customer {op}"), || format!("{words}{again}"));
                if let Ok(receipt) = answer {
                    Arc::make_mut(&mut self.oracle).told(receipt.version, by);
                }
            }
            Outcome::Edit(_) | Outcome::Guarded { .. } | Outcome::Rejected => {
                self.say(&format!("customer {op}"), || format!("is told: done at {}", version.public()));
                Arc::make_mut(&mut self.oracle).told(version, by);
            }
        }
    }
}

pub fn edit_words(edit: &Edit) -> String {
    match edit {
        Edit::Create(book) => format!("create a book of topic {}", book.topic),
        Edit::Put(book) => format!("put book {} into topic {}", book.id, book.topic),
        Edit::Update { book_id, topic: Some(topic), .. } => format!("move book {book_id} to topic {topic}"),
        Edit::Update { book_id, .. } => format!("change book {book_id}"),
        Edit::Restock { book_id, copies } => format!("{copies} more of book {book_id}"),
        Edit::Withdraw { book_id, copies } => format!("{copies} less of book {book_id}"),
        Edit::Delete { book_id } => format!("delete book {book_id}"),
    }
}
