//! The internal HTTP of a catalog node. Everything but the health probes wants a
//! signature.

use super::changes::{Behind, Changes};
use super::master::Master;
use super::mastership::Standing;
use super::reads::Reads;
use super::replica::Replica;
use super::status;
use crate::abort;
use crate::client::BaseUrl;
use crate::clock;
use crate::domain::{
    BookId, GuardedEdit, Import, ImportOutcome, NodeId, OrderId, Outcome, PublicVersion, Request, Topic,
    Version,
};
use crate::member::Member;
use crate::recipe::Recipe;
use crate::server::{
    ApiError, Exposed, healthz, prove_to_members, read_json, read_query, request_id, require_keeper,
    require_token, resource,
};
use crate::shutdown::Shutdown;
use crate::store::{LogPage, Snapshot, Store};
use crate::telemetry::{Carried, trace};
use crate::wire::catalog::{
    BACKUP, BOOKS, BackupQuery, BooksQuery, CHANGES, CHANGES_HOLD, ChangesQuery, EDITS, EXPORT, Edits,
    ExportEnd, GUARDED_EDITS, HANDOVER, HandoverRequest, IMPORT_BYTES, IMPORTS, LEASES, LOG, LeaseRequest,
    LogQuery, MAX_BATCH, MAX_BOOKS, Minimum, NODE, NodeIs, NodeState, ORDERS, OrdersQuery, Outcomes,
    PURCHASES, Part, Purchases, QUERY, RELEASE, REPLICAS, Reachable, Records, ReleaseRequest, ReplicaReport,
    ReplicaStanding, SEARCH, SHELF, SNAPSHOT, SNAPSHOT_DEADLINE, SYNC_WRITE, ShelfQuery, SnapshotQuery,
    StateOf, Stated, Synced, TOPICS, TopicQuery, VERIFY, VERSIONS, VersionStanding, WordsQuery,
};
use crate::wire::public::{BookView, MAX_LIMIT};
use crate::wire::status::STATUS;
use crate::wire::{ErrorCode, Problem};
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// A batch of 256 purchases with the longest keys, twice over.
const MAX_BODY: usize = 512 << 10;

/// One edit with the longest title and topic, every character escaped.
const MAX_EDIT_BODY: usize = 16 << 10;

/// A part of an import, and its longest line.
const MAX_IMPORT_BODY: usize = IMPORT_BYTES + (16 << 10);

/// A push of 64 records of 512 purchases each would be 20 MB; a larger one is a mistake.
const MAX_RECORDS_BODY: usize = 32 << 20;

/// How long the next part of an import waits for a replica that is behind: at this pace even one that was
/// away catches up.
const IMPORT_PACE: Duration = Duration::from_millis(100);

/// A page of the log.
const LOG_RECORDS: u32 = 256;
const LOG_BYTES: u64 = 1 << 20;

/// The unit in which an export is sent, and how many wait for a slow reader.
const EXPORT_CHUNK: usize = 64 << 10;
const EXPORT_CHUNKS: usize = 4;

/// How long an export waits for whoever reads it to take a chunk: its snapshot keeps the WAL from being reused.
const EXPORT_PATIENCE: Duration = Duration::from_secs(30);

/// Who asks for a handover waits for this long, a little less than `bazar handover` does: the usual one takes
/// milliseconds.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(28);

type Answer = Result<HttpResponse, ApiError>;

pub fn master(
    config: &mut ServiceConfig,
    master: web::Data<Master>,
    recipe: Option<Recipe>,
    member: Member,
    exposed: Exposed,
) {
    config
        .app_data(web::Data::new(recipe))
        .app_data(web::Data::new(member))
        .app_data(master)
        .configure(|config| exposed.configure(config))
        .service(resource("/healthz", "GET", web::get().to(healthz)).wrap(from_fn(prove_to_members)))
        .service(resource("/readyz", "GET", web::get().to(master_state)).wrap(from_fn(prove_to_members)))
        .service(resource(IMPORTS, "POST", web::post().to(imports)).wrap(from_fn(require_keeper)))
        .service(resource(EXPORT, "GET", web::get().to(export::<Master>)).wrap(from_fn(require_keeper)))
        .service(resource(BACKUP, "GET", web::get().to(backup_of_master)).wrap(from_fn(require_keeper)))
        .service(
            web::scope("")
                .wrap(from_fn(require_token))
                .configure(reads::<Master>)
                .service(resource(PURCHASES, "POST", web::post().to(purchases)))
                .service(resource(EDITS, "POST", web::post().to(edits)))
                .service(resource(GUARDED_EDITS, "POST", web::post().to(guarded_edit)))
                .service(resource(LEASES, "POST", web::post().to(lease)))
                .service(resource(RELEASE, "POST", web::post().to(release)))
                .service(resource(REPLICAS, "POST", web::post().to(register)))
                .service(resource(LOG, "GET", web::get().to(log_page)))
                .service(resource(SNAPSHOT, "GET", web::get().to(snapshot)))
                .service(resource(VERIFY, "POST", web::post().to(verify)))
                .service(resource(NODE, "GET", web::get().to(node::<Master>)))
                .service(resource(STATUS, "GET", web::get().to(status::master)))
                .service(resource(HANDOVER, "POST", web::post().to(hand_over))),
        );
}

