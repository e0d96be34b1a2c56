//! One run: a store, customers, faults, and at the end the judgement.

use crate::faults::{Faults, Minima};
use crate::files;
use crate::follower::Follower;
use crate::history::{self, Change, Clock, Count, Edit, Initial, Op, Recorder, Sink, Wants, What};
use crate::http::Client;
use crate::judge::{Case, Kind, Verdict, judge};
use crate::process::Process;
use crate::report::Report;
use crate::shown::{Book, Want};
use crate::store::{ASK, FRONTENDS, Options, Role, Store, TOKEN};
use crate::truth::{Truth, Version};
use crate::workload::{Customer, FALLING, FEW, Keeper, Shop, first_books, pages};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Customers at a time: with some of them waiting for what is cut off or stopped, the others keep the
/// machine busy.
const CUSTOMERS: usize = 32;

const KEEPERS: usize = 2;

/// The first edits are made side by side, each by a process of its own with a number behind this one.
const FIRST_EDITOR: u32 = 500;

/// Between two looks at processes and faults.
const TICK: Duration = Duration::from_millis(5);

/// For everybody to be well again after the last fault: longer than the longest back-off.
const RECOVERY: Duration = Duration::from_secs(90);

/// For a clean stop of one kind of role.
const STOP: Duration = Duration::from_secs(10);

/// Between two judgements of a run that is expected to fail.
const JUDGE_EVERY: Duration = Duration::from_secs(4);

#[derive(Debug, Clone)]
pub struct Plan {
    pub store: Options,
    pub lease: Duration,
    pub seed: u64,
    /// At least so long.
    pub seconds: u64,
    /// At most so long, whatever is missing.
    pub limit: u64,
    pub minima: Minima,
    pub operations: u64,
    pub gap: Duration,
    pub history: Option<PathBuf>,
    /// Judge while it runs, and end with the first violation.
    pub until_caught: bool,
}

/// Everything that has been recorded, together.
#[derive(Default)]
pub struct Together {
    pub ops: Vec<Op>,
    pub counts: Vec<Count>,
}

impl Together {
    pub fn add(&mut self, recorder: &Recorder) {
        let base = self.ops.len() as u32;
        self.ops.extend_from_slice(&recorder.ops);
        self.counts.extend(recorder.counts.iter().map(|count| Count { op: base + count.op, ..*count }));
    }
}

struct Stage {
    store: Store,
    shop: Arc<Shop>,
    follower: Arc<Follower>,
    recorders: Vec<Arc<Mutex<Recorder>>>,
    wants: Arc<Wants>,
    falling: HashMap<i64, i64>,
    /// The history of [`Stage::foreign`].
    foreign: Truth,
    /// Last: it is removed when nobody writes to it any more.
    dir: tempfile::TempDir,
}

