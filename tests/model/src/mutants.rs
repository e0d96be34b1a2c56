//! The mutants: each rule taken out once, and what goes wrong then.

use crate::checker;
use crate::coherence::rule::{self, Rule};
use crate::configs::Config;
use crate::simulate;

/// A rule, and what is done instead of it.
pub struct Mutant {
    pub rule: Rule,
    pub kept: &'static str,
    pub removed: &'static str,
    /// The configurations that are likely to show it; the others are tried after them.
    homes: &'static [&'static str],
}

/// How a mutant was found.
pub struct Found {
    pub by: String,
    pub promise: &'static str,
    pub trace: Vec<String>,
}

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        rule: Rule::FenceBeforeCommit,
        kept: "the commit follows the fence",
        removed: "the fence is sent after the commit",
        homes: &["cached"],
    },
    Mutant {
        rule: Rule::ExpiryIsWaitedFor,
        kept: "a silent holder's lease is waited for",
        removed: "the commit follows a quarter of a lease after the fence",
        homes: &["renewal"],
    },
    Mutant {
        rule: Rule::RenewalExtendsTheFence,
        kept: "a renewal during a fence makes the fence wait longer",
        removed: "the fence waits for the old end only",
        homes: &["renewal"],
    },
    Mutant {
        rule: Rule::AcknowledgedByHolder,
        kept: "an acknowledgement counts for the holder that gave it",
        removed: "whoever answers at the address counts",
        homes: &["shared"],
    },
    Mutant {
        rule: Rule::HolderListAtTheFence,
        kept: "the list of holders is taken with the floors raised, in one step",
        removed: "the list is taken before",
        homes: &["joins"],
    },
    Mutant {
        rule: Rule::LateHolderIsNotRenewed,
        kept: "who misses a fence's deadline gets no renewal",
        removed: "it is renewed all the same",
        homes: &[],
    },
    Mutant {
        rule: Rule::FloorsCopiedOnJoin,
        kept: "a join carries the floors",
        removed: "a join begins with empty floors",
        homes: &["rejoins"],
    },
    Mutant {
        rule: Rule::FencesMergedIntoAJoin,
        kept: "fences that overtake the answer to a join are merged into it",
        removed: "the answer replaces them",
        homes: &["joins"],
    },
    Mutant {
        rule: Rule::HolderAddedWithItsFloors,
        kept: "holder and floors in one step",
        removed: "the floors are copied before the probe, the holder is added after it",
        homes: &["joins"],
    },
    Mutant {
        rule: Rule::MasterRemembersItsFences,
        kept: "the master raises its own floors too",
        removed: "it does not, so a join learns nothing",
        homes: &["rejoins"],
    },
    Mutant {
        rule: Rule::AddressIsProbed,
        kept: "a lease is granted after the address has answered with the holder's id",
        removed: "it is granted at once",
        homes: &["named"],
    },
    Mutant {
        rule: Rule::LeaseValidSinceTheRequest,
        kept: "an entry is served only under a lease that was valid since the request came in",
        removed: "the lease's end is not looked at",
        homes: &["renewal"],
    },
    Mutant {
        rule: Rule::TermCountsFromSending,
        kept: "the holder counts from when it sent the request",
        removed: "it counts from when the answer arrived",
        homes: &["late"],
    },
    Mutant {
        rule: Rule::TermIsShorterByTheDrift,
        kept: "the holder's term is 3 % shorter",
        removed: "it is the master's",
        homes: &["slow"],
    },
    Mutant {
        rule: Rule::FloorsAndDeadlineOfOneLease,
        kept: "floors and deadline are those of one object",
        removed: "a new deadline is published before its floors",
        homes: &[],
    },
    Mutant {
        rule: Rule::LeaseLostBeforeItIsReleased,
        kept: "a lease is lost before it is given back",
        removed: "it is served from after that",
        homes: &["release"],
    },
    Mutant {
        rule: Rule::GrantOfADeposedMasterIsUseless,
        kept: "a grant of a master that was replaced meanwhile is of no use",
        removed: "it is taken",
        homes: &["crossed"],
    },
    Mutant {
        rule: Rule::ListCheckedByItsBooks,
        kept: "a list is judged by every book in it too",
        removed: "by its own key only",
        homes: &["lists"],
    },
    Mutant {
        rule: Rule::EntryOfTheLeasesEpoch,
        kept: "an entry is of the lease's epoch",
        removed: "epochs are not compared",
        homes: &["epochs"],
    },
    Mutant {
        rule: Rule::EpochHasAnIdentity,
        kept: "an epoch has a random identity",
        removed: "it has a number only",
        homes: &["wiped"],
    },
    Mutant {
        rule: Rule::SecondLevelIsJudged,
        kept: "what lies in the second level is judged like everything else",
        removed: "it is trusted",
        homes: &["rejoins"],
    },
    Mutant {
        rule: Rule::WaiterJudgesForItself,
        kept: "each waiter judges a flight's answer for itself",
        removed: "it takes what the flight brought",
        homes: &["waiters"],
    },
    Mutant {
        rule: Rule::AskedAfterTheWaiterCame,
        kept: "a master's answer is fresh for those who came before it was asked",
        removed: "for all who wait",
        homes: &["waiters"],
    },
    Mutant {
        rule: Rule::AsofOfTheSameSnapshot,
        kept: "rows and version are of one snapshot",
        removed: "the version is read after the rows",
        homes: &["cached", "race"],
    },
    Mutant {
        rule: Rule::NegativeAnswersAreFenced,
        kept: "a book that appears is fenced",
        removed: "only books that were there are",
        homes: &["edits"],
    },
    Mutant {
        rule: Rule::MembershipIsFenced,
        kept: "a topic whose books change is fenced",
        removed: "only the books are",
        homes: &["edits"],
    },
    Mutant {
        rule: Rule::BothTopicsOfAMove,
        kept: "a move fences both topics",
        removed: "only the one that the book leaves",
        homes: &["edits"],
    },
    Mutant {
        rule: Rule::StartWaitsForLeases,
        kept: "a start waits for the leases of the epochs before",
        removed: "it does not",
        homes: &["loops", "restart"],
    },
    Mutant {
        rule: Rule::StartWaitsForTheLongestLease,
        kept: "for the longest since the last epoch with a batch",
        removed: "for that of the start before",
        homes: &["loops"],
    },
    Mutant {
        rule: Rule::StartWaitsForItsOwnTerm,
        kept: "for its own term at least: wiped data knows of no lease",
        removed: "for what the data knows of only",
        homes: &["wiped"],
    },
    Mutant {
        rule: Rule::FollowsByFullPredecessor,
        kept: "a record is applied behind its full predecessor",
        removed: "behind one with the same number",
        homes: &["stray"],
    },
    Mutant {
        rule: Rule::DurableBeforeAnswering,
        kept: "a replica's position is on disk before it is told",
        removed: "it is told first",
        homes: &["power"],
    },
    Mutant {
        rule: Rule::CommitIsDurable,
        kept: "a commit is on disk before it is acknowledged",
        removed: "it is not",
        homes: &["power"],
    },
    Mutant {
        rule: Rule::ReplicatedBeforeAcknowledging,
        kept: "an acknowledgement waits for the in-sync set",
        removed: "it does not",
        homes: &["power"],
    },
    Mutant {
        rule: Rule::EntersInSyncWithEverything,
        kept: "who enters the set has everything acknowledged",
        removed: "who reports enters",
        homes: &["behind"],
    },
    Mutant {
        rule: Rule::PositionOfThisHistory,
        kept: "a position counts only in this master's epoch",
        removed: "any position with a high number does",
        homes: &["longer"],
    },
    Mutant {
        rule: Rule::DecidedOnTheLatestRows,
        kept: "a batch is decided on the rows of its own transaction",
        removed: "on those of the batch before",
        homes: &["heirs"],
    },
    Mutant {
        rule: Rule::AnswersAreStored,
        kept: "answers are stored with their orders",
        removed: "they are not",
        homes: &["restock", "retry"],
    },
    Mutant {
        rule: Rule::RefusalsAreStored,
        kept: "refusals are stored too",
        removed: "they are not",
        homes: &["restock"],
    },
    Mutant {
        rule: Rule::RetriesKeepTheirKey,
        kept: "a retry has the key of the first attempt",
        removed: "it has a new one",
        homes: &["retry"],
    },
    Mutant {
        rule: Rule::SealNamesAnHeir,
        kept: "sealed data starts for its heir only",
        removed: "for anybody who has it",
        homes: &["heirs"],
    },
    Mutant {
        rule: Rule::SealEndsTheGranting,
        kept: "a sealed master answers as no master",
        removed: "it goes on granting and answering until it ends",
        homes: &["sealed"],
    },
    Mutant {
        rule: Rule::SealEndsDrawingAgain,
        kept: "a start by force that has sealed never draws again",
        removed: "it does, having written no batch",
        homes: &["usurped"],
    },
    Mutant {
        rule: Rule::ForcedEpochIsFarAbove,
        kept: "a start by force draws a number far above",
        removed: "the next one",
        homes: &["deposed"],
    },
    Mutant {
        rule: Rule::ForceWaitsForTheLongestLease,
        kept: "a start by force waits for the longest lease there may be",
        removed: "for those that its data knows of",
        homes: &["unknown"],
    },
    Mutant {
        rule: Rule::DeposedStopsAcknowledging,
        kept: "a master that met its successor acknowledges nothing",
        removed: "it goes on",
        homes: &["deposed"],
    },
    Mutant {
        rule: Rule::DeposedStopsAnswering,
        kept: "a master that met its successor answers as no master",
        removed: "it goes on",
        homes: &["deposed"],
    },
    Mutant {
        rule: Rule::LeavingTheSetIsDurable,
        kept: "that a replica left the set is recorded before the next acknowledgement",
        removed: "it is not recorded",
        homes: &["power"],
    },
    Mutant {
        rule: Rule::NotDeleteThenWrite,
        kept: "fences and floors",
        removed: "the entry is deleted, then the row is written",
        homes: &["cached", "race"],
    },
    Mutant {
        rule: Rule::NotWriteThenDelete,
        kept: "fences and floors",
        removed: "the row is written, then the entry is deleted",
        homes: &["cached", "race"],
    },
    Mutant {
        rule: Rule::NotTtlOnly,
        kept: "fences and floors",
        removed: "entries live until their time is over",
        homes: &["cached", "race"],
    },
];