pub fn replica(
    config: &mut ServiceConfig,
    replica: web::Data<Replica>,
    recipe: Option<Recipe>,
    member: Member,
    exposed: Exposed,
) {
    let mut scope = web::scope("")
        .wrap(from_fn(require_token))
        .configure(reads::<Replica>)
        .service(resource(NODE, "GET", web::get().to(node::<Replica>)))
        .service(resource(STATUS, "GET", web::get().to(status::replica)))
        .service(resource(SYNC_WRITE, "POST", web::post().to(sync_write)));
    for of_the_master in
        [PURCHASES, EDITS, GUARDED_EDITS, LEASES, RELEASE, REPLICAS, LOG, SNAPSHOT, VERIFY, HANDOVER, IMPORTS]
    {
        scope = scope.route(of_the_master, web::to(not_master));
    }
    config
        .app_data(web::Data::new(recipe))
        .app_data(web::Data::new(member))
        .app_data(replica)
        .configure(|config| exposed.configure(config))
        .service(resource("/healthz", "GET", web::get().to(healthz)).wrap(from_fn(prove_to_members)))
        .service(resource("/readyz", "GET", web::get().to(replica_state)).wrap(from_fn(prove_to_members)))
        .service(resource(EXPORT, "GET", web::get().to(export::<Replica>)).wrap(from_fn(require_keeper)))
        .service(resource(BACKUP, "GET", web::get().to(backup_of_replica)).wrap(from_fn(require_keeper)))
        .service(scope);
}

/// Something that can be read from.
trait Node: 'static {
    fn id(&self) -> NodeId;
    fn reads(&self) -> &Reads;
    fn changes(&self) -> &Changes;
}

impl Node for Master {
    fn id(&self) -> NodeId {
        self.node
    }

    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }
}

impl Node for Replica {
    fn id(&self) -> NodeId {
        self.node
    }

    fn reads(&self) -> &Reads {
        &self.reads
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }
}

fn reads<N: Node>(config: &mut ServiceConfig) {
    config
        .service(resource(&format!("{BOOKS}/{{id}}"), "GET", web::get().to(book::<N>)))
        .service(resource(BOOKS, "GET", web::get().to(books::<N>)))
        .service(resource(SEARCH, "GET", web::get().to(search::<N>)))
        .service(resource(QUERY, "GET", web::get().to(query::<N>)))
        .service(resource(TOPICS, "GET", web::get().to(topics::<N>)))
        .service(resource(CHANGES, "GET", web::get().to(changes::<N>)))
        .service(resource(&format!("{VERSIONS}/{{version}}"), "GET", web::get().to(version::<N>)))
        .service(resource(SHELF, "GET", web::get().to(shelf::<N>)))
        .service(resource(ORDERS, "GET", web::get().to(orders::<N>)))
        .service(resource(&format!("{ORDERS}/{{id}}"), "GET", web::get().to(order::<N>)));
}

async fn book<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let id = BookId::parse(request.match_info().query("id"))?;
    let minimum: Minimum = read_query(&request)?;
    let store = node.reads().at(minimum.min).await?;
    stated(&**node, read(store.book(id)).await.map_err(|error| node.reads().unavailable(&error))?)
}

async fn books<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let query: BooksQuery = read_query(&request)?;
    let ids: Vec<BookId> =
        query.ids.split(',').take(MAX_BOOKS + 1).map(BookId::parse).collect::<Result<_, _>>()?;
    if ids.len() > MAX_BOOKS {
        let sentence = format!("at most {MAX_BOOKS} books at a time");
        return Err(Problem::new(ErrorCode::InvalidRequest, sentence).into());
    }
    let read = read(node.reads().books(ids.clone())).await?;
    let find = |id| read.value.iter().find(|book| book.id == id).map(BookView::from);
    let books: Vec<Option<BookView<'_>>> = ids.into_iter().map(find).collect();
    stated(&**node, Snapshot { asof: read.asof, value: books })
}

