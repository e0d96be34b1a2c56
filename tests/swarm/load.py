"""Load for a running store, and the judgement over what it saw. See scripts/test-swarm, which uses all of it.

    load.py first   --url URL --book 9              repeats a purchase until one succeeds; prints its order
    load.py walk    --url URL                       the walkthrough of the original store, on fresh data
    load.py counts  --url URL                       the counts of all books, as JSON
    load.py run     --url URL --history FILE ...    buys and reads until SIGTERM or for --seconds, then settles
    load.py judge   --url URL --history FILE --initial JSON   the whole history, and each order of it

`run` writes each operation into the history (see history.py). With --strict a request that fails is a failure of the
run; without it, what a client may get from a store in trouble (no connection, no answer, 503) is counted only. A
purchase without an answer is repeated with its key afterwards, until it is known what became of it.
"""

import argparse
import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import history
from shop import NoReply, Shop, Wrong, new_key, until

TOPICS = ["fiction", "science", "history", "programming", "education", "nature"]
# The books of one topic and their prices, in the seed.
EDUCATION = [(9, 28), (10, 32)]


def expect(condition, sentence):
    if not condition:
        raise Wrong(sentence)


# ------------------------------------------------------------------------------------------------ small commands


def first(shop, arguments):
    """The first purchase that succeeds. One key for all attempts: it must be bought once, whatever happens."""
    key = new_key()

    def attempt():
        reply = shop.buy(arguments.book, key)
        expect(reply.status == 200, f"{reply.status} {reply.body}")
        return reply

    print(until(arguments.seconds, attempt).body["orderId"])


def walk(shop, _):
    """Search, info, purchase and what both show afterwards, as the original's README walks through them."""
    for topic, number in [("education", 2), ("nature", 1), ("no such topic".replace(" ", "%20"), 0)]:
        reply = shop.search(topic)
        expect(reply.status == 200, f"search {topic}: {reply.status} {reply.body}")
        expect(len(reply.body["items"]) == number, f"search {topic}: {reply.body}")
    shown = [(item["id"], item["bookCost"]) for item in shop.search("education").body["items"]]
    expect(shown == EDUCATION, f"education: {shown}")
    before = shop.info(9).body["numberOfItems"]
    expect(shop.info(99).status == 404, "book 99 exists")

    key = new_key()
    bought = shop.buy(9, key)
    expect(bought.status == 200, f"purchase: {bought.status} {bought.body}")
    expect(bought.body["remaining"] == before - 1, f"purchase: {before} copies, then {bought.body}")
    expect(bought.body["total"] == 28, f"purchase: {bought.body}")
    again = shop.buy(9, key)
    expect(again.body["orderId"] == bought.body["orderId"], f"the same key bought twice: {bought.body} {again.body}")
    expect(shop.info(9).body["numberOfItems"] == before - 1, "info shows the old count")
    search = {i["id"]: i["numberOfItems"] for i in shop.search("education").body["items"]}
    expect(search[9] == before - 1, "search shows the old count")
    order = shop.order(bought.body["orderId"])
    expect(order.status == 200 and order.body["bookId"] == 9, f"order: {order.status} {order.body}")
    cheap = shop.ask("POST", "/order-service/purchase", {"id": 9, "orderCost": 10})
    expect(cheap.status == 422 and cheap.code == "underpaid", f"underpaid: {cheap.status} {cheap.body}")
    print(bought.body["orderId"])


def counts(shop, _):
    print(json.dumps(all_counts(shop), sort_keys=True))


def all_counts(shop):
    """Every book's count, each from an answer that is not flagged."""

    def topic_counts(topic):
        def attempt():
            reply = shop.search(topic)
            expect(reply.status == 200 and not reply.flagged, f"search {topic}: {reply.status} {reply.body}")
            return {item["id"]: item["numberOfItems"] for item in reply.body["items"]}

        return until(60, attempt)

    result = {}
    for topic in TOPICS:
        result.update(topic_counts(topic))
    return result


# ------------------------------------------------------------------------------------------------------ the load


