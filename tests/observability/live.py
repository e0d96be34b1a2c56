"""A real store under load, a real Prometheus: the store that is well sets off nothing, every query of a dashboard and every
series that a rule asks for gives data, and every alert that can be provoked within seconds is seen to fire.

    live.py BINARY
"""

import concurrent.futures
import json
import pathlib
import re
import sqlite3
import subprocess
import sys
import time

import yaml
from store import HERE, PATIENCE_S, Process, Prometheus, Role, Store, free_port, http, temporary, until

TOPICS = ["fiction", "science", "history", "programming", "education", "nature"]
# Books of the load, of which there are more copies than it can buy, and some that come later, with a single copy.
MANY, SINGLE = range(1000, 1060), range(2000, 2020)

# What takes longer than a test, or another machine, to come about; each has its unit test.
NOT_HERE = {
    "BazarVerifyOverdue": "eight days",
    "BazarVerifyFails": "a replica that hangs in the middle of a verification",
    "BazarReplicationLag": "a replica that applies slowly: one that hangs is out of the set, and has no lag",
    "BazarReplicaHistoryReplaced": "a promotion by force and the old master's return: tests/store has it",
    "BazarLeaseStorm": "ten minutes of leases that are lost",
    "BazarWritersStalled": "minutes of fences that nobody answers",
    "BazarDataDiskFilling": "a disk of its own",
    "BazarDataDiskFull": "a disk of its own",
    "BazarWalGrows": "half a gigabyte of log",
    "BazarCommitsSlow": "a slow disk",
    "BazarQueueNearBound": "a thousand clients",
    "BazarQueueRejects": "a thousand clients",
    "BazarErrorBudgetBurnsSlowly": "days",
    "BazarHitRatioCollapsed": "a day to compare with",
    "BazarRetryBudgetSpent": "a storm of failures",
    "BazarThreadsBlocked": "a machine without processor time",
    "BazarFileDescriptors": "as many connections",
    "BazarMixedVersions": "two builds",
}

# What the machine that this runs on may be short of, however well the store is.
OF_THE_MACHINE = {"BazarDataDiskFilling", "BazarDataDiskFull", "BazarThreadsBlocked", "BazarCommitsSlow"}

# What only a store has that failed.
IF_IT_FAILED = 'store_status:bazar_reads:rate5m{status="5xx"}'

# What counts at the doors, and the alert that it sets off.
ATTACKS = {
    "bazar_internal_refused_total": "BazarInternalRefusals",
    "bazar_rate_limited_total": "BazarRateLimiting",
    "bazar_admin_attempts_total": "BazarAdminAttack",
}

started = time.monotonic()


def say(sentence):
    print(f"{time.monotonic() - started:5.1f} s  {sentence}", flush=True)


class Watch:
    """What fired, whenever it did."""

    def __init__(self, prometheus):
        self.prometheus, self.seen = prometheus, {}

    def look(self):
        firing = self.prometheus.firing()
        for name, alert in firing.items():
            if name not in self.seen:
                self.seen[name] = alert["annotations"]["summary"]
        return firing

    def expect(self, cause, *names, seconds=PATIENCE_S, meanwhile=lambda: None):
        # What fired before has another cause.
        since, missing = time.monotonic(), set(names)

        def attempt():
            meanwhile()
            missing.difference_update(self.look())
            return not missing

        try:
            until(cause, seconds, attempt, pause=0.3)
        except AssertionError:
            raise AssertionError(f"{cause}: not within {seconds} s: {sorted(missing)}; firing: {sorted(self.look())}") from None
        say(f"{cause}: {', '.join(names)} (within {time.monotonic() - since:.1f} s)")


def selectors(expr):
    """The series that an expression asks for."""
    without_strings = re.sub(r'"[^"]*"', lambda found: found[0].replace(" ", "\0"), expr)
    found = re.findall(r"\b((?:bazar_|process_|prometheus_|up\b|store|slo:|instance)[\w:]*)(\{[^}]*\})?", without_strings)
    names = {name + labels.replace("\0", " ") for name, labels in found if ":" in name or name.split("_")[0] in ("bazar", "process", "prometheus") or name == "up"}
    return names - {"bazar", "process", "prometheus"}