async fn search<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let query: TopicQuery = read_query(&request)?;
    let topic = Topic::parse(query.topic)?;
    let after = query.after.map(BookId::new).transpose()?;
    let store = node.reads().at(query.min).await?;
    let page = read(store.books_of_topic(&topic, after, query.limit.clamp(1, MAX_LIMIT))).await;
    stated(&**node, page.map_err(|error| node.reads().unavailable(&error))?)
}

async fn query<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let WordsQuery { q, limit, after, min } = read_query(&request)?;
    let store = node.reads().at(min).await?;
    let page = read(store.books_with_words(&q, after, limit.clamp(1, MAX_LIMIT))).await;
    stated(&**node, page.map_err(|error| node.reads().unavailable(&error))?)
}

async fn topics<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let minimum: Minimum = read_query(&request)?;
    let store = node.reads().at(minimum.min).await?;
    stated(&**node, read(store.topics()).await.map_err(|error| node.reads().unavailable(&error))?)
}

/// A stop does not wait for who is held here.
async fn changes<N: Node>(node: web::Data<N>, request: HttpRequest, stop: web::Data<Shutdown>) -> Answer {
    let query: ChangesQuery = read_query(&request)?;
    let told = tokio::select! {
        told = node.changes().after(query.after, CHANGES_HOLD) => told,
        () = stop.cancelled() => return Err(ErrorCode::Unavailable.into()),
    };
    match told {
        Ok(told) if !node.reads().are_wrong() => Ok(HttpResponse::Ok().json(told)),
        Ok(_) | Err(Behind) => Err(ErrorCode::Behind.into()),
    }
}

async fn version<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let version: PublicVersion = request.match_info().query("version").parse()?;
    let store = node.reads().at(None).await?;
    // The end first: what is said of a version before it stays so while the history goes on.
    let end = store.position().await.map_err(|error| node.reads().unavailable(&error))?;
    let known = store.knows(version).await.map_err(|error| node.reads().unavailable(&error))?;
    Ok(HttpResponse::Ok().json(VersionStanding { known, end }))
}

async fn order<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let id: OrderId = request.match_info().query("id").parse()?;
    let store = node.reads().at(None).await?;
    stated(&**node, read(store.order(id)).await.map_err(|error| node.reads().unavailable(&error))?)
}

async fn shelf<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let query: ShelfQuery = read_query(&request)?;
    let after = query.after.map(BookId::new).transpose()?;
    let store = node.reads().at(None).await?;
    let page = read(store.shelf(after, query.limit.clamp(1, MAX_LIMIT))).await;
    stated(&**node, page.map_err(|error| node.reads().unavailable(&error))?)
}

async fn orders<N: Node>(node: web::Data<N>, request: HttpRequest) -> Answer {
    let query: OrdersQuery = read_query(&request)?;
    let store = node.reads().at(None).await?;
    let page = read(store.orders(query.wanted()?, query.limit.clamp(1, MAX_LIMIT))).await;
    stated(&**node, page.map_err(|error| node.reads().unavailable(&error))?)
}

/// A read of the file, as a span.
async fn read<T>(work: impl Future<Output = T>) -> T {
    trace::within("read", trace::sqlite, work).await
}

fn stated<T: Serialize>(node: &impl Node, snapshot: Snapshot<T>) -> Answer {
    let Snapshot { asof, value } = snapshot;
    Ok(HttpResponse::Ok().json(Stated { asof, master: node.reads().is_master(), value }))
}

async fn node<N: Node>(node: web::Data<N>) -> HttpResponse {
    HttpResponse::Ok().json(NodeIs { node: node.id() })
}

async fn purchases(master: web::Data<Master>, payload: web::Payload) -> Answer {
    let body: Purchases = read_json(payload, MAX_BODY).await?;
    let carried = body.purchases.iter().map(|call| Carried::received(call.trace.as_ref())).collect();
    let (ids, requests): (Vec<String>, Vec<Request>) =
        body.purchases.into_iter().map(|call| (call.request_id, Request::Purchase(call.purchase))).unzip();
    let outcomes = submit(&master, requests, carried).await?;
    if log::log_enabled!(log::Level::Debug) {
        for (request_id, outcome) in ids.iter().zip(&outcomes) {
            log_purchase(request_id, outcome);
        }
    }
    Ok(HttpResponse::Ok().json(Outcomes { outcomes }))
}

