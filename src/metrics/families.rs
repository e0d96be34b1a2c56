//! Every family that is served, and nothing else is: docs/metrics.md is this list.

use super::calls::{Outcome, PeerRole, ROUTES, Stranger};
use super::doors::{Attempt, Limit, Way};
use super::family::Values::{Of, Told};
use super::family::{Family, RoleName};
use super::http::{Listener, METHODS, STATUSES};
use super::nodes::{Fault, NodeState, PoolName, Retry};
use super::queues::QueueName;
use super::reads::{AnsweredBy, Ask, Asked, Bought, EntryKind, Miss, RedisDone, RedisOperation};
use super::writes::{
    Decided, FenceEnd, Left, MasterState, Part, Reader, Refused, SnapshotReason, StoreFault, Verdict,
};
use super::{CALLS, DURATIONS, HOLDERS, LAGS, SIZES};

const ALL: &[RoleName] = RoleName::ALL;
const FRONTEND: &[RoleName] = &[RoleName::Frontend];
const ORDER: &[RoleName] = &[RoleName::Order];
const MASTER: &[RoleName] = &[RoleName::Master];
const REPLICA: &[RoleName] = &[RoleName::Replica];
const CATALOG: &[RoleName] = &[RoleName::Master, RoleName::Replica];

macro_rules! families {
    ($($name:ident = $family:expr;)+) => {
        $(pub static $name: Family = $family;)+

        /// All of them, in the order of the documentation.
        pub static FAMILIES: &[&Family] = &[$(&$name,)+];
    };
}