def everything_is_there(prometheus):
    """Every series that a rule asks for, and every query of a dashboard."""
    missing = []
    for file in sorted((HERE / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                for selector in (selectors(rule["expr"]) | {rule.get("record", "up")}) - {IF_IT_FAILED}:
                    if not prometheus.query(f"count({selector})"):
                        missing.append(f"{rule.get('alert') or rule.get('record')}: {selector}")
    for file in sorted((HERE / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                expr = re.sub(r"\$(store|service|instance)", ".*", target["expr"].replace("$__rate_interval", "1m"))
                if not prometheus.query(expr):
                    missing.append(f"{file.name}, {panel['title']}: {expr}")
    return missing


def of_the_moment(prometheus):
    """The alerts that look at the moment alone. One that looks back at minutes remembers a hiccup for as long."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"] if rule["type"] == "alerting"]
    return {rule["name"] for rule in rules if not re.search(r"\[\d|:(ratio_)?rate\d", rule["query"])}


def begun(watch, prometheus):
    """What fires, or will if it goes on like this."""
    watch.look()
    return {alert["labels"]["alertname"] for alert in prometheus.active()}


def well_and_watched(store, prometheus, watch):
    until("all targets are up", PATIENCE_S, lambda: {s["value"][1] for s in prometheus.query('up{job="bazar"}')} == {"1"} and len(prometheus.query('up{job="bazar"}')) == len(store.roles))
    until("the replica is in sync", PATIENCE_S, lambda: prometheus.query("bazar_in_sync_replicas == 1"))
    until("the frontends have leases", PATIENCE_S, lambda: prometheus.query("sum(bazar_lease_held) == 2"))
    verified = store.run("catalog", "verify", "--master", store.master.url)
    assert verified.returncode == 0, verified.stderr
    missing = []

    def nothing_is_missing():
        missing[:] = everything_is_there(prometheus)
        return not missing

    try:
        until("every query has data", PATIENCE_S, nothing_is_missing, pause=1)
    except AssertionError:
        raise AssertionError("no data:\n" + "\n".join(missing)) from None
    failed = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"] if rule["health"] != "ok"]
    assert not failed, failed
    # With the durations that are shipped nothing fires. What a moment's hiccup has begun ends again, while what is wrong for
    # good stays, and would fire in the end.
    staying = of_the_moment(prometheus) - OF_THE_MACHINE - {"BazarWatchdog"}
    assert staying

    def nothing_stays():
        staying.intersection_update(begun(watch, prometheus))
        return not staying

    try:
        until("nothing stays", PATIENCE_S, nothing_stays)
    except AssertionError:
        raise AssertionError(f"a store that is well sets off {sorted(staying)}") from None
    fired = set(watch.seen) - OF_THE_MACHINE
    assert fired == {"BazarWatchdog"}, f"a store that is well has set off {sorted(fired)}"
    say(f"a store that is well sets off nothing; every series of the rules and every query of the dashboards has data")


def the_doors(store, prometheus, watch):
    wrong = {"Authorization": "Bearer " + "0" * 32}
    customer, other = store.frontends

    def guess():
        for _ in range(8):
            http("GET", f"{customer.url}/admin/api/books", headers=wrong)

    def forge():
        for _ in range(4):
            http("GET", f"{store.master.url}/status", headers=wrong)

    def flood():
        flood = ["--connections", "64", "--duration", "1s", "--warm-up", "0s", "--buy", "0.5", "--allow-restock"]
        store.run("load", other.url, *flood)

    for family, cause, attack in [
        ("bazar_admin_attempts_total", "guessed admin tokens", guess),
        ("bazar_internal_refused_total", "unsigned internal requests", forge),
        ("bazar_rate_limited_total", "a flood from one client", flood),
    ]:
        assert prometheus.query(family), family
        watch.expect(cause, ATTACKS[family], meanwhile=attack, seconds=90)


def redis_lies_and_goes(store, watch):
    def poison():
        for book in MANY:
            store.ask_redis("SET", f"info:{book}", "not what a frontend wrote" * 4)
        for topic in TOPICS:
            store.ask_redis("SET", f"search:{topic}", "nor this" * 9)

    watch.expect("a poisoned Redis", "BazarRedisForeignEntries", meanwhile=poison)
    store.redis.kill()
    watch.expect("Redis killed", "BazarRedisDown")
    store.redis.spawn()


def stock(store, books, copies):
    """Imports books of so many copies."""
    file = store.dir / "books.csv"
    lines = [f"{book},Book {book},{TOPICS[book % len(TOPICS)]},{copies},9.50" for book in books]
    file.write_text("\n".join(["id,title,topic,stock,price", *lines, ""]))
    imported = store.run("import", file, "--master", store.master.url)
    assert imported.returncode == 0, imported.stderr


def buy(frontend, book):
    body = json.dumps({"book_id": book}).encode()
    http("POST", f"{frontend.url}/order-service/purchase", body, {"Content-Type": "application/json"})


def sold_out(store, watch):
    stock(store, SINGLE, 1)

    def buy_all():
        for book in SINGLE:
            buy(store.frontends[0], book)

    watch.expect("last copies sold", "BazarStockOuts", meanwhile=buy_all)


def order_nodes_die(store, watch):
    for node in store.orders:
        node.kill()
    watch.expect("both order nodes killed", "BazarPoolEmpty", "BazarServiceDown", "BazarTargetDown", "BazarNodeOutOfBalance")

    def fail():
        # Each waits a while for an order node.
        with concurrent.futures.ThreadPoolExecutor(64) as buyers:
            list(buyers.map(buy, store.frontends * 32, MANY))

    # More than one in seventy of all that there were.
    watch.expect("purchases that fail", "BazarErrorBudgetBurnsFast", meanwhile=fail, seconds=90)
    for node in store.orders:
        node.start()


def a_frontend_hangs(store, watch):
    frontend = store.frontends[1]

    def hang():
        frontend.pause()
        time.sleep(1.5)
        frontend.resume()
        time.sleep(1)

    watch.expect("a frontend that hangs again and again", "BazarHolderFlapping", meanwhile=hang, seconds=60)


def another_protocol(store, watch):
    stranger = store.frontend("frontend-ttl", "--unsafe-coherence", "ttl")
    watch.expect("a frontend of another protocol", "BazarLeaseProtocolRefused")
    stranger.kill()
    store.roles.remove(stranger)


def the_replica_flaps(store, prometheus, watch):
    def again():
        store.replica.kill()
        store.replica.start()
        # Each time the master lets it rest for twice as long, a minute at the most.
        until("the replica is in sync", 60 + PATIENCE_S, lambda: prometheus.query("bazar_in_sync_replicas == 1"))

    store.replica.kill()
    watch.expect("the replica killed", "BazarNoReplicaInSync", "BazarReplicaOutOfSync")
    store.replica.start()
    until("the replica is in sync", PATIENCE_S, lambda: prometheus.query("bazar_in_sync_replicas == 1"))
    watch.expect("the replica killed again and again", "BazarReplicaFlapping", "BazarRestartLoop", meanwhile=again, seconds=150)


def the_replica_is_wrong(store, prometheus, watch):
    store.replica.stop()
    [file] = (store.dir / "replica").glob("*/bazar.db")
    with sqlite3.connect(file) as database:
        assert database.execute("UPDATE books SET stock = stock + 1 WHERE id = ?", [MANY[0]]).rowcount == 1
    database.close()
    store.replica.start()
    until("the replica is in sync", PATIENCE_S, lambda: prometheus.query("bazar_in_sync_replicas == 1"))
    verified = store.run("catalog", "verify", "--master", store.master.url)
    assert verified.returncode == 1, f"a wrong row was not found: {verified.stdout} {verified.stderr}"
    watch.expect("a row of the replica changed by hand", "BazarReplicaDiverged", "BazarVerifyDifferent")


def the_disk_fails(store, watch):
    store.faults.with_suffix(".new").write_text("write 5\n")
    store.faults.with_suffix(".new").rename(store.faults)
    watch.expect("the master's disk fails", "BazarDiskErrors")
    store.faults.unlink()


def the_master_dies(store, prometheus, watch):
    def read():
        # Purchases that wait have taken all connections of the load.
        for book in MANY:
            http("GET", f"{store.frontends[0].url}/catalog-service/info/{book}")

    if store.master.child.poll() is None:
        store.master.kill()
    watch.expect("the master killed", "BazarNoMaster", "BazarStaleAnswers", "BazarFrontendWithoutLease", "BazarReplicaNotFollowing", seconds=40, meanwhile=read)
    store.master.start()

    def again():
        epoch = max(float(s["value"][1]) for s in prometheus.query("bazar_epoch and on (instance) bazar_log_seq"))
        store.master.kill()
        store.master.start()
        until("the replica knows the new epoch", PATIENCE_S, lambda: prometheus.query(f'min(bazar_epoch and on (instance) bazar_log_seq) > {epoch}'))

    watch.expect("the master killed again and again", "BazarMasterFlapping", meanwhile=again, seconds=90)


def two_masters(store, watch):
    store.replica.stop()
    heir = Role(store, "heir", "catalog-replica", "catalog", "--master", "--force", "--listen", "127.0.0.1:0", "--data", store.dir / "replica")
    store.publish_targets()
    watch.expect("a replica promoted by force while the master lives", "BazarTwoMasters")
    # Whoever has met both tells each of the other.
    store.frontend("frontend-3", masters=f"{heir.url},{store.master.url}")
    store.publish_targets()
    watch.expect("the old one hears of it", "BazarMasterDeposed")


def prometheus_is_told_nonsense(prometheus, watch):
    broken = {"groups": [{"name": "broken", "rules": [{"record": "broken", "expr": 'up * on (job) up'}]}]}
    (prometheus.rules / "broken.yml").write_text(yaml.safe_dump(broken))
    prometheus.reload()
    watch.expect("a rule that cannot be evaluated", "BazarRulesFail")


def main(binary):
    directory = temporary("observability/live")
    try:
        store = Store(binary, directory)
        prometheus = Prometheus(store)
        watch = Watch(prometheus)
        stock(store, MANY, 1_000_000)
        load = Process("load", [binary, "load", ",".join(f.url for f in store.frontends), "--connections", "16", "--rate", "100", "--buy", "0.2", "--searches", "0.3", "--zipf", "0", "--duration", "10m", "--warm-up", "0s", "--allow-restock"], directory / "load.log", store.env)
        load.spawn()
        well_and_watched(store, prometheus, watch)
        prometheus.lose_patience()
        another_protocol(store, watch)
        redis_lies_and_goes(store, watch)
        sold_out(store, watch)
        the_doors(store, prometheus, watch)
        order_nodes_die(store, watch)
        the_replica_flaps(store, prometheus, watch)
        the_replica_is_wrong(store, prometheus, watch)
        a_frontend_hangs(store, watch)
        the_disk_fails(store, watch)
        the_master_dies(store, prometheus, watch)
        two_masters(store, watch)
        prometheus_is_told_nonsense(prometheus, watch)
        for name, summary in sorted(watch.seen.items()):
            print(f"        {name}: {summary}")
            assert "<no value>" not in summary and "<error" not in summary, summary
        alerts = {rule["alert"] for file in (HERE / "rules").glob("*.yml") for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"] if "alert" in rule}
        missed = alerts - set(watch.seen) - set(NOT_HERE)
        assert not missed, sorted(missed)
        say(f"{len(watch.seen)} of {len(alerts)} alerts were seen to fire; of the others, each has its unit test: {', '.join(sorted(alerts - set(watch.seen)))}")
    finally:
        Process.stop_all()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