async fn edits(master: web::Data<Master>, request: HttpRequest, payload: web::Payload) -> Answer {
    let body: Edits = read_json(payload, MAX_BODY).await?;
    let outcomes =
        submit(&master, body.edits.into_iter().map(Request::Edit).collect(), vec![Carried::here()]).await?;
    log::debug!(request_id = request_id(&request).as_str(); "{} edits", outcomes.len());
    Ok(HttpResponse::Ok().json(Outcomes { outcomes }))
}

async fn guarded_edit(master: web::Data<Master>, request: HttpRequest, payload: web::Payload) -> Answer {
    let edit: GuardedEdit = read_json(payload, MAX_EDIT_BODY).await?;
    let outcome = submit(&master, vec![Request::Guarded(edit)], vec![Carried::here()]).await?.pop();
    log::debug!(request_id = request_id(&request).as_str(); "a guarded edit");
    Ok(HttpResponse::Ok().json(outcome.ok_or(ErrorCode::Internal)?))
}

/// Who imports goes no faster than the replicas that are linked: what is on its way to them lies in memory.
async fn imports(master: web::Data<Master>, payload: web::Payload) -> Answer {
    let import: Import = read_json(payload, MAX_IMPORT_BODY).await?;
    if import.lines.is_empty() || import.lines.len() > Import::MAX_LINES {
        let sentence = format!("a part of an import has 1 to {} lines", Import::MAX_LINES);
        return Err(Problem::new(ErrorCode::InvalidRequest, sentence).into());
    }
    let (outcome, version) = master.queue.import(import).await?;
    let (imported, before) = match outcome {
        ImportOutcome::Done(imported) => (imported, false),
        ImportOutcome::Before(imported) => (imported, true),
        ImportOutcome::OutOfOrder => return Err(ErrorCode::OutOfOrder.into()),
    };
    let _ = tokio::time::timeout(IMPORT_PACE, master.feed.delivered(version)).await;
    Ok(HttpResponse::Ok().json(Part { imported, before }))
}

async fn submit(
    master: &Master,
    requests: Vec<Request>,
    carried: Vec<Carried>,
) -> Result<Vec<Outcome>, Problem> {
    if requests.is_empty() || requests.len() > MAX_BATCH {
        let sentence = format!("a batch has 1 to {MAX_BATCH} requests");
        return Err(Problem::new(ErrorCode::InvalidRequest, sentence));
    }
    master.queue.submit(requests, carried).await
}

fn log_purchase(request_id: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Purchase { answer: Ok(receipt), replayed } => log::debug!(
            request_id;
            "purchase book:{} x{} {}: {} left at {}",
            receipt.book_id,
            receipt.quantity.get(),
            if *replayed { "replayed" } else { "sold" },
            receipt.remaining.get(),
            receipt.version.public()
        ),
        Outcome::Purchase { answer: Err(refusal), .. } => {
            log::debug!(request_id; "purchase refused: {refusal}");
        }
        Outcome::Edit(_) | Outcome::Guarded { .. } | Outcome::Rejected => {}
    }
}

async fn lease(master: web::Data<Master>, request: HttpRequest, payload: web::Payload) -> Answer {
    let body: LeaseRequest = read_json(payload, MAX_BODY).await?;
    let address = reach(&body.address, &request)?;
    Ok(HttpResponse::Ok().json(master.leases.lease(body, address, &request_id(&request)).await?))
}

async fn release(master: web::Data<Master>, payload: web::Payload) -> Answer {
    let body: ReleaseRequest = read_json(payload, MAX_BODY).await?;
    master.leases.release(body.holder, body.lease);
    Ok(HttpResponse::Ok().json(()))
}

async fn register(master: web::Data<Master>, request: HttpRequest, payload: web::Payload) -> Answer {
    let report: ReplicaReport = read_json(payload, MAX_BODY).await?;
    // Whatever the header says: of two epochs with one number, a sender carries only the higher identity.
    master.mastership.meet(report.position.epoch);
    require_replication(&master)?;
    if report.node == master.node {
        let sentence = "this replica has the identity of the master: its directory is a copy";
        return Err(Problem::new(ErrorCode::InvalidRequest, sentence).into());
    }
    let address = reach(&report.address, &request)?;
    let store = master.reads.at(None).await?;
    let known =
        store.log_after(report.position, 1, 1).await.map_err(|error| master.reads.unavailable(&error))?;
    if matches!(known, LogPage::Unknown) {
        return Err(not_in_log(&master, &store, report.position).await.into());
    }
    master.pins.reported(report.node, report.position.seq);
    let in_sync = master.feed.register(&report, address);
    let position = store.position().await.map_err(|error| master.reads.unavailable(&error))?;
    Ok(HttpResponse::Ok().json(ReplicaStanding { in_sync, position }))
}

