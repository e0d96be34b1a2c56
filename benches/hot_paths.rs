//! The steps that every request takes, alone: `cargo bench --bench hot_paths`.
//!
//! Figures of one machine; what they are for is to see a change before a whole comparison shows it.

use bazar::coherence::lease::{Grant, Session};
use bazar::coherence::{FloorTable, HolderId, Key, Lease, LeaseId, Moment, Slot, Stamp, Verdict};
use bazar::domain::{
    Book, BookId, Cents, Edit, Epoch, IdempotencyKey, Ledger, NodeId, Purchase, Quantity, Request, Stock,
    Title, Topic, Version,
};
use bazar::member::Member;
use bazar::signing::{self, Answer, Extent, Proof, Signature, Sum};
use bazar::store::{DataDir, NewEpoch, Writer};
use bazar::token::InternalToken;
use bazar::wire::splice::finish;
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// A lone buyer, a busy shop, a batch as large as one from an order node may be.
const BATCHES: [u64; 3] = [1, 32, 256];

/// So many that a book seldom comes twice in a batch.
const BOOKS: u64 = 1_000;

/// Bodies of internal messages: none, a batch of a few purchases, a page of a topic, a full push of records.
const BODIES: [usize; 4] = [0, 512, 12_000, 1 << 20];

/// Of a topic that a page holds: one book, a usual topic, a full default page.
const PAGES: [i64; 3] = [1, 2, 100];

const NOW_MS: i64 = 1_700_000_000_000;
const EPOCH: Epoch = Epoch { number: 1, identity: 1 };
const LEASE_TERM_MS: u64 = 1_000;

criterion_group!(hot_paths, serving, splicing, floors, ledger, signing, store);
criterion_main!(hot_paths);

/// May this entry answer this request?
fn serving(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("serving rule");
    let lease = lease();
    let topic = Key::Topic(Topic::parse("education").unwrap());
    for books in PAGES {
        let stamp = Stamp::new(Version::new(EPOCH, 9), &topic, (1..=books).map(book_id));
        assert_eq!(stamp.judge(&lease, Moment(1)), Verdict::Serve);
        group.bench_function(BenchmarkId::new("books", books), |bencher| {
            bencher.iter(|| black_box(&stamp).judge(black_box(&lease), black_box(Moment(1))));
        });
    }
    group.finish();
}

/// What is made of an entry's bytes for each answer.
fn splicing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("splice");
    // A book, a short page, a full default page.
    for bytes in [120, 240, 12_000] {
        let open = Bytes::from(vec![b'x'; bytes]);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("bytes", bytes), |bencher| {
            bencher.iter(|| finish(black_box(&open), true, black_box(Duration::from_micros(14))));
        });
    }
    group.finish();
}

fn floors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("floors");
    let lease = lease();
    let floors = lease.floors();
    group.bench_function("read", |bencher| {
        let mut slot = 0_u16;
        bencher.iter(|| {
            slot = slot.wrapping_add(40_503);
            floors.floor(black_box(Slot(slot)))
        });
    });
    group.bench_function("raise", |bencher| {
        let (mut slot, mut seq) = (0_u16, 3);
        bencher.iter(|| {
            slot = slot.wrapping_add(40_503);
            seq += 1;
            floors.raise(black_box(Slot(slot)), black_box(seq));
        });
    });
    group.finish();
}

