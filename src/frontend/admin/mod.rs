//! The administration: who has the admin token creates, changes, restocks and deletes books, looks through orders, and
//! imports. By an API (`/admin/api`, bearer token) and by pages (`/admin`, signed in by the same token). Without a
//! token there are neither.
//!
//! | file | what it does |
//! |---|---|
//! | `keeper` | what a keeper can do, all of it at the write master |
//! | `audit` | one line for each change, and for who was not let in |
//! | `api` | JSON in and out |
//! | `asked` | places in lists, times and dollars, from queries and forms |
//! | `session` | who is signed in, and which forms are ours |
//! | `lockout` | who has guessed wrongly, and may not guess for a while |
//! | `upload` | a body on its way to the thread that reads lines |
//! | `pages/` | the same for people |
//!
//! Invariants: every change is a guarded edit (or a part of an import), which the master decides, fences and commits
//! like a purchase; nothing is read here first and written then. Each change leaves a line in the audit, whether or
//! not its keeper waits for the answer. What is shown is the master's word at that moment, never a cache's.

mod api;
mod asked;
mod audit;
mod keeper;
mod lockout;
mod pages;
mod session;
mod upload;

use super::shop::Shop;
use crate::clock;
use crate::domain::GuardedEdit;
use crate::intake::{InputError, IntakeError, Reader, Rules, Sum};
use crate::metrics::{Attempt, Doors};
use crate::telemetry::trace;
use crate::token::AdminToken;
use crate::wire::{ErrorCode, Problem};
use actix_web::web::{Data, ServiceConfig};
pub use api::endpoints;
use audit::{Actor, Refusals};
use bytes::Bytes;
use futures_util::Stream;
use keeper::{Decided, Keeper};
use lockout::{Lockout, Verdict};
use session::Sessions;
use std::sync::Arc;

pub struct Admin {
    token: AdminToken,
    sessions: Sessions,
    keeper: Arc<Keeper>,
    refusals: Refusals,
    lockout: Lockout,
    counts: Doors,
}

impl Admin {
    pub fn new(token: AdminToken, shop: &Shop, counts: Doors) -> Self {
        let keeper = Keeper::new(shop.cache.masters.clone(), shop.closing.clone());
        let sessions = Sessions::new(&token);
        Self {
            token,
            sessions,
            keeper: Arc::new(keeper),
            refusals: Refusals::default(),
            lockout: Lockout::default(),
            counts,
        }
    }

    /// Whether `actor`, who shows the right token or not, gets in; who does not is put into the audit.
    fn let_in(&self, actor: &Actor, right: bool) -> Result<(), Problem> {
        let verdict = self.lockout.judge(actor.client(), right, clock::now());
        self.counts.tried(
            actor.way(),
            match &verdict {
                Verdict::In => Attempt::Ok,
                Verdict::Wrong => Attempt::Refused,
                Verdict::LockedOut(_) | Verdict::Waits(_) => Attempt::LockedOut,
            },
        );
        let locked_out = match verdict {
            Verdict::In => return Ok(()),
            Verdict::Wrong => None,
            Verdict::LockedOut(wait) => Some(wait),
            // It was told when that began.
            Verdict::Waits(wait) => {
                return Err(Problem::too_many("too many wrong tokens from your address", wait));
            }
        };
        self.refusals.refused(actor, locked_out);
        Err(ErrorCode::Unauthorized.into())
    }

    /// Makes a change, and puts it into the audit. In a task of its own: a keeper who hangs up stops neither.
    async fn change(&self, actor: Actor, asked: GuardedEdit) -> Result<Decided, Problem> {
        let keeper = Arc::clone(&self.keeper);
        let task = actix_web::rt::spawn(trace::here(async move {
            let decided = keeper.edit(&asked, &actor.request_id).await;
            audit::change(&actor, &asked, &decided);
            decided
        }));
        task.await.map_err(|_| Problem::from(ErrorCode::Unavailable))?
    }
}

/// What an import came to.
struct TakenIn {
    sum: Sum,
    /// The first of the lines that are no books, and why.
    rejects: Vec<(u64, String)>,
    dry_run: bool,
}

impl Admin {
    /// Takes in the books that are in `body`, and puts that into the audit. In a task of its own, like a change.
    async fn import<E: 'static>(
        &self,
        actor: Actor,
        body: impl Stream<Item = Result<Bytes, E>> + 'static,
        rules: Rules,
        dry_run: bool,
    ) -> Result<TakenIn, Problem> {
        let keeper = Arc::clone(&self.keeper);
        let task = actix_web::rt::spawn(trace::here(async move {
            let _permit = keeper.may_import()?;
            let (pipe, lines) = upload::new();
            let reader = Reader::start(lines, Rules { told: keeper::TOLD, ..rules });
            let mut rejects = Vec::new();
            let taking_in = keeper.import(reader, dry_run, |number, reason| rejects.push((number, reason)));
            let (poured, taken_in) = tokio::join!(pipe.pour(body), taking_in);
            audit::import(&actor, dry_run, &taken_in);
            match (taken_in, poured) {
                (Ok(sum), _) => Ok(TakenIn { sum, rejects, dry_run }),
                (Err(IntakeError::Input(InputError::Read { .. })), Err(problem)) => Err(problem),
                (Err(error), _) => Err(why_not(&error, &actor.request_id)),
            }
        }));
        task.await.map_err(|_| Problem::from(ErrorCode::Unavailable))?
    }
}

/// Why an input was not taken in, as its keeper is told.
fn why_not(error: &IntakeError, request_id: &str) -> Problem {
    let code = match error {
        IntakeError::Strict { .. }
        | IntakeError::Input(
            InputError::Header(_) | InputError::Read { .. } | InputError::NoCatalog { .. },
        ) => ErrorCode::InvalidRequest,
        IntakeError::Input(InputError::TooLarge { .. } | InputError::Bomb) => ErrorCode::PayloadTooLarge,
        IntakeError::Input(InputError::Rejects { .. }) => ErrorCode::Internal,
        IntakeError::Call { .. } | IntakeError::Stopped { .. } => ErrorCode::Unavailable,
    };
    if code.status() >= 500 {
        log::warn!(request_id; "an import ended early: {error}");
    }
    Problem::new(code, error.to_string())
}

pub fn configure(config: &mut ServiceConfig, admin: Arc<Admin>) {
    config.app_data(Data::from(admin));
    // The longer path first: whoever matches takes the request.
    api::configure(config);
    pages::configure(config);
}