async fn log_page(master: web::Data<Master>, request: HttpRequest) -> Answer {
    let query: LogQuery = read_query(&request)?;
    master.mastership.meet(query.after.epoch);
    require_replication(&master)?;
    let store = master.reads.at(None).await?;
    match store
        .log_after(query.after, LOG_RECORDS, LOG_BYTES)
        .await
        .map_err(|error| master.reads.unavailable(&error))?
    {
        LogPage::Records(records) => Ok(HttpResponse::Ok().json(Records { records })),
        LogPage::Unknown => Err(not_in_log(&master, &store, query.after).await.into()),
    }
}

/// Why the log does not go on from `position`: it is too old, or was never ours.
async fn not_in_log(master: &Master, store: &Store, position: Version) -> Problem {
    match store.passed(position).await {
        Ok(true) => ErrorCode::LogTrimmed.into(),
        Ok(false) => ErrorCode::UnknownHistory.into(),
        Err(error) => master.reads.unavailable(&error),
    }
}

async fn snapshot(master: web::Data<Master>, request: HttpRequest) -> Answer {
    let query: SnapshotQuery = read_query(&request)?;
    require_replication(&master)?;
    let copying = master.copies.begin()?;
    let store = master.reads.at(None).await?;
    // Before the copy is made, whose version is this one or a later one.
    let from = store.position().await.map_err(|error| master.reads.unavailable(&error))?.seq;
    let now = clock::now();
    if !master.pins.pin(query.node, from, now, now.after(SNAPSHOT_DEADLINE)) {
        return Err(ErrorCode::Unavailable.into());
    }
    Ok(copying.of(&master.reads, &store).await?.send())
}

async fn backup_of_master(master: web::Data<Master>, request: HttpRequest) -> Answer {
    let query: BackupQuery = read_query(&request)?;
    let copying = master.copies.begin()?;
    let store = master.reads.at(None).await?;
    let copy = copying.of(&master.reads, &store).await?;
    // Behind the copy, as for every read that is the master's word.
    if !query.stale && !master.reads.is_master() {
        return Err(ErrorCode::NotMaster.into());
    }
    Ok(copy.send())
}

async fn backup_of_replica(replica: web::Data<Replica>, request: HttpRequest) -> Answer {
    let query: BackupQuery = read_query(&request)?;
    let copying = replica.copies.begin()?;
    if !query.stale {
        replica.catch_up_with_master(&request_id(&request)).await?;
    }
    let store = replica.reads.at(None).await?;
    let copy = copying.of(&replica.reads, &store).await?;
    // Meanwhile its rows may have been found to be wrong, and a snapshot may have taken the file's place.
    if !Arc::ptr_eq(&store, &replica.reads.at(None).await?) {
        return Err(ErrorCode::Behind.into());
    }
    Ok(copy.send())
}

/// The books of one state, in lines of JSON. Its end is a line of its own, because a body that breaks off looks
/// like one that ends.
async fn export<N: Node>(node: web::Data<N>) -> Answer {
    let store = node.reads().at(None).await?;
    let permit = node.reads().exporting().ok_or(ErrorCode::Unavailable)?;
    let (chunks, mut sent) = tokio::sync::mpsc::channel(EXPORT_CHUNKS);
    actix_web::rt::spawn(async move {
        let _one_at_a_time = permit;
        let mut lines = Vec::with_capacity(2 * EXPORT_CHUNK);
        let exported = store.each_book(async |book| {
            serde_json::to_writer(&mut lines, &book)?;
            lines.push(b'\n');
            if lines.len() < EXPORT_CHUNK {
                return Ok(());
            }
            let chunk = std::mem::replace(&mut lines, Vec::with_capacity(2 * EXPORT_CHUNK));
            let sent = tokio::time::timeout(EXPORT_PATIENCE, chunks.send(bytes::Bytes::from(chunk))).await;
            match sent {
                Ok(Ok(())) => Ok(()),
                _ => Err(std::io::Error::other("nobody reads it").into()),
            }
        });
        match exported.await {
            Ok((end, books)) => {
                // Types that always serialize.
                lines.extend(serde_json::to_vec(&ExportEnd { end, books }).unwrap_or_default());
                lines.push(b'\n');
                let _ = chunks.send(lines.into()).await;
            }
            Err(error) => log::warn!("an export ended early: {error}"),
        }
    });
    let body =
        futures_util::stream::poll_fn(move |context| sent.poll_recv(context)).map(Ok::<_, std::io::Error>);
    Ok(HttpResponse::Ok().content_type("application/jsonl").streaming(body))
}