pub fn by_name(name: &str) -> Option<Rule> {
    let named = |mutant: &&Mutant| format!("{:?}", mutant.rule).eq_ignore_ascii_case(name);
    MUTANTS.iter().find(named).map(|mutant| mutant.rule)
}

/// Takes the rule out, and looks for what that breaks: in its own configurations, by seeds, and then in all
/// the others. The rule is back when this returns.
pub fn hunt(mutant: &Mutant, configs: &[Config], states: usize, seeds: u64) -> Option<Found> {
    rule::remove(Some(mutant.rule));
    let at_home = |config: &&Config| mutant.homes.contains(&config.name);
    let in_model = |config: &Config| {
        let report = checker::check(config, states, 2, 4);
        let (promise, trace) = report.broken?;
        Some(Found { by: format!("model, `{}`", config.name), promise, trace })
    };
    let by_seed = || {
        let seed = simulate::many(1, seeds, 2).failed?;
        let outcome = simulate::run(seed, true);
        let promise = outcome.violation?.promise;
        Some(Found { by: format!("simulator, seed {seed}"), promise, trace: outcome.trace })
    };
    let found = configs
        .iter()
        .filter(at_home)
        .find_map(in_model)
        .or_else(by_seed)
        .or_else(|| configs.iter().filter(|config| !at_home(config)).find_map(in_model));
    rule::remove(None);
    found
}
