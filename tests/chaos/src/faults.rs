//! Draws faults by a seed, brings them about, and heals them again.
//!
//! Invariants: one thing has one fault at a time; at most [`MAX_AT_ONCE`] things have one; everything that
//! was begun is ended after a drawn time, so the store always gets a chance to go on. One thread does all
//! of it, because the kernel ends a role with the thread that started it.

use crate::follower::Follower;
use crate::judge::Kind;
use crate::process::tail;
use crate::proxy::{Link, Mode};
use crate::store::{CATALOGS, Event, Role, Store};
use rand::RngExt;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Things with a fault at one time: enough for faults to meet, few enough for the shop to sell now and
/// then.
const MAX_AT_ONCE: usize = 5;

/// Points in the code of each role at which it can end itself, as `src/abort.rs` of bazar has them.
const OF_MASTER: [&str; 8] = [
    "before-prepare",
    "prepared",
    "fence-sent",
    "fenced",
    "committed",
    "published",
    "replicated",
    "acknowledging",
];
const OF_REPLICA: [&str; 2] = ["sync-write-received", "applied"];
const OF_FRONTEND: [&str; 2] = ["fence-received", "fence-raised"];
const OF_ORDER: [&str; 2] = ["gathered", "answered"];

/// A role that was told to end itself is killed if it does not come to that point.
const ARMED: Duration = Duration::from_secs(8);

/// For each step of a handover; longer than the longest fault of a link.
const HANDOVER: Duration = Duration::from_secs(15);

/// What a run must have had at least.
#[derive(Debug, Clone, Copy, Default)]
pub struct Minima {
    pub kills: u64,
    pub pauses: u64,
    pub cuts: u64,
    pub handovers: u64,
}

#[derive(Debug, Clone)]
enum Act {
    Start(Role),
    Resume(Role),
    Heal(usize),
    RedisStart,
    RedisResume,
    /// If it is still the life that began then: the middle of a snapshot, or an armed role that never came
    /// to its point.
    Kill(Role, Instant),
}

pub struct Faults {
    rng: SmallRng,
    links: Vec<Link>,
    due: Vec<(Instant, Act)>,
    /// Roles, links and Redis (by name) that have a fault now.
    busy: BTreeSet<String>,
    next: Instant,
    gap: Duration,
    lease: Duration,
    /// A data directory of another history.
    foreign: PathBuf,
    /// Told who the master is.
    follower: Arc<Follower>,
    /// When each role was started last.
    lives: BTreeMap<Role, Instant>,
    minima: Minima,
    pub counts: BTreeMap<String, u64>,
    pub recoveries: Vec<(Role, Duration)>,
    pub findings: Vec<(Kind, String)>,
}

impl Faults {
    /// `gap`: mean time between the beginnings of two faults.
    /// `lease`: how long one runs; pauses are drawn by it.
    pub fn new(
        rng: SmallRng,
        store: &Store,
        follower: Arc<Follower>,
        (gap, lease): (Duration, Duration),
        foreign: PathBuf,
        minima: Minima,
    ) -> Self {
        Self {
            rng,
            follower,
            links: store.links(),
            due: Vec::new(),
            busy: BTreeSet::new(),
            next: Instant::now() + gap,
            gap,
            lease,
            foreign,
            lives: BTreeMap::new(),
            minima,
            counts: BTreeMap::new(),
            recoveries: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn total(&self, prefix: &str) -> u64 {
        self.counts.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, count)| count).sum()
    }

    pub fn kills(&self) -> u64 {
        self.total("kill") + self.total("abort")
    }

    pub fn pauses(&self) -> u64 {
        self.total("pause")
    }

    pub fn cuts(&self) -> u64 {
        self.total("cut")
    }

    pub fn handovers(&self) -> u64 {
        self.total("handover")
    }

    pub fn enough(&self) -> bool {
        self.kills() >= self.minima.kills
            && self.pauses() >= self.minima.pauses
            && self.cuts() >= self.minima.cuts
            && self.handovers() >= self.minima.handovers
    }