async fn verify(master: web::Data<Master>) -> Answer {
    Ok(HttpResponse::Ok().json(super::verify::verify(&master).await?))
}

async fn sync_write(replica: web::Data<Replica>, payload: web::Payload) -> Answer {
    let body: Records = read_json(payload, MAX_RECORDS_BODY).await?;
    abort::point(abort::SYNC_WRITE_RECEIVED);
    let position = trace::within("apply", trace::sqlite, replica.apply(body.records)).await?;
    abort::point(abort::APPLIED);
    Ok(HttpResponse::Ok().json(Synced { replica: replica.id, position }))
}

async fn hand_over(master: web::Data<Master>, request: HttpRequest, payload: web::Payload) -> Answer {
    let body: HandoverRequest = read_json(payload, MAX_BODY).await?;
    let invalid = |sentence: String| Problem::new(ErrorCode::InvalidRequest, sentence);
    let heir = BaseUrl::parse(&body.heir).map_err(invalid)?;
    let request_id = request_id(&request);
    // On its own: who asked may hang up, and a seal must be followed by its delivery.
    let handing_over = actix_web::rt::spawn(Arc::clone(&master.handover).to(heir, request_id));
    match tokio::time::timeout(HANDOVER_PATIENCE, handing_over).await {
        Ok(Ok(handed_over)) => Ok(HttpResponse::Ok().json(handed_over?)),
        Ok(Err(_)) => Err(ErrorCode::Internal.into()),
        // It goes on.
        Err(_) => Err(ErrorCode::Unavailable.into()),
    }
}

/// The log of a deposed master is not the store's any more; that of a sealed one still is.
fn require_replication(master: &Master) -> Result<(), Problem> {
    match master.mastership.standing() {
        Standing::Deposed(_) => Err(ErrorCode::NotMaster.into()),
        Standing::Leads | Standing::Sealed(_) => Ok(()),
    }
}

async fn master_state(master: web::Data<Master>, recipe: web::Data<Option<Recipe>>) -> Answer {
    let store = master.reads.at(None).await?;
    let position = store.position().await.map_err(|error| master.reads.unavailable(&error))?;
    let replicas = master.feed.replicas();
    let (role, sealed_for, deposed_by) = match master.mastership.standing() {
        Standing::Leads => ("master", None, None),
        Standing::Sealed(heir) => ("sealed master", Some(heir), None),
        Standing::Deposed(by) => ("deposed master", None, Some(by)),
    };
    let in_sync = replicas.iter().filter(|replica| replica.in_sync).count();
    let leases = master.leases.count();
    let of = StateOf::Master { leases, in_sync, replicas, sealed_for, deposed_by };
    let mut answer = match role {
        "master" => HttpResponse::Ok(),
        _ => HttpResponse::ServiceUnavailable(),
    };
    let unsafe_coherence = recipe.map(|recipe| recipe.to_string());
    Ok(answer.json(NodeState { role: role.into(), node: master.node, position, unsafe_coherence, of }))
}

async fn replica_state(replica: web::Data<Replica>, recipe: web::Data<Option<Recipe>>) -> HttpResponse {
    let of = StateOf::Replica { follows: replica.follows() };
    let position = replica.position();
    let unsafe_coherence = recipe.map(|recipe| recipe.to_string());
    let role = "replica".into();
    HttpResponse::Ok().json(NodeState { role, node: replica.node, position, unsafe_coherence, of })
}

async fn not_master() -> Answer {
    Err(ErrorCode::NotMaster.into())
}

/// Where the sender of `request` listens.
fn reach(address: &Reachable, request: &HttpRequest) -> Result<BaseUrl, Problem> {
    let invalid = |sentence: String| Problem::new(ErrorCode::InvalidRequest, sentence);
    match address {
        Reachable::Url(url) => BaseUrl::parse(url).map_err(invalid),
        Reachable::Port(port) => {
            let peer = request.peer_addr().ok_or_else(|| invalid("the sender has no address".into()))?;
            Ok(BaseUrl::from_addr((peer.ip(), *port).into()))
        }
    }
}