pub fn run(plan: &Plan, stop: &AtomicBool) -> Result<Report, String> {
    let begun = Instant::now();
    let mut stage = Stage::set(plan)?;
    let foreign = stage.foreign(plan)?;
    let rng = SmallRng::seed_from_u64(plan.seed);
    let mut faults = Faults::new(
        rng,
        &stage.store,
        Arc::clone(&stage.follower),
        (plan.gap, plan.lease),
        foreign,
        plan.minima,
    );
    let following = std::thread::spawn({
        let follower = Arc::clone(&stage.follower);
        move || follower.run()
    });
    // What was stocked is everywhere before the first customer comes: a recipe that fails there already
    // shows nothing of customers.
    let mut end = Verdict::default();
    stage.caught_up(&mut end);
    let (customers, keepers) = stage.open(plan)?;
    // However this ends, the customers must end too.
    let _closing = Closing(Arc::clone(&stage.shop), Arc::clone(&stage.follower));
    let load_begun = Instant::now();
    let mut caught_after = None;
    let mut judged = Instant::now();
    let mut told = Instant::now();
    let shop = Arc::clone(&stage.shop);
    loop {
        faults.tick(&mut stage.store).map_err(|error| format!("a fault cannot be brought about: {error}"))?;
        std::thread::sleep(TICK);
        let elapsed = load_begun.elapsed();
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!(
                "{:>4} s: {} operations, {} kills, {} pauses, {} cuts, {} handovers",
                elapsed.as_secs(),
                shop.done.load(Ordering::Relaxed),
                faults.kills(),
                faults.pauses(),
                faults.cuts(),
                faults.handovers()
            );
        }
        if plan.until_caught && judged.elapsed() > JUDGE_EVERY {
            let verdict = stage.judge(false);
            if verdict.found > 0 {
                caught_after = Some(elapsed);
                break;
            }
            judged = Instant::now();
        }
        let enough = faults.enough() && shop.done.load(Ordering::Relaxed) >= plan.operations;
        let over = elapsed.as_secs() >= plan.seconds && enough;
        if over
            || elapsed.as_secs() >= plan.limit
            || stop.load(Ordering::Relaxed)
            || !faults.findings.is_empty()
        {
            break;
        }
    }
    let under_fire = load_begun.elapsed();
    let operations = shop.done.load(Ordering::Relaxed);
    let mut notes = Vec::new();
    if caught_after.is_some() || stop.load(Ordering::Relaxed) {
        shop.abandon.store(true, Ordering::Relaxed);
        stage.follower.over.store(true, Ordering::Relaxed);
        join(customers)?;
        join(keepers)?;
    } else {
        faults.heal(&mut stage.store).map_err(|error| error.to_string())?;
        if let Err(words) = stage.store.start_all(RECOVERY) {
            end.add(shop.clock.now(), Kind::End, words);
        }
        shop.over.store(true, Ordering::Relaxed);
        let unsettled: usize = join(customers)?.into_iter().sum();
        join(keepers)?;
        if unsettled > 0 {
            let words = format!("{unsettled} purchases have no outcome, {RECOVERY:?} after the last fault");
            end.add(shop.clock.now(), Kind::End, words);
        }
        notes.extend(stage.caught_up(&mut end));
    }
    stage.follower.over.store(true, Ordering::Relaxed);
    let _ = following.join();
    for (kind, words) in faults.findings.drain(..).chain(stage.found()) {
        end.add(shop.clock.now(), kind, words);
    }
    let complete = caught_after.is_none() && !stop.load(Ordering::Relaxed);
    if complete {
        notes.extend(stage.close(&mut end));
    }
    let judging = Instant::now();
    let mut verdict = stage.judge(complete);
    let judging = judging.elapsed();
    for violation in end.violations {
        verdict.add(violation.at, violation.kind, violation.words);
    }
    for recorder in &stage.recorders {
        if let Ok(mut recorder) = recorder.lock() {
            recorder.flush().map_err(|error| format!("the history cannot be written: {error}"))?;
        }
    }
    if let Some(file) = &stage.follower.file {
        file.flush().map_err(|error| format!("the history cannot be written: {error}"))?;
    }
    if let Some(path) = &plan.history {
        history::sort(path).map_err(|error| format!("{} cannot be sorted: {error}", path.display()))?;
    }
    let together = stage.together();
    let failures = shop.failures.lock().map(|failures| failures.clone()).unwrap_or_default();
    let logs = (!verdict.violations.is_empty()).then(|| stage.keep_logs());
    Ok(Report {
        plan: plan.clone(),
        took: begun.elapsed(),
        under_fire,
        operations,
        judging,
        ops: together.ops,
        verdict,
        failures,
        faults: faults.counts.clone(),
        kills: faults.kills(),
        pauses: faults.pauses(),
        cuts: faults.cuts(),
        handovers: faults.handovers(),
        recoveries: faults.recoveries.clone(),
        records: stage.follower.truth.lock().map_or(0, |truth| truth.records),
        counts: together.counts.len(),
        replays: stage.store.links().iter().map(crate::proxy::Link::replays).sum(),
        caught_after,
        notes,
        logs,
    })
}

fn join<T>(threads: Vec<std::thread::JoinHandle<T>>) -> Result<Vec<T>, String> {
    threads.into_iter().map(|thread| thread.join().map_err(|_| "a client panicked".to_owned())).collect()
}

struct Closing(Arc<Shop>, Arc<Follower>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.abandon.store(true, Ordering::Relaxed);
        self.1.over.store(true, Ordering::Relaxed);
    }
}

type Threads<T> = Vec<std::thread::JoinHandle<T>>;