/// The decisions of a batch, and what is to be written.
fn ledger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    for size in BATCHES {
        let requests = purchases(0, size);
        let books: Vec<Book> = (0..size.min(BOOKS)).map(book).collect();
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("decide", size), |bencher| {
            bencher.iter_batched(
                || Ledger::new(Version::new(EPOCH, 9), NOW_MS, 0, books.clone(), Vec::new()),
                |mut ledger| {
                    for request in &requests {
                        black_box(ledger.decide(request));
                    }
                    ledger.finish()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// What a call between two members costs beside the call: a request signed and admitted, its answer proved and believed.
fn signing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signing");
    let token = InternalToken::parse("0123456789abcdef").unwrap();
    let (sender, receiver) = (Member::new(token.clone()), Member::new(token));
    let signer = sender.signer(&"http://receiver:3000".into());
    let request = signing::Request {
        method: "POST",
        target: "/purchases",
        headers: [Some(b"3:0123456789abcdef"), Some(b"0123456789abcdef"), None],
    };
    let (first, _) = signer.sign(&request, Sum::EMPTY);
    assert!(signer.learn(receiver.told(), &first));
    let answer = Answer { status: 200, headers: [Some(b"3:0123456789abcdef"), None] };
    for bytes in BODIES {
        let body = vec![b'x'; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("sign", bytes), |bencher| {
            bencher.iter(|| signer.sign(black_box(&request), Sum::of(black_box(&body))).0.to_string());
        });
        group.bench_function(BenchmarkId::new("admit", bytes), |bencher| {
            bencher.iter_batched(
                || signer.sign(&request, Sum::of(&body)).0.to_string(),
                |header| {
                    let signature = Signature::parse(header.as_bytes()).unwrap();
                    let admitted = receiver.admit(signature, black_box(&request)).unwrap();
                    assert!(admitted.signature.body == Sum::of(black_box(&body)));
                },
                BatchSize::SmallInput,
            );
        });
        let (asked, key) = signer.sign(&request, Sum::EMPTY);
        let prove = || {
            let extent = Extent::Whole(Sum::of(black_box(&body)));
            Proof::make(&key, &asked.mac, black_box(&answer), extent).to_string()
        };
        group.bench_function(BenchmarkId::new("prove", bytes), |bencher| bencher.iter(prove));
        let proof = prove();
        group.bench_function(BenchmarkId::new("believe", bytes), |bencher| {
            bencher.iter(|| {
                let proof = Proof::parse(black_box(proof.as_bytes())).unwrap();
                assert!(proof.proves(&key, &asked.mac, &answer));
                assert!(proof.body == Extent::Whole(Sum::of(black_box(&body))));
            });
        });
    }
    group.finish();
}

/// A batch on a real file: all statements, and the commit with its fsync.
fn store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    for size in BATCHES {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        // Beside the build, which lies on a disk; the temporary directory may lie in memory.
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut writer = runtime.block_on(writer(&dir));
        let mut bought = 0;
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("prepare and commit", size), |bencher| {
            bencher.iter_custom(|iterations| {
                let batches: Vec<_> = (0..iterations)
                    .map(|_| {
                        bought += size;
                        purchases(bought, size)
                    })
                    .collect();
                let began = std::time::Instant::now();
                write(&runtime, &mut writer, &batches);
                began.elapsed()
            });
        });
    }
    group.finish();
}

fn write(runtime: &Runtime, writer: &mut Writer, batches: &[Vec<Request>]) {
    runtime.block_on(async {
        for batch in batches {
            let prepared = writer.prepare(batch, NOW_MS, None).await.unwrap();
            assert!(prepared.record.is_some());
            writer.commit().await.unwrap();
        }
    });
}

/// A master's, in its first epoch, with [`BOOKS`] books.
async fn writer(dir: &TempDir) -> Writer {
    let data = DataDir::lock(dir.path(), "bench").unwrap();
    let (_, mut writer) = data.open(1).await.unwrap();
    let epoch =
        NewEpoch { identity: EPOCH.identity, at_least: 0, lease_term_ms: LEASE_TERM_MS, node: NodeId(1) };
    writer.start_epoch(epoch).await.unwrap();
    let books: Vec<_> = (0..BOOKS).map(|number| Request::Edit(Edit::Put(book(number)))).collect();
    writer.prepare(&books, NOW_MS, None).await.unwrap();
    writer.commit().await.unwrap();
    writer
}

/// Held by a frontend that nothing has been announced to since version 3.
fn lease() -> Arc<Lease> {
    let mut session = Session::new(HolderId(1));
    session.ask(Moment(0), LeaseId(1));
    let floors = Some(FloorTable { global: 3, slots: vec![] });
    let grant = Grant { lease: LeaseId(1), epoch: EPOCH, term_ms: LEASE_TERM_MS, floors };
    session.granted(&grant, Moment(0), Moment(1));
    Arc::clone(session.held().unwrap())
}

/// `count` purchases of different books, each with a key and an order id of its own: those behind number `from`.
fn purchases(from: u64, count: u64) -> Vec<Request> {
    (from..from + count).map(|number| Request::Purchase(purchase(number))).collect()
}

fn purchase(number: u64) -> Purchase {
    Purchase {
        order_id: format!("{number:032x}").parse().unwrap(),
        key: IdempotencyKey::parse(format!("{number:032x}")).unwrap(),
        book_id: book(number % BOOKS).id,
        quantity: Quantity::ONE,
        offer: None,
    }
}

/// Numbers from 0 on; more stock than a run can buy.
fn book(number: u64) -> Book {
    Book {
        id: book_id(i64::try_from(number).unwrap() + 1),
        title: Title::parse(format!("Book {number}")).unwrap(),
        topic: Topic::parse("bench").unwrap(),
        stock: Stock::new(1_000_000_000).unwrap(),
        price: Cents::new(2_800).unwrap(),
    }
}

fn book_id(id: i64) -> BookId {
    BookId::new(id).unwrap()
}
