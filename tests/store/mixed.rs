//! Roles of the release before among roles of this one, as a rolling update has them: everything is sold once and
//! shown at once, whoever is of which release. `scripts/test-mixed` builds the one before and runs these.

use crate::harness::{Client, Cluster, Over, Process, Shape, THIS, TOKEN, alone, run, schema, wait_until};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Bought by whoever walks through the steps, one copy after the other.
const BOOK: i64 = 9;
/// Bought all the time.
const BUSY: i64 = 8;
const STOCK: i64 = 100_000;

const WITH_TOKEN: [(&str, &str); 1] = [("BAZAR_INTERNAL_TOKEN", TOKEN)];

/// The release before.
fn before() -> PathBuf {
    let named = std::env::var_os("BAZAR_PREVIOUS_BIN");
    PathBuf::from(
        named.expect("BAZAR_PREVIOUS_BIN names the bazar of the release before: scripts/test-mixed"),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Replica,
    Orders,
    Frontends,
    Master,
}

/// The order in which docs/operations.md updates a store.
const AS_TOLD: [Role; 4] = [Role::Replica, Role::Orders, Role::Frontends, Role::Master];

/// A store that is sold from all the time, and what must be true of it.
struct Shop {
    cluster: Cluster,
    left: i64,
    turn: u32,
}

impl Shop {
    /// All roles are of the release `program`.
    fn open(program: &Path) -> Self {
        let shape = Shape { orders: 2, redis: true, candidates: true, ..Shape::default() };
        let mut shop = Self { cluster: Cluster::start(shape), left: STOCK, turn: 0 };
        shop.cluster.set_stock(BOOK, STOCK);
        shop.cluster.set_stock(BUSY, STOCK);
        for role in AS_TOLD {
            shop.exchange(role, program);
        }
        shop
    }

    /// Exchanges the processes of a role for those of another release, one after the other, each stopped cleanly;
    /// looks at the shop while only some are.
    #[track_caller]
    fn exchange(&mut self, role: Role, program: &Path) {
        let cluster = &mut self.cluster;
        let count = match role {
            Role::Orders => cluster.orders.len(),
            Role::Frontends => cluster.frontends.len(),
            Role::Replica | Role::Master => 1,
        };
        for number in 0..count {
            let cluster = &mut self.cluster;
            let process = match role {
                Role::Replica => &mut cluster.replicas[0],
                Role::Orders => &mut cluster.orders[number],
                Role::Frontends => &mut cluster.frontends[number],
                Role::Master => &mut cluster.master,
            };
            process.stop();
            process.exchange(program);
            process.restart();
            self.cluster.settled();
            self.keeps_its_word();
        }
    }

    /// Through each frontend a copy is bought, and seen through all at once, nowhere a sale behind.
    #[track_caller]
    fn keeps_its_word(&mut self) {
        let clients = self.cluster.clients();
        for client in &clients {
            self.turn += 1;
            let key = format!("walk-{}", self.turn);
            let mut bought = None;
            wait_until("a copy is sold", || {
                bought = client.try_buy(BOOK, &key).filter(|answer| answer.status != 503);
                bought.is_some()
            });
            self.left -= 1;
            let bought = bought.unwrap().ok().json();
            assert_eq!(bought["remaining"], self.left);
            for reader in &clients {
                for _ in 0..2 {
                    let read = reader.info(BOOK).ok();
                    assert_eq!((read.stock(BOOK), read.says_stale()), (self.left, false));
                    assert_eq!(reader.search("education").ok().stock(BOOK), self.left);
                }
                reader.order(bought["orderId"].as_str().unwrap()).ok();
                assert!(reader.get("/topics").ok().json()["items"].is_array());
                assert!(reader.get("/search?q=finish").ok().json()["items"].is_array());
            }
        }
        // It is a cache, whoever filled it.
        let client = &clients[0];
        wait_until("a read is cached", || client.info(BOOK).ok().cached());
    }

    /// Stops everything: what was sold is what was taken from the shelf, on every node.
    #[track_caller]
    fn close(self, sold_meanwhile: i64) {
        let left = self.left;
        let rows = self.cluster.stop_and_compare();
        let stock = |book: i64| -> i64 {
            let rows =
                rows["books"].iter().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
            rows.into_iter().find(|row| row[0] == book).unwrap()[3].as_i64().unwrap()
        };
        assert_eq!((stock(BOOK), stock(BUSY)), (left, STOCK - sold_meanwhile));
        assert_eq!(rows["orders"].len() as i64, STOCK - left + sold_meanwhile);
    }
}

/// Does `walk` while somebody buys through every frontend, again under the same key until there is an outcome;
/// gives the copies that were sold.
fn while_selling(shop: &mut Shop, walk: impl FnOnce(&mut Shop)) -> i64 {
    let (sold, over) = (AtomicI64::new(0), AtomicBool::new(false));
    let urls: Vec<String> = shop.cluster.frontends.iter().map(|frontend| frontend.url().to_owned()).collect();
    std::thread::scope(|scope| {
        for number in 0..urls.len() {
            let (urls, sold, over) = (&urls, &sold, &over);
            scope.spawn(move || {
                let clients: Vec<Client> = urls.iter().map(|url| Client::new(url)).collect();
                let mut through = number;
                for turn in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let key = format!("busy-{number}-{turn}");
                    wait_until("a purchase has an outcome", || {
                        let answer = clients[through % clients.len()].try_buy(BUSY, &key);
                        // Any but a refusal: then the other frontend is asked.
                        let answer = answer.filter(|answer| answer.status != 503);
                        through += usize::from(answer.is_none());
                        answer.is_some_and(|answer| answer.ok().status == 200)
                    });
                    sold.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _over = Over(&over);
        walk(shop);
    });
    sold.into_inner()
}

/// Whether the release before opens what this one has opened: not where the schema is a newer one.
fn goes_back(old: &Path) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let [before, now] = [("before", old), ("now", Path::new(THIS))].map(|(name, program)| {
        let data = dir.path().join(format!("{name}-data"));
        let args = ["catalog", "--master", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        Process::start_program(program, dir.path(), name, &args, &WITH_TOKEN).stop();
        schema(&data)
    });
    assert!(before <= now, "the release before has the newer schema: {before}");
    before == now
}

#[test]
#[ignore = "scripts/test-mixed builds the release before"]
fn in_every_mixture_of_two_releases_everything_is_sold_once_and_shown_at_once() {
    let _alone = alone();
    let (old, new) = (before(), PathBuf::from(THIS));
    let mut shop = Shop::open(&old);
    if !goes_back(&old) {
        // Then only one way, in the order that the documents tell.
        let sold =
            while_selling(&mut shop, |shop| AS_TOLD.into_iter().for_each(|role| shop.exchange(role, &new)));
        return shop.close(sold);
    }
    let sold = while_selling(&mut shop, |shop| {
        // A Gray code: one role at a time, through all sixteen mixtures and back to the first.
        let mut of_this = [false; 4];
        for step in 1..=16_u32 {
            let role = if step == 16 { 3 } else { step.trailing_zeros() as usize };
            of_this[role] = !of_this[role];
            shop.exchange(AS_TOLD[role], if of_this[role] { &new } else { &old });
        }
        assert_eq!(of_this, [false; 4]);
    });
    shop.close(sold);
}

#[test]
#[ignore = "scripts/test-mixed builds the release before"]
fn a_store_is_handed_over_from_either_release_to_the_other() {
    let _alone = alone();
    let (old, new) = (before(), PathBuf::from(THIS));
    let mut heirs = vec![(&old, &new)];
    if goes_back(&old) {
        heirs.push((&new, &old));
    }
    for (of_all, of_the_heir) in heirs {
        let mut shop = Shop::open(of_all);
        shop.exchange(Role::Replica, of_the_heir);
        let sold = while_selling(&mut shop, |shop| {
            let cluster = &mut shop.cluster;
            let answer = run(&["handover", "--to", cluster.replicas[0].url()], &WITH_TOKEN);
            assert_eq!(answer.code, Some(0), "{}", answer.stderr);
            cluster.master.ends_well();
            cluster.replicas[0].stop();
            cluster.promote_to(of_the_heir, &[]);
            cluster.demote();
            cluster.settled();
            shop.keeps_its_word();
        });
        shop.close(sold);
    }
}