class Load:
    """Clients that buy and read, each in a thread of its own, until `stop` is set."""

    def __init__(self, shop, arguments):
        self.shop = shop
        self.strict = arguments.strict
        self.phase = arguments.phase
        self.books = [int(book) for book in arguments.books.split(",")]
        self.topics = arguments.topics.split(",")
        self.buys = arguments.buys
        self.pause_s = arguments.pause_ms / 1000
        self.settle_s = arguments.settle_s
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.file = open(arguments.history, "a", encoding="utf-8")
        self.unknown = []
        # What was asked, what a store in trouble may answer, what no store may.
        self.asked = {"buy": 0, "read": 0}
        self.longest_ms = {"buy": 0.0, "read": 0.0}
        self.flagged = self.hits = self.reads_ok = 0
        self.failed = []
        self.causes = Counter()
        self.wrong = []

    def client(self, number):
        random_ = random.Random(f"{self.phase} {number}")
        while not self.stop.is_set():
            book = random_.choice(self.books)
            if random_.random() < self.buys:
                self.buy(book, new_key())
            elif random_.random() < 0.5:
                self.read(lambda book=book: self.shop.info(book), f"info {book}")
            else:
                topic = random_.choice(self.topics)
                self.read(lambda topic=topic: self.shop.search(topic), f"search {topic}")
            self.stop.wait(random_.uniform(0, 2 * self.pause_s))

    def buy(self, book, key):
        try:
            reply = self.shop.buy(book, key)
        except NoReply as none:
            self.note("buy", none)
            self.fail("purchase", none.cause, f"buy {book}: {none}")
            with self.lock:
                self.unknown.append((book, key, none.begun))
            return
        self.note("buy", reply)
        if reply.status == 503:
            self.fail("purchase", "503", f"buy {book}: 503 {reply.body}")
            with self.lock:
                self.unknown.append((book, key, reply.begun))
        else:
            self.bought(book, reply, reply.begun)

    def bought(self, book, reply, begun):
        times = {"book": book, "begun": begun, "ended": reply.ended, "phase": self.phase}
        if reply.status == 200:
            body = reply.body
            if body["bookId"] != book or body["quantity"] != 1:
                self.complain(f"buy {book}: another book: {body}")
            self.write({"kind": "buy", "order": body["orderId"], "remaining": body["remaining"],
                        "total": body["total"], **times})
        elif reply.status == 409 and reply.code == "out_of_stock":
            self.write({"kind": "refuse", **times})
        else:
            self.complain(f"buy {book}: {reply.status} {reply.body}")

    def read(self, ask, what):
        try:
            reply = ask()
        except NoReply as none:
            self.note("read", none)
            self.fail("read", none.cause, f"{what}: {none}")
            return
        self.note("read", reply)
        if reply.status == 503:
            self.fail("read", "503", f"{what}: 503 {reply.body}")
            return
        if reply.status != 200:
            self.complain(f"{what}: {reply.status} {reply.body}")
            return
        with self.lock:
            self.flagged += reply.flagged
            self.reads_ok += 1
            self.hits += reply.headers.get("x-cache") == "HIT"
        for item in reply.body.get("items", [reply.body]):
            self.write({"kind": "read", "book": item["id"], "count": item["numberOfItems"], "flagged": reply.flagged,
                        "begun": reply.begun, "ended": reply.ended, "phase": self.phase})

    def note(self, kind, reply):
        took = (reply.ended - reply.begun) / 1e6
        with self.lock:
            self.asked[kind] += 1
            self.longest_ms[kind] = max(self.longest_ms[kind], took)

    def write(self, operation):
        line = json.dumps(operation) + "\n"
        with self.lock:
            self.file.write(line)

    def fail(self, kind, cause, sentence):
        with self.lock:
            self.causes[f"{kind} {cause}"] += 1
            self.failed.append(f"{time.strftime('%H:%M:%S')} {sentence}")

    def complain(self, sentence):
        with self.lock:
            self.wrong.append(f"{time.strftime('%H:%M:%S')} {sentence}")

    def settle(self):
        """Finds out what became of each purchase without an answer."""

        def one(unknown):
            book, key, begun = unknown

            def attempt():
                reply = self.shop.buy(book, key)
                expect(reply.status != 503, f"503 {reply.body}")
                return reply

            try:
                self.bought(book, until(self.settle_s, attempt), begun)
            except Wrong as wrong:
                self.complain(f"buy {book} with key {key} cannot be settled: {wrong}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, self.unknown))

    def report(self, seconds):
        asked = sum(self.asked.values())
        hits = 100 * self.hits / max(1, self.reads_ok)
        print(f"{self.phase}: {asked} requests in {seconds:.0f} s ({self.asked['buy']} purchases), "
              f"{len(self.failed)} failed, {len(self.wrong)} wrong; "
              f"longest purchase {self.longest_ms['buy']:.0f} ms, longest read {self.longest_ms['read']:.0f} ms; "
              f"{hits:.0f} % of the reads were hits, {self.flagged} said that they may be stale; "
              f"{len(self.unknown)} purchases settled later", flush=True)
        if self.causes:
            print("  failed: " + ", ".join(f"{n} x {cause}" for cause, n in self.causes.most_common()), flush=True)
        bad = self.wrong + (self.failed if self.strict else [])
        for sentence in bad[:history.MAX_SHOWN]:
            print(f"  {sentence}", flush=True)
        if self.reads_ok == 0 or self.asked["buy"] == 0:
            print("  nothing was read or nothing was bought", flush=True)
            return 1
        return 1 if bad else 0


def run(shop, arguments):
    load = Load(shop, arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: load.stop.set())
    begun = time.monotonic()
    clients = [threading.Thread(target=load.client, args=(n,)) for n in range(arguments.clients)]
    for client in clients:
        client.start()
    load.stop.wait(arguments.seconds)
    load.stop.set()
    for client in clients:
        client.join()
    seconds = time.monotonic() - begun
    load.settle()
    load.file.close()
    return load.report(seconds)


# ------------------------------------------------------------------------------------------------- the judgement


def judge(shop, arguments):
    operations = history.load(arguments.history)
    final = all_counts(shop)
    begun = time.monotonic()
    problems = history.check(operations, history.counts(arguments.initial), final)
    took = time.monotonic() - begun
    bought = [operation for operation in operations if operation["kind"] == "buy"]

    def look_up(operation):
        def attempt():
            reply = shop.order(operation["order"])
            expect(reply.status != 503, f"503 {reply.body}")
            return reply

        try:
            reply = until(30, attempt)
        except Wrong as wrong:
            return f"order {operation['order']}: {wrong}"
        body = reply.body
        if reply.status != 200:
            return f"order {operation['order']}: {reply.status} {body}"
        if (body["bookId"], body["quantity"], body["total"]) != (operation["book"], 1, operation["total"]):
            return f"order {operation['order']}: {operation} became {body}"
        return None

    with ThreadPoolExecutor(8) as pool:
        problems += filter(None, pool.map(look_up, bought))
    for problem in problems[:history.MAX_SHOWN]:
        print(f"  {problem}")
    reads = sum(operation["kind"] == "read" for operation in operations)
    print(f"judged {len(bought)} purchases and {reads} reads in {took:.1f} s, looked each order up: "
          f"{len(problems)} problems")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in {"first": first, "walk": walk, "counts": counts, "run": run, "judge": judge}.items():
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("--url", default="http://127.0.0.1:8083")
        command.add_argument("--seconds", type=float, default=None if name == "run" else 60)
        if name == "first":
            command.add_argument("--book", type=int, default=9)
        if name in ("run", "judge"):
            command.add_argument("--history", required=True)
        if name == "judge":
            command.add_argument("--initial", required=True)
        if name == "run":
            command.add_argument("--phase", default="load")
            command.add_argument("--strict", action="store_true")
            command.add_argument("--clients", type=int, default=8)
            command.add_argument("--books", default="7,9,11")
            command.add_argument("--topics", default="programming,education,nature")
            command.add_argument("--buys", type=float, default=0.3)
            command.add_argument("--pause-ms", type=float, default=20)
            command.add_argument("--settle-s", type=float, default=60)
    arguments = parser.parse_args()
    try:
        return arguments.function(Shop(arguments.url), arguments) or 0
    except (Wrong, NoReply) as wrong:
        print(f"{arguments.command}: {wrong}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