families! {
    // Every role.
    BUILD_INFO = Family::gauge("bazar_build_info", ALL, "Always 1; the labels say what runs here.").by(&[
        ("version", Told("the program's")),
        ("revision", Told("what `BAZAR_REVISION` said when it was compiled, or `unknown`")),
        ("role", Of(RoleName::VALUES)),
    ]);
    PROCESS_CPU = Family::counter("process_cpu_seconds_total", ALL, "Processor time of the process, in seconds.");
    PROCESS_RESIDENT =
        Family::gauge("process_resident_memory_bytes", ALL, "Memory of the process that lies in RAM, in bytes.");
    PROCESS_VIRTUAL = Family::gauge("process_virtual_memory_bytes", ALL, "Address space of the process, in bytes.");
    PROCESS_FDS = Family::gauge("process_open_fds", ALL, "Files and connections that the process has open.");
    PROCESS_MAX_FDS = Family::gauge("process_max_fds", ALL, "Files and connections that it may have open.");
    PROCESS_START = Family::gauge("process_start_time_seconds", ALL, "When the process was started, in Unix time.");
    PROCESS_THREADS = Family::gauge("process_threads", ALL, "Threads of the process.");

    HTTP_DURATION = Family::histogram(
        "bazar_http_request_duration_seconds", &DURATIONS, ALL,
        "Time from a request's head to the head of its answer, in seconds.",
    ).by(&[
        ("listener", Of(Listener::VALUES)),
        ("method", Of(METHODS)),
        ("route", Told("the route's pattern, without the prefix of a service; `none` for all that match none")),
        ("status", Of(STATUSES)),
    ]);
    HTTP_ERRORS = Family::counter("bazar_http_error_responses_total", ALL, "Answers with a 4xx or 5xx.").by(&[
        ("listener", Of(Listener::VALUES)),
        ("code", Told("the status")),
    ]);
    HTTP_IN_FLIGHT = Family::gauge(
        "bazar_http_requests_in_flight", ALL, "Requests whose answers are not made yet, or still being sent.",
    ).by(&[("listener", Of(Listener::VALUES))]);
    HTTP_CONNECTIONS = Family::gauge("bazar_http_connections", ALL, "Open connections.")
        .by(&[("listener", Of(Listener::VALUES))]);
    HTTP_CONNECTIONS_MAX = Family::gauge(
        "bazar_http_connections_max", ALL, "How many connections there may be; beyond, they wait in the kernel.",
    ).by(&[("listener", Of(Listener::VALUES))]);
    EVENT_LOOP_LAG = Family::histogram(
        "bazar_event_loop_lag_seconds", &LAGS, ALL,
        "How late a timer of each serving thread fires, ten times a second, in seconds.",
    ).by(&[("listener", Of(Listener::VALUES))]);
    RUNTIME_TASKS = Family::gauge("bazar_runtime_tasks", ALL, "Tasks of the thread that the role's own work is on.");

    PEER_DURATION = Family::histogram(
        "bazar_peer_request_duration_seconds", &CALLS, ALL, "Calls to other roles, in seconds.",
    ).by(&[
        ("peer", Of(PeerRole::VALUES)),
        ("route", Of(ROUTES)),
        ("outcome", Told(Outcome::TOLD)),
    ]);
    PEER_IN_FLIGHT = Family::gauge("bazar_peer_requests_in_flight", ALL, "Calls to other roles that have not ended.")
        .by(&[("peer", Of(PeerRole::VALUES))]);

    INTERNAL_REFUSED = Family::counter("bazar_internal_refused_total", ALL, "Requests at the internal listener that no member of the store had signed.")
        .by(&[("reason", Of(Stranger::VALUES))]);

    QUEUE_LENGTH = Family::gauge("bazar_queue_length", ALL, "What waits in a queue.")
        .by(&[("queue", Of(QueueName::VALUES))]);
    QUEUE_CAPACITY = Family::gauge("bazar_queue_capacity", ALL, "How much may wait in a queue.")
        .by(&[("queue", Of(QueueName::VALUES))]);
    QUEUE_REJECTED = Family::counter("bazar_queue_rejected_total", ALL, "What was turned away because a queue was full.")
        .by(&[("queue", Of(QueueName::VALUES))]);

    // Frontend.
    READS = Family::counter("bazar_reads_total", FRONTEND, "Reads, by the level whose answer was given.")
        .by(&[("level", Of(AnsweredBy::VALUES))]);
    LOOKUPS = Family::counter(
        "bazar_cache_lookups_total", FRONTEND, "What the two levels of the cache were asked for, and why they had it not.",
    ).by(&[("level", Of(&["memory", "redis"])), ("outcome", Told(Miss::TOLD))]);
    CACHE_BYTES = Family::gauge("bazar_cache_bytes", FRONTEND, "Size of what is kept in memory, in bytes.");
    CACHE_MAX_BYTES = Family::gauge("bazar_cache_max_bytes", FRONTEND, "How much may be kept in memory, in bytes.");
    CACHE_ENTRIES = Family::gauge("bazar_cache_entries", FRONTEND, "Entries in memory.")
        .by(&[("kind", Of(EntryKind::VALUES))]);
    CACHE_EVICTIONS = Family::counter(
        "bazar_cache_evictions_total", FRONTEND, "Entries that had to go from memory because others came.",
    ).by(&[("kind", Of(EntryKind::VALUES))]);
    CACHE_FLIGHTS = Family::gauge("bazar_cache_flights", FRONTEND, "Fetches under way, each for all who wait for it.");
    STALE = Family::counter("bazar_stale_answers_total", FRONTEND, "Answers that said that they may be stale.")
        .by(&[("asked", Of(Asked::VALUES))]);
    PURCHASES = Family::counter("bazar_purchases_total", FRONTEND, "Purchases, by what the customer was told.")
        .by(&[("outcome", Of(Bought::VALUES))]);
    PURCHASES_IN_FLIGHT = Family::gauge("bazar_purchases_in_flight", FRONTEND, "Purchases that have no answer yet.");
    PURCHASES_IN_FLIGHT_MAX =
        Family::gauge("bazar_purchases_in_flight_max", FRONTEND, "How many there may be; beyond, the answer is a 503.");
    FENCES_RECEIVED = Family::counter("bazar_fences_received_total", FRONTEND, "Announcements of the write master.");
    LEASE_HELD = Family::gauge("bazar_lease_held", FRONTEND, "1 if a lease is held, without which nothing is cached.");
    LEASE_REMAINING =
        Family::gauge("bazar_lease_remaining_seconds", FRONTEND, "How long the lease runs if it is not renewed.");
    LEASE_REQUESTS = Family::counter(
        "bazar_lease_requests_total", FRONTEND, "What the master was asked for, and what became of it.",
    ).by(&[("ask", Of(Ask::VALUES)), ("outcome", Of(super::reads::Granted::VALUES))]);
    LEASE_GAPS = Family::counter(
        "bazar_lease_gaps_total", FRONTEND, "Leases that were lost: run out, not renewed, or of a master that was replaced.",
    );
    REDIS_CONFIGURED = Family::gauge("bazar_redis_configured", FRONTEND, "1 if there is a second level of the cache.");
    REDIS_CONNECTED = Family::gauge("bazar_redis_connected", FRONTEND, "1 if Redis is used at the moment.");
    REDIS_DURATION = Family::histogram(
        "bazar_redis_request_duration_seconds", &CALLS, FRONTEND,
        "Requests to Redis, in seconds; `get` is one for all reads that came together.",
    ).by(&[("operation", Of(RedisOperation::VALUES)), ("outcome", Of(RedisDone::VALUES))]);
    POOL_NODES = Family::gauge("bazar_pool_nodes", FRONTEND, "Nodes that are known, by how they stand.")
        .by(&[("pool", Of(PoolName::VALUES)), ("state", Of(NodeState::VALUES))]);
    POOL_CALLS = Family::gauge("bazar_pool_calls_in_flight", FRONTEND, "Calls to the nodes of a pool that have not ended.")
        .by(&[("pool", Of(PoolName::VALUES))]);
    POOL_EJECTIONS = Family::counter(
        "bazar_pool_ejections_total", FRONTEND, "Nodes that were taken out for what their traffic looked like.",
    ).by(&[("pool", Of(PoolName::VALUES)), ("reason", Of(Fault::VALUES))]);
    POOL_DEATHS = Family::counter("bazar_pool_deaths_total", FRONTEND, "Nodes that were found not to answer.")
        .by(&[("pool", Of(PoolName::VALUES))]);
    RETRIES = Family::counter("bazar_retries_total", FRONTEND, "Calls that were to be made once more, at another node.")
        .by(&[("pool", Of(PoolName::VALUES)), ("outcome", Of(Retry::VALUES))]);
    RETRY_BUDGET = Family::gauge("bazar_retry_budget_tokens", FRONTEND, "How many calls may be made once more right now.")
        .by(&[("pool", Of(PoolName::VALUES))]);
    EVENT_STREAMS = Family::gauge("bazar_event_streams", FRONTEND, "Open pages that are told of changes.");
    EVENT_STREAMS_MAX = Family::gauge("bazar_event_streams_max", FRONTEND, "How many there may be.");
    RATE_LIMITED = Family::counter("bazar_rate_limited_total", FRONTEND, "Requests that were turned away with a 429, and connections that were closed, because a client had too many.")
        .by(&[("limit", Of(Limit::VALUES))]);
    ADMIN_ATTEMPTS = Family::counter(
        "bazar_admin_attempts_total", FRONTEND, "Admin tokens that were shown, right or wrong.",
    ).by(&[("way", Of(Way::VALUES)), ("outcome", Of(Attempt::VALUES))]);

    // Order node.
    GATHERED = Family::histogram(
        "bazar_gathered_purchases", &SIZES, ORDER, "Purchases in one request to the master.",
    );
    REPEATED = Family::counter("bazar_repeated_requests_total", ORDER, "Requests sent to the master again.");

    // Master.
    BATCH_SIZE = Family::histogram("bazar_batch_requests", &SIZES, MASTER, "Requests in a batch.");
    BATCH_DURATION = Family::histogram(
        "bazar_batch_duration_seconds", &DURATIONS, MASTER, "From the decision on a batch to its commit, in seconds.",
    );
    FENCES = Family::counter(
        "bazar_fences_total", MASTER, "Announcements before a commit, by how they ended: all holders acknowledged, or the \
         lease of one had to run out.",
    ).by(&[("outcome", Of(FenceEnd::VALUES))]);
    FENCE = Family::histogram(
        "bazar_fence_duration_seconds", &DURATIONS, MASTER,
        "From a fence's announcement until everybody has acknowledged it, or has lost its lease, in seconds.",
    );
    FENCE_UNDER_WAY = Family::gauge(
        "bazar_fence_under_way_seconds", MASTER, "For how long the fence that is out has been out; 0 if none is.",
    );
    FENCE_WAIT = Family::histogram(
        "bazar_fence_wait_seconds", &DURATIONS, MASTER,
        "The part of a fence for which a batch had nothing else to do, in seconds: what it costs.",
    );
    COMMIT = Family::histogram(
        "bazar_commit_duration_seconds", &DURATIONS, MASTER,
        "COMMIT with its fsync, in seconds; every few thousand pages with a checkpoint.",
    );
    REPLICATION = Family::histogram(
        "bazar_replication_wait_seconds", &DURATIONS, MASTER, "From a commit until it may be acknowledged, in seconds.",
    );
    HOLDER_FENCE = Family::histogram(
        "bazar_holder_fence_duration_seconds", &HOLDERS, MASTER, "Until one holder of a lease acknowledged a fence, in seconds.",
    ).by(&[("holder", Told(super::holders::TOLD))]);
    HOLDER_MISSES = Family::counter(
        "bazar_holder_fence_misses_total", MASTER, "Fences that a holder did not acknowledge while they were out.",
    ).by(&[("holder", Told(super::holders::TOLD))]);
    HOLDER_REMAINING = Family::gauge(
        "bazar_holder_lease_remaining_seconds", MASTER, "How long a holder's lease runs if it is not renewed.",
    ).by(&[("holder", Told(super::holders::TOLD))]);
    LEASE_HOLDERS = Family::gauge("bazar_lease_holders", MASTER, "Leases that run.");
    LEASE_TERM = Family::gauge("bazar_lease_term_seconds", MASTER, "How long a lease runs (`--lease`).");
    LEASE_BACK_OFFS = Family::gauge(
        "bazar_lease_back_offs", MASTER, "Addresses that get no lease for a while, because they missed a fence.",
    );
    LEASE_GRANTS = Family::counter("bazar_lease_grants_total", MASTER, "Leases granted and renewed.")
        .by(&[("ask", Of(Ask::VALUES))]);
    LEASE_REFUSALS = Family::counter("bazar_lease_refusals_total", MASTER, "Leases not granted or renewed.")
        .by(&[("reason", Of(Refused::VALUES))]);
    LEASE_LAPSES = Family::counter("bazar_lease_lapses_total", MASTER, "Leases that ran out and were not given back.");
    LEASE_RELEASES = Family::counter("bazar_lease_releases_total", MASTER, "Leases that were given back.");
    DECIDED = Family::counter("bazar_decided_total", MASTER, "Acknowledged requests, by their outcome.")
        .by(&[("outcome", Of(Decided::VALUES))]);
    ORDERS = Family::counter("bazar_orders_total", MASTER, "Orders that were made and acknowledged.");
    BOOKS_SOLD = Family::counter("bazar_books_sold_total", MASTER, "Copies in these orders.");
    REVENUE = Family::counter("bazar_revenue_dollars_total", MASTER, "What these orders cost, in dollars.");
    STOCK_OUTS = Family::counter("bazar_stock_outs_total", MASTER, "Sales and edits after which no copy of a book was left.");
    OUT_OF_STOCK = Family::gauge("bazar_books_out_of_stock", MASTER, "Books of which there is no copy.");
    IMPORT_PARTS = Family::counter("bazar_import_parts_total", MASTER, "Parts of imports, by their outcome.")
        .by(&[("outcome", Of(Part::VALUES))]);
    REPLICA_LAG = Family::gauge("bazar_replica_lag_records", MASTER, "Committed records that a linked replica lacks.")
        .by(&[("replica", Told(super::writes::REPLICA_TOLD))]);
    REPLICA_LAG_SECONDS = Family::gauge(
        "bazar_replica_lag_seconds", MASTER, "Age of the oldest committed record that a linked replica lacks; 0 if none.",
    ).by(&[("replica", Told(super::writes::REPLICA_TOLD))]);
    REPLICA_IN_SYNC = Family::gauge(
        "bazar_replica_in_sync", MASTER, "1 if acknowledgements wait for this linked replica.",
    ).by(&[("replica", Told(super::writes::REPLICA_TOLD))]);
    IN_SYNC = Family::gauge("bazar_in_sync_replicas", MASTER, "Replicas that acknowledgements wait for.");
    LINKED = Family::gauge("bazar_linked_replicas", MASTER, "Replicas that records are pushed to.");
    KNOWN_REPLICAS = Family::gauge(
        "bazar_known_replicas", MASTER,
        "Replicas that have reported within the last hour, or were in the set when this master started, an hour ago at \
         most: how many should be in sync.",
    );
    IN_SYNC_ENTERED = Family::counter("bazar_in_sync_entered_total", MASTER, "Replicas that entered the in-sync set.");
    IN_SYNC_LEFT = Family::counter("bazar_in_sync_left_total", MASTER, "Replicas that left the in-sync set.")
        .by(&[("reason", Of(Left::VALUES))]);
    IN_SYNC_CHANGED = Family::gauge(
        "bazar_in_sync_last_change_timestamp_seconds", MASTER,
        "When the in-sync set changed last, in Unix time; at the start if it has not.",
    );
    ACK_SYNC = Family::gauge(
        "bazar_acknowledges_in_sync", MASTER, "1 if acknowledgements wait for the in-sync set (`--ack sync`).",
    );
    VERIFY_RUNS = Family::counter("bazar_verify_runs_total", MASTER, "Comparisons of all rows with those of the replicas.")
        .by(&[("outcome", Of(Verdict::VALUES))]);
    VERIFY_SUCCESS = Family::gauge(
        "bazar_verify_last_success_timestamp_seconds", MASTER,
        "When the last comparison ended that found all equal, in Unix time; 0 before the first since the start.",
    );
    MASTER_STATE = Family::gauge("bazar_master_state", MASTER, "1 for the state that this master is in, 0 for the others.")
        .by(&[("state", Of(MasterState::VALUES))]);

    // Master and replica.
    IS_MASTER = Family::gauge("bazar_is_master", CATALOG, "1 if this node leads: neither a replica nor sealed nor deposed.");
    EPOCH = Family::gauge(
        "bazar_epoch", &[RoleName::Frontend, RoleName::Master, RoleName::Replica],
        "Number of the epoch: of the last record, on a frontend of its lease (0 without).",
    );
    LOG_SEQ = Family::gauge("bazar_log_seq", CATALOG, "Number of the last record.");
    SQLITE_READERS = Family::gauge("bazar_sqlite_readers", CATALOG, "Connections for reading, by what they do.")
        .by(&[("state", Of(Reader::VALUES))]);
    STORE_ERRORS = Family::counter("bazar_store_errors_total", CATALOG, "Statements and commits that failed.")
        .by(&[("kind", Of(StoreFault::VALUES))]);
    DATABASE_BYTES = Family::gauge("bazar_database_bytes", CATALOG, "Size of the SQLite file, in bytes.");
    WAL_BYTES = Family::gauge("bazar_wal_bytes", CATALOG, "Size of its write-ahead log, in bytes.");
    DISK_FREE = Family::gauge(
        "bazar_data_filesystem_free_bytes", CATALOG, "Room on the file system of the data, in bytes.",
    );
    DISK_SIZE = Family::gauge("bazar_data_filesystem_bytes", CATALOG, "Size of the file system of the data, in bytes.");

    // Replica.
    APPLIED = Family::counter("bazar_applied_records_total", REPLICA, "Records of the log that were applied.");
    APPLY_DURATION = Family::histogram(
        "bazar_apply_duration_seconds", &DURATIONS, REPLICA, "Applying records that came together, durably, in seconds.",
    );
    FOLLOWING = Family::gauge("bazar_replica_following", REPLICA, "1 if the last attempt to follow the master succeeded.");
    LAST_REPORT = Family::gauge(
        "bazar_replica_last_report_timestamp_seconds", REPLICA,
        "When the master last took this replica's report, in Unix time; 0 before the first.",
    );
    ROWS_WRONG = Family::gauge(
        "bazar_replica_rows_wrong", REPLICA, "1 if its rows are known not to be the master's: it answers nothing.",
    );
    DIVERGENCES = Family::counter(
        "bazar_replica_divergences_total", REPLICA, "Digests of the master's rows that the rows here were not equal to.",
    );
    SNAPSHOTS = Family::counter("bazar_snapshots_taken_total", REPLICA, "Snapshots that took the place of the file.")
        .by(&[("reason", Of(SnapshotReason::VALUES))]);
    BEHIND = Family::counter(
        "bazar_behind_total", REPLICA, "Reads that were refused because this replica lacked the version.",
    );
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use std::fmt::Write;

    const BEGIN: &str = "<!-- the list: `BAZAR_WRITE_DOCS=1 cargo test --lib every_family` writes it -->\n";
    const END: &str = "<!-- end of the list -->\n";

    fn listed() -> String {
        let mut list =
            String::from("| family | type | roles | labels | what it tells |\n|---|---|---|---|---|\n");
        for Family { name, kind, roles, labels, help } in FAMILIES {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let roles = match roles.len() == ALL.len() {
                true => "all".to_owned(),
                false => roles.iter().map(|role| role.label()).collect::<Vec<_>>().join(", "),
            };
            let label = |(name, values): &(&str, super::super::Values)| match values {
                Of(values) => format!("`{name}`: {}", values.join(", ")),
                Told(told) => format!("`{name}`: {told}"),
            };
            let labels = labels.iter().map(label).collect::<Vec<_>>().join(". ");
            // Writing to a String cannot fail.
            let _ = writeln!(list, "| `{name}` | {kind} | {roles} | {labels} | {help} |");
        }
        list
    }

    #[test]
    fn every_family_stands_in_the_documentation_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (list, after) = rest.split_once(END).unwrap();
        if std::env::var_os("BAZAR_WRITE_DOCS").is_some() {
            std::fs::write(path, [before, BEGIN, &listed(), END, after].concat()).unwrap();
        } else {
            assert_eq!(list, listed());
        }
    }

    #[test]
    fn names_units_and_sentences_are_as_the_conventions_say() {
        for Family { name, kind, roles, labels, help } in FAMILIES {
            let of_ours = name.starts_with("bazar_") || name.starts_with("process_");
            assert!(of_ours && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}");
            assert!(
                help.ends_with('.') && help.chars().next().is_some_and(char::is_uppercase)
                    || help.starts_with('1')
            );
            assert!(!help.contains('|') && !roles.is_empty(), "{name}");
            assert!(FAMILIES.iter().filter(|other| other.name == *name).count() == 1, "{name}");
            let Kind::Histogram(bounds) = kind else { continue };
            assert!(bounds.is_sorted() && labels.len() <= 4, "{name}");
        }
    }
}