impl Stage {
    /// Starts the store and stocks it.
    fn set(plan: &Plan) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let dir = tempfile::Builder::new().prefix("bazar-chaos-").tempdir().map_err(text)?;
        let mut store = Store::new(plan.store.clone(), dir.path(), plan.seed).map_err(text)?;
        store.start_all(RECOVERY)?;
        // The first epoch is for the other history: who shows the store's own number under another
        // identity deposes its master, as it should.
        store.kill(Role::Catalog(store.master)).map_err(text)?;
        store.start_all(RECOVERY)?;
        let mut master = store.master_client();
        // Every master's log begins here, and a replica that has nothing yet shows it.
        let version = Version { epoch: 0, identity: 0, seq: 0 };
        let books = state(&mut master)?;
        let clock = Clock::start();
        let file = plan.history.as_deref().map(Sink::create).transpose().map_err(text)?;
        let falling: HashMap<i64, i64> = books
            .iter()
            .chain(&first_books())
            .filter(|book| FALLING.contains(&book.id) || FEW.contains(&book.id))
            .map(|book| (book.id, book.stock))
            .collect();
        let initial = Initial {
            version: version.to_string(),
            books: books.clone(),
            pages: pages(),
            falling: falling.iter().map(|(&book, &count)| (book, count)).collect(),
        };
        if let Some(file) = &file {
            let value = serde_json::to_string(&initial).map_err(|error| error.to_string())?;
            file.note("\"harness\"", "initial", &value, 0).map_err(text)?;
        }
        let addrs = std::array::from_fn(|number| store.addr(Role::Catalog(number)));
        let follower = Arc::new(Follower {
            truth: Mutex::new(Truth::new(version, books, pages())),
            master: AtomicUsize::new(store.master),
            addrs,
            over: AtomicBool::new(false),
            findings: Mutex::default(),
            file: file.clone(),
            clock,
        });
        let shop = Arc::new(Shop {
            clock,
            frontends: (0..FRONTENDS)
                .map(|number| [store.addr(Role::Frontend(number)), store.linked_addr(number)])
                .collect(),
            follower: Arc::clone(&follower),
            edits: Mutex::default(),
            over: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            orders: Mutex::default(),
            failures: Mutex::default(),
            done: AtomicU64::new(0),
        });
        let wants = Arc::new(Wants::default());
        let falling_ids: Arc<HashSet<i64>> = Arc::new(falling.keys().copied().collect());
        let recorders = (0..CUSTOMERS + KEEPERS)
            .map(|_| Recorder::new(Arc::clone(&falling_ids), Arc::clone(&wants), file.clone()))
            .map(|recorder| Arc::new(Mutex::new(recorder)))
            .collect();
        let stage = Self { store, shop, follower, recorders, wants, falling, foreign: Truth::default(), dir };
        stage.stock(&mut master)?;
        Ok(stage)
    }

    /// Puts the first books there, as the first edits of the history.
    fn stock(&self, master: &mut Client) -> Result<(), String> {
        let begin = self.shop.clock.now();
        let versions = stock(master)?;
        let end = self.shop.clock.now();
        let poisoned = || "a client panicked".to_owned();
        let mut edits = self.shop.edits.lock().map_err(|_| poisoned())?;
        let mut recorder = self.recorders[CUSTOMERS].lock().map_err(|_| poisoned())?;
        for (book, version) in first_books().into_iter().zip(versions) {
            let edit = Edit { number: edits.len() as u32 + 1, change: Change::Put(book) };
            edits.push(edit.clone());
            let edit_number = edit.number;
            let value = history::Value::Edit { edit, version };
            recorder
                .ended(FIRST_EDITOR + edit_number, begin, end, &value)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// A data directory whose history is another one.
    fn foreign(&mut self, plan: &Plan) -> Result<PathBuf, String> {
        let text = |error: std::io::Error| error.to_string();
        let data = self.dir.path().join("foreign");
        let listen = format!("{}:3999", self.store.addr(Role::Catalog(0)).ip());
        let args = ["catalog", "--master", "--listen", &listen, "--data", &data.display().to_string()];
        let args: Vec<String> = args.map(str::to_owned).into();
        let env = [("BAZAR_INTERNAL_TOKEN", TOKEN.to_owned())];
        let log = self.dir.path().join("foreign.log");
        let mut process = Process::start(&plan.store.bazar, &args, &env, &log).map_err(text)?;
        let addr = listen.parse().map_err(|_| "no address".to_owned())?;
        let mut client = Client::internal(addr, TOKEN);
        let until = Instant::now() + RECOVERY;
        while stock(&mut client).is_err() {
            if Instant::now() > until {
                return Err("a master of another history does not start".into());
            }
            std::thread::sleep(TICK);
        }
        let genesis = Version { epoch: 0, identity: 0, seq: 0 };
        let books = self.follower.truth.lock().map_err(|_| "a client panicked".to_owned())?.first_books();
        self.foreign = Truth::new(genesis, books, pages());
        let page =
            client.get(&format!("/log?after={genesis}"), ASK).map_err(|failure| format!("{failure:?}"))?;
        let page: Value = serde_json::from_slice(&page.body).map_err(|error| error.to_string())?;
        for record in page["records"].as_array().into_iter().flatten() {
            if let Some(file) = &self.follower.file {
                file.note("\"foreign\"", "foreign", &record.to_string(), 0).map_err(text)?;
            }
            let record = serde_json::from_value(record.clone()).map_err(|error| error.to_string())?;
            self.foreign.apply(&record);
        }
        process.terminate();
        process.ended_within(STOP).map_err(text)?;
        // Whose it is must not travel with the copies.
        let _ = std::fs::remove_file(data.join("NODE"));
        Ok(data)
    }

    /// Lets customers and keepers in.
    fn open(&self, plan: &Plan) -> Result<(Threads<usize>, Threads<()>), String> {
        let mut seeds = SmallRng::seed_from_u64(plan.seed ^ 0x5eed);
        let mut customers = Vec::new();
        for number in 0..CUSTOMERS {
            let rng = SmallRng::seed_from_u64(seeds.random());
            let recorder = Arc::clone(&self.recorders[number]);
            let mut customer = Customer::new(Arc::clone(&self.shop), number as u32, rng, recorder);
            let shop = Arc::clone(&self.shop);
            customers.push(spawn(format!("customer-{number}"), move || {
                customer.shop();
                let unsettled = customer.settle(RECOVERY);
                if !shop.abandon.load(Ordering::Relaxed) {
                    customer.look_back();
                }
                unsettled
            })?);
        }
        let mut keepers = Vec::new();
        for index in 0..KEEPERS {
            let rng = SmallRng::seed_from_u64(seeds.random());
            let number = CUSTOMERS + index;
            let recorder = Arc::clone(&self.recorders[number]);
            let shop = Arc::clone(&self.shop);
            let mut keeper = Keeper::new(shop, (index, KEEPERS), number as u32, rng, recorder);
            keepers.push(spawn(format!("keeper-{index}"), move || keeper.keep())?);
        }
        Ok((customers, keepers))
    }

    fn found(&self) -> Vec<(Kind, String)> {
        self.follower.findings.lock().map(|findings| findings.clone()).unwrap_or_default()
    }

    fn together(&self) -> Together {
        let mut together = Together::default();
        for recorder in &self.recorders {
            if let Ok(recorder) = recorder.lock() {
                together.add(&recorder);
            }
        }
        together
    }

    fn judge(&self, complete: bool) -> Verdict {
        let together = self.together();
        let edits: Vec<Edit> = self.shop.edits.lock().map(|edits| edits.clone()).unwrap_or_default();
        let wants: Vec<Want> = self.wants.all();
        let Ok(truth) = self.follower.truth.lock() else { return Verdict::default() };
        let case = Case {
            ops: &together.ops,
            counts: &together.counts,
            wants: &wants,
            edits: &edits,
            truth: &truth,
            foreign: &self.foreign,
            falling: &self.falling,
            complete,
        };
        judge(&case)
    }

    /// Waits until the replicas and the follower have come to the end of the master's log.
    fn caught_up(&self, end: &mut Verdict) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let positions: Vec<Option<String>> =
                (0..crate::store::CATALOGS).map(|number| self.store.position(number)).collect();
            let followed = self.follower.truth.lock().map(|truth| truth.at().to_string()).ok();
            let same = positions.iter().all(|position| position.is_some() && *position == followed);
            if same {
                return vec![format!(
                    "All catalog nodes were at version {}, {:.1} s after the last answer.",
                    followed.unwrap_or_default(),
                    begun.elapsed().as_secs_f64()
                )];
            }
            if begun.elapsed() > RECOVERY {
                let words = format!(
                    "the catalog nodes are at {positions:?} and the log was followed to {followed:?}, {RECOVERY:?} after the last answer"
                );
                end.add(self.shop.clock.now(), Kind::End, words);
                return Vec::new();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops everybody and looks into the files.
    fn close(&mut self, end: &mut Verdict) -> Vec<String> {
        let at = self.shop.clock.now();
        for words in self.store.stop_all(STOP) {
            end.add(at, Kind::End, words);
        }
        let acknowledged: HashSet<u64> = self
            .together()
            .ops
            .iter()
            .filter_map(|op| match op.what {
                What::Bought { order, .. } => Some(order),
                _ => None,
            })
            .collect();
        let replicas: Vec<PathBuf> = (0..crate::store::CATALOGS)
            .filter(|&number| number != self.store.master)
            .map(|number| self.store.data(number))
            .collect();
        let mut notes = Vec::new();
        match files::compare(&self.store.data(self.store.master), &replicas, &acknowledged) {
            Ok((wrong, held)) => {
                notes.push(format!(
                    "{} acknowledged orders, {held} orders in the master's file; every replica's books, orders and answers are the master's, row by row: {}.",
                    acknowledged.len(), if wrong.is_empty() { "yes" } else { "NO" }
                ));
                wrong.into_iter().for_each(|words| end.add(at, Kind::End, words));
            }
            Err(words) => end.add(at, Kind::End, words),
        }
        for role in Role::all() {
            let log = std::fs::read_to_string(self.store.log(role)).unwrap_or_default();
            for line in log.lines().filter(|line| line.contains("panicked at")) {
                end.add(at, Kind::End, format!("{role}: {line}"));
            }
        }
        notes
    }

    /// The directory of the run stays where it is.
    fn keep_logs(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().into()
    }
}

fn spawn<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>, String> {
    std::thread::Builder::new().name(name).spawn(work).map_err(|error| error.to_string())
}

/// Puts the first books there. Returns the version that shows each of them.
fn stock(master: &mut Client) -> Result<Vec<String>, String> {
    let edits: Vec<Value> = first_books().iter().map(|book| json!({"put": book})).collect();
    let body = json!({ "edits": edits }).to_string();
    let answer = master.post("/edits", "", body.as_bytes(), ASK * 5);
    let body: Value = match &answer {
        Ok(answer) if answer.status == 200 => serde_json::from_slice(&answer.body).unwrap_or_default(),
        _ => Value::Null,
    };
    let version = |outcome: &Value| Version::parse(outcome["edit"]["Ok"]["version"].as_str()?);
    let versions: Option<Vec<Version>> =
        body["outcomes"].as_array().into_iter().flatten().map(version).collect();
    match versions {
        Some(versions) if !versions.is_empty() => {
            Ok(versions.iter().map(|version| format!("{}.{}", version.epoch, version.seq)).collect())
        }
        _ => Err(format!("the shop cannot be stocked: {answer:?}")),
    }
}

/// All books. Nothing else must be going on.
fn state(master: &mut Client) -> Result<Vec<Book>, String> {
    let mut read = |path: &str| -> Result<Value, String> {
        let answer = master.get(path, ASK).map_err(|failure| format!("{path}: {failure:?}"))?;
        serde_json::from_slice(&answer.body).map_err(|error| format!("{path}: {error}"))
    };
    let topics = read("/topics")?;
    let mut books = Vec::new();
    let names: Vec<&str> = topics["value"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|topic| topic["topic"].as_str())
        .collect();
    for topic in names {
        let page = read(&format!("/search?topic={topic}&limit=1000"))?;
        let of_topic: Vec<Book> =
            serde_json::from_value(page["value"]["books"].clone()).map_err(|error| error.to_string())?;
        books.extend(of_topic);
    }
    books.sort_by_key(|book| book.id);
    Ok(books)
}

/// Judges a recorded history alone.
pub fn check(path: &Path) -> Result<Verdict, String> {
    let recorded = crate::history::read(path)?;
    let initial = recorded.initial;
    let version = Version::parse(&initial.version).ok_or("the first state has no version")?;
    let falling: HashMap<i64, i64> = initial.falling.into_iter().collect();
    let mut foreign = Truth::new(version, initial.books.clone(), initial.pages.clone());
    recorded.foreign.iter().for_each(|record| foreign.apply(record));
    let mut truth = Truth::new(version, initial.books, initial.pages);
    recorded.records.iter().for_each(|record| truth.apply(record));
    let wants = recorded.wants.all();
    Ok(judge(&Case {
        ops: &recorded.recorder.ops,
        counts: &recorded.recorder.counts,
        wants: &wants,
        edits: &recorded.edits,
        truth: &truth,
        foreign: &foreign,
        falling: &falling,
        complete: true,
    }))
}