    fn count(&mut self, name: impl Into<String>) {
        *self.counts.entry(name.into()).or_default() += 1;
    }

    /// Does what is due, and maybe begins something.
    pub fn tick(&mut self, store: &mut Store) -> io::Result<()> {
        self.look(store)?;
        self.do_due(store)?;
        let now = Instant::now();
        if now >= self.next {
            // Exponential, so that faults also come close together.
            let drawn: f64 = self.rng.random_range(0.02..1.0);
            self.next = now + self.gap.mul_f64(-drawn.ln());
            if self.busy.len() < MAX_AT_ONCE {
                self.begin(store)?;
            }
        }
        Ok(())
    }

    fn do_due(&mut self, store: &mut Store) -> io::Result<()> {
        let now = Instant::now();
        let mut index = 0;
        while index < self.due.len() {
            if self.due[index].0 <= now {
                let (_, act) = self.due.swap_remove(index);
                self.act(store, act)?;
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    /// Takes notice of who got ready and who ended.
    fn look(&mut self, store: &mut Store) -> io::Result<()> {
        for event in store.look()? {
            self.notice(event);
        }
        Ok(())
    }

    fn notice(&mut self, event: Event) {
        match event {
            Event::Up(role, after) => {
                self.recoveries.push((role, after));
                self.busy.remove(&role.to_string());
            }
            Event::Aborted(role, point) => {
                let point = point.split(':').next().unwrap_or_default();
                self.count(format!("abort at {point}"));
                self.busy.insert(role.to_string());
                self.later(50, 300, Act::Start(role));
            }
            Event::Ended => {}
            Event::Died(role, _, words) => {
                self.findings.push((Kind::End, words));
                self.busy.insert(role.to_string());
                self.later(50, 300, Act::Start(role));
            }
        }
    }

    fn later(&mut self, from_ms: u64, to_ms: u64, act: Act) {
        let after = Duration::from_millis(self.rng.random_range(from_ms..=to_ms));
        self.due.push((Instant::now() + after, act));
    }

    fn act(&mut self, store: &mut Store, act: Act) -> io::Result<()> {
        match act {
            Act::Start(role) => {
                let abort_at = self.abort_point(store, role);
                let armed = abort_at.is_some();
                store.start(role, abort_at)?;
                let now = Instant::now();
                self.lives.insert(role, now);
                if armed {
                    self.due.push((now + ARMED, Act::Kill(role, now)));
                }
            }
            Act::Resume(role) => {
                store.resume(role);
                self.busy.remove(&role.to_string());
            }
            Act::Heal(index) => {
                self.links[index].set(Mode::Healthy);
                let name = self.links[index].name.to_string();
                self.busy.remove(&name);
            }
            Act::RedisStart => {
                store.redis.restart()?;
                self.busy.remove("redis");
            }
            Act::RedisResume => {
                store.redis.resume();
                self.busy.remove("redis");
            }
            Act::Kill(role, life) => {
                let paused = store.node(role).paused;
                if self.lives.get(&role) == Some(&life) && !paused && !self.is_down(role) {
                    self.kill(store, role)?;
                }
            }
        }
        Ok(())
    }

    /// Whether somebody is going to start it already.
    fn is_down(&self, role: Role) -> bool {
        self.due.iter().any(|(_, act)| matches!(act, Act::Start(down) if *down == role))
    }

    fn abort_point(&mut self, store: &Store, role: Role) -> Option<String> {
        if !self.rng.random_bool(0.35) {
            return None;
        }
        let points: &[&str] = match role {
            Role::Catalog(number) if number == store.master => &OF_MASTER,
            Role::Catalog(_) => &OF_REPLICA,
            Role::Frontend(_) => &OF_FRONTEND,
            Role::Order(_) => &OF_ORDER,
        };
        let point = points[self.rng.random_range(0..points.len())];
        Some(format!("{point}:{}", self.rng.random_range(1..80)))
    }

    fn begin(&mut self, store: &mut Store) -> io::Result<()> {
        let missing = |had: u64, wanted: u64, usual: f64| {
            if wanted == 0 { usual } else { usual + 40.0 * wanted.saturating_sub(had) as f64 / wanted as f64 }
        };
        let weights = [
            missing(self.kills(), self.minima.kills, 8.0),
            missing(self.pauses(), self.minima.pauses, 5.0) / 2.0,
            missing(self.cuts(), self.minima.cuts, 5.0) / 2.0,
            2.5,
            3.0,
            3.0,
            4.0,
            1.2,
            if self.minima.handovers > 0 {
                missing(self.handovers(), self.minima.handovers, 8.0) / 8.0
            } else {
                0.0
            },
        ];
        let mut drawn = self.rng.random_range(0.0..weights.iter().sum());
        let mut kind = 0;
        while kind + 1 < weights.len() && drawn >= weights[kind] {
            drawn -= weights[kind];
            kind += 1;
        }
        match kind {
            0 => match self.free_role() {
                Some(role) => self.kill(store, role),
                None => Ok(()),
            },
            1 => {
                self.pause(store);
                Ok(())
            }
            2 => {
                let mode = if self.rng.random_bool(0.5) { Mode::Reset } else { Mode::Blackhole };
                self.link(mode, if mode == Mode::Reset { "cut (reset)" } else { "cut (nothing arrives)" });
                Ok(())
            }
            3 => {
                let mode = if self.rng.random_bool(0.5) { Mode::NoAnswers } else { Mode::NoRequests };
                self.link(mode, "half-open link");
                Ok(())
            }
            4 => {
                let delay = Duration::from_millis(self.rng.random_range(1..80));
                let bytes_per_second = self.rng.random_range(20_000..2_000_000);
                self.link(Mode::Slow { delay, bytes_per_second }, "slow link");
                Ok(())
            }
            5 => {
                self.link(Mode::Duplicate, "duplicating link");
                Ok(())
            }
            6 => self.redis(store),
            7 => self.wipe(store),
            _ => self.hand_over(store),
        }
    }

    fn free_role(&mut self) -> Option<Role> {
        let free: Vec<Role> = Role::all().filter(|role| !self.busy.contains(&role.to_string())).collect();
        (!free.is_empty()).then(|| free[self.rng.random_range(0..free.len())])
    }

    fn kill(&mut self, store: &mut Store, role: Role) -> io::Result<()> {
        store.kill(role)?;
        let kind = match role {
            Role::Catalog(number) if number == store.master => "master",
            Role::Catalog(_) => "replica",
            Role::Order(_) => "order node",
            Role::Frontend(_) => "frontend",
        };
        self.count(format!("kill {kind}"));
        self.busy.insert(role.to_string());
        // Mostly at once, sometimes after everybody has noticed.
        let longest = if self.rng.random_bool(0.25) { 1500 } else { 150 };
        self.later(0, longest, Act::Start(role));
        Ok(())
    }

    fn pause(&mut self, store: &mut Store) {
        let Some(role) = self.free_role() else { return };
        store.pause(role);
        self.busy.insert(role.to_string());
        let lease = self.lease.as_millis() as u64;
        // Shorter than a lease, about a lease, longer than everything a lease is made of.
        let (from, to, name) = match self.rng.random_range(0..3) {
            0 => (10, lease / 2, "pause, shorter than a lease"),
            1 => (lease / 2, lease * 5 / 4, "pause, about a lease"),
            _ => (lease * 5 / 4, lease * 3, "pause, longer than a lease"),
        };
        self.count(name);
        self.later(from, to, Act::Resume(role));
    }

    fn link(&mut self, mode: Mode, name: &str) {
        let free: Vec<usize> =
            (0..self.links.len()).filter(|&index| !self.busy.contains(&*self.links[index].name)).collect();
        if free.is_empty() {
            return;
        }
        let index = free[self.rng.random_range(0..free.len())];
        self.links[index].set(mode);
        let busy = self.links[index].name.to_string();
        self.busy.insert(busy);
        self.count(name);
        self.later(50, 2000, Act::Heal(index));
    }

    fn redis(&mut self, store: &mut Store) -> io::Result<()> {
        if !store.redis.is_up() || self.busy.contains("redis") {
            return Ok(());
        }
        // It may be starting: what it does not answer is no fault.
        let done = |result: io::Result<usize>| result.unwrap_or(0) > 0;
        match self.rng.random_range(0..8) {
            0 => {
                store.redis.kill();
                self.busy.insert("redis".into());
                self.later(50, 1500, Act::RedisStart);
                self.count("Redis stopped, and started empty");
            }
            1 => {
                store.redis.pause();
                self.busy.insert("redis".into());
                self.later(20, 800, Act::RedisResume);
                self.count("Redis hangs");
            }
            2 if store.redis.flush().is_ok() => self.count("Redis flushed"),
            3 | 4 if done(store.redis.forge(&mut self.rng)) => self.count("Redis filled with forged entries"),
            5 | 6 if done(store.redis.restore()) => self.count("Redis restored from an old dump"),
            _ if done(store.redis.dump()) => self.count("(Redis dumped)"),
            _ => {}
        }
        Ok(())
    }

    /// A replica loses its data, or finds that of another history in their place; then it takes a
    /// snapshot, and is perhaps killed in the middle of it.
    fn wipe(&mut self, store: &mut Store) -> io::Result<()> {
        let replicas: Vec<usize> = (0..CATALOGS)
            .filter(|&number| {
                number != store.master && !self.busy.contains(&Role::Catalog(number).to_string())
            })
            .collect();
        if replicas.is_empty() {
            return Ok(());
        }
        let number = replicas[self.rng.random_range(0..replicas.len())];
        let role = Role::Catalog(number);
        store.kill(role)?;
        self.count("kill replica");
        self.busy.insert(role.to_string());
        let data = store.data(number);
        std::fs::remove_dir_all(&data)?;
        if self.rng.random_bool(0.5) {
            self.count("replica's data wiped");
        } else {
            copy_dir(&self.foreign, &data)?;
            self.count("replica's data of another history");
        }
        store.start(role, None)?;
        let now = Instant::now();
        self.lives.insert(role, now);
        if self.rng.random_bool(0.5) {
            self.count("(replica to be killed while it catches up)");
            self.later(20, 400, Act::Kill(role, now));
        }
        Ok(())
    }

    /// The master hands over to a replica, the heir is started as master and the old master as replica; now
    /// and then one of the two is killed on the way. Other faults go on and are healed meanwhile.
    ///
    /// If it fails, somebody must still be master: the heir if it has the seal, else the old one if it
    /// wrote none, else the old one by force, which has everything there is.
    fn hand_over(&mut self, store: &mut Store) -> io::Result<()> {
        let (old, free) = (store.master, |faults: &Self, store: &mut Store, number: usize| {
            let role = Role::Catalog(number);
            !faults.busy.contains(&role.to_string()) && store.node(role).up && !store.node(role).paused
        });
        let heirs: Vec<usize> =
            (0..CATALOGS).filter(|&number| number != old && free(self, store, number)).collect();
        if heirs.is_empty() || !free(self, store, old) {
            return Ok(());
        }
        let heir = heirs[self.rng.random_range(0..heirs.len())];
        let (old_role, heir_role) = (Role::Catalog(old), Role::Catalog(heir));
        self.busy.extend([old_role.to_string(), heir_role.to_string()]);
        store.node(old_role).leaving = true;
        let mut command = store.hand_over(heir)?;
        if self.rng.random_bool(0.25) {
            let now = Instant::now();
            let victim = if self.rng.random_bool(0.5) { old_role } else { heir_role };
            self.lives.insert(victim, now);
            self.later(0, 60, Act::Kill(victim, now));
        }
        let mut accepted = None;
        self.meanwhile(store, HANDOVER, |_, _| {
            accepted = accepted.or(command.ended_within(Duration::ZERO).ok().flatten());
            accepted.is_some()
        })?;
        drop(command);
        let accepted = accepted.is_some_and(|status| status.success());
        // Refused: it goes on as master. Sealed and not yet delivered: it ends when it has been.
        let goes_on = !accepted && store.standing(old).is_some_and(|role| role == "master");
        if goes_on {
            self.count("(handover refused)");
            store.node(old_role).leaving = false;
            self.busy.remove(&old_role.to_string());
            self.free_unless_down(heir_role);
            return Ok(());
        }
        self.meanwhile(store, HANDOVER, |_, store| !store.node(old_role).runs())?;
        // From here on both are started here and nowhere else.
        self.due.retain(|(_, act)| !matches!(act, Act::Start(role) | Act::Kill(role, _) if *role == old_role || *role == heir_role));
        let ended = !store.node(old_role).runs();
        store.kill(old_role)?;
        if self.rng.random_bool(0.5) {
            store.terminate(heir_role);
            self.meanwhile(store, HANDOVER, |_, store| !store.node(heir_role).runs())?;
        }
        store.kill(heir_role)?;
        store.master = heir;
        if self.comes_up(store, heir_role, &[])? {
            self.count(if ended && accepted { "handover" } else { "handover, interrupted and completed" });
            self.follower.master.store(heir, Ordering::Relaxed);
            store.start(old_role, None)?;
            return Ok(());
        }
        if accepted {
            let words = format!(
                "{heir_role} does not start as master, though the handover to it succeeded:\n{}",
                tail(&store.log(heir_role))
            );
            self.findings.push((Kind::End, words));
        }
        store.master = old;
        if self.comes_up(store, old_role, &[])? {
            self.count("(handover interrupted before the seal)");
        } else if self.comes_up(store, old_role, &["--force"])? {
            self.count("(handover interrupted behind the seal; the old master goes on by force)");
        } else {
            let words = format!("nobody can be master after a handover:\n{}", tail(&store.log(old_role)));
            self.findings.push((Kind::End, words));
        }
        store.start(heir_role, None)
    }

    /// Goes on with what is due until `done`, or until `patience` is over; begins nothing.
    fn meanwhile(
        &mut self,
        store: &mut Store,
        patience: Duration,
        mut done: impl FnMut(&mut Self, &mut Store) -> bool,
    ) -> io::Result<()> {
        let until = Instant::now() + patience;
        while !done(self, store) && Instant::now() < until {
            self.look(store)?;
            self.do_due(store)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Starts `role` and says whether it gets ready.
    fn comes_up(&mut self, store: &mut Store, role: Role, more: &[&str]) -> io::Result<bool> {
        store.start_with(role, None, more)?;
        let until = Instant::now() + HANDOVER;
        while Instant::now() < until {
            for event in store.look()? {
                match event {
                    Event::Up(up, after) if up == role => {
                        self.recoveries.push((role, after));
                        self.busy.remove(&role.to_string());
                        return Ok(true);
                    }
                    // That it may not is a clear word; everything else is noticed.
                    Event::Died(died, Some(2), _) if died == role => return Ok(false),
                    event => self.notice(event),
                }
            }
            self.do_due(store)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(false)
    }

    fn free_unless_down(&mut self, role: Role) {
        if !self.is_down(role) {
            self.busy.remove(&role.to_string());
        }
    }

    /// Ends every fault. Then everybody runs, and nobody is told to end itself.
    pub fn heal(&mut self, store: &mut Store) -> io::Result<()> {
        self.look(store)?;
        self.due.clear();
        self.busy.clear();
        for link in &self.links {
            link.set(Mode::Healthy);
        }
        store.redis.resume();
        if !store.redis.is_up() {
            store.redis.restart()?;
        }
        for role in Role::all() {
            if store.node(role).paused {
                store.resume(role);
            }
            if store.node(role).abort_at.is_some() {
                store.kill(role)?;
            }
        }
        Ok(())
    }
}

pub fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
