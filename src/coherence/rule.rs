//! The rules of the protocol by name, so that a proof can take out one at a time.
//!
//! In the store every rule is kept: [`kept`] is a constant, and costs nothing. Only `tests/model`, which
//! compiles this folder with `cfg(mutants)`, can `remove` one, and must then find what goes wrong. Some
//! of the rules live in the I/O around this folder; there they are removed in the model's own copy of it.

/// What must hold, each in a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rule {
    // The master's side of a fence.
    FenceBeforeCommit = 1,
    ExpiryIsWaitedFor,
    RenewalExtendsTheFence,
    AcknowledgedByHolder,
    HolderListAtTheFence,
    LateHolderIsNotRenewed,
    // Joining.
    FloorsCopiedOnJoin,
    FencesMergedIntoAJoin,
    HolderAddedWithItsFloors,
    MasterRemembersItsFences,
    AddressIsProbed,
    // Leases.
    LeaseValidSinceTheRequest,
    TermCountsFromSending,
    TermIsShorterByTheDrift,
    FloorsAndDeadlineOfOneLease,
    LeaseLostBeforeItIsReleased,
    GrantOfADeposedMasterIsUseless,
    // The serving rule.
    ListCheckedByItsBooks,
    EntryOfTheLeasesEpoch,
    EpochHasAnIdentity,
    SecondLevelIsJudged,
    WaiterJudgesForItself,
    AskedAfterTheWaiterCame,
    AsofOfTheSameSnapshot,
    // Keys.
    NegativeAnswersAreFenced,
    MembershipIsFenced,
    BothTopicsOfAMove,
    // A master's start.
    StartWaitsForLeases,
    StartWaitsForTheLongestLease,
    StartWaitsForItsOwnTerm,
    // Replication and acknowledgement.
    FollowsByFullPredecessor,
    DurableBeforeAnswering,
    CommitIsDurable,
    ReplicatedBeforeAcknowledging,
    EntersInSyncWithEverything,
    PositionOfThisHistory,
    // Purchases.
    DecidedOnTheLatestRows,
    AnswersAreStored,
    RefusalsAreStored,
    RetriesKeepTheirKey,
    // Mastership.
    SealNamesAnHeir,
    SealEndsTheGranting,
    SealEndsDrawingAgain,
    ForcedEpochIsFarAbove,
    ForceWaitsForTheLongestLease,
    DeposedStopsAcknowledging,
    DeposedStopsAnswering,
    LeavingTheSetIsDurable,
    // The well-known recipes, instead of fences and floors.
    NotDeleteThenWrite,
    NotWriteThenDelete,
    NotTtlOnly,
}

/// Whether `rule` holds: in the store always.
#[cfg(not(mutants))]
pub const fn kept(_rule: Rule) -> bool {
    true
}

/// The rule that is taken out; 0: none.
#[cfg(mutants)]
static REMOVED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Whether `rule` holds.
#[cfg(mutants)]
pub fn kept(rule: Rule) -> bool {
    REMOVED.load(std::sync::atomic::Ordering::Relaxed) != rule as u8
}

/// Takes `rule` out for this whole process, and puts back the one that was out.
#[cfg(mutants)]
pub fn remove(rule: Option<Rule>) {
    REMOVED.store(rule.map_or(0, |rule| rule as u8), std::sync::atomic::Ordering::SeqCst);
}
