"""The store as a bench in Python runs it: started as a user would start it, filled by `bazar import`, and measured with
wrk. For benches/ab, benches/balance and benches/promises. Nothing here speaks an internal route, so that binaries of
any age can be measured."""

import argparse
import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "target/release/bazar"
LOOPBACK = "127.0.0.1:0"
TOKEN = "0123456789abcdef0123456789abcdef"

# The largest stock that a book may have: more than anybody buys.
STOCK = 1_000_000_000

# With it a frontend keeps nothing in its process, so each read goes to a node.
NO_LOCAL_CACHE = {"BAZAR_TEST_NO_LOCAL_CACHE": "1"}

BOOKS = 1_000
TOPICS = 100

# From the start of a frontend to its lease; a start on the data of an earlier life waits for that one's leases.
READY_WITHIN_S = 20
STOPPED_WITHIN_S = 20


def check(binary):
    if not pathlib.Path(binary).exists():
        sys.exit(f"{binary} is not there: cargo build --release")


def some_of(known):
    """For argparse: some of these names, with commas between them."""

    def parse(text):
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return names

    return parse


@contextlib.contextmanager
def directory():
    """For data: on a real disk, because a purchase costs an fsync. Gone afterwards, also after SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", "/var/tmp")) as path:
        yield pathlib.Path(path)


def get(url):
    """The headers and the body of a read, which must be a success."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.headers, answer.read()


class Processes:
    """What one store consists of: it is ended as one, and its use of the processors is counted as one."""

    def __init__(self, binary, directory, env=()):
        self.binary, self.directory, self.processes = str(binary), directory, []
        self.env = dict(os.environ, BAZAR_INTERNAL_TOKEN=TOKEN, RUST_LOG="warn") | dict(env)
        directory.mkdir(parents=True, exist_ok=True)

    def start(self, *args, env=()):
        """A role, or `up`, once it is ready: its process, and where it listens."""
        command = [self.binary, *map(str, args)]
        with (self.directory / "log").open("a") as log:
            process = subprocess.Popen(
                command, env=self.env | dict(env), stdout=subprocess.PIPE, stderr=log, text=True)
        self.processes.append(process)
        line = process.stdout.readline()
        ready = re.search(r"is ready at (\S+)", line)
        if not ready:
            last = (self.directory / "log").read_text()[-2_000:]
            sys.exit(f"{shlex.join(command)}: not ready, but {line!r}; {last}")
        return process, ready[1]

    def up(self, data, *flags, env=()):
        """A whole store in one process, as its first frontend's address."""
        _, url = self.start("up", "--listen", LOOPBACK, "--data", data, *flags, env=env)
        wait_for_lease(url)
        return url

    def frontend(self, *flags, env=()):
        process, url = self.start("frontend", "--listen", LOOPBACK, "--internal-listen", LOOPBACK, *flags, env=env)
        wait_for_lease(url)
        return process, url

    def fill(self, *where):
        """Puts BOOKS books on the shelf, of TOPICS topics, their numbers from 1 on."""
        path = self.directory / "books.csv"
        lines = [f"{n},Book number {n},topic-{n % TOPICS},{STOCK},10" for n in range(1, BOOKS + 1)]
        path.write_text("\n".join(["id,title,topic,stock,price", *lines]) + "\n")
        done = subprocess.run(
            [self.binary, "import", str(path), *map(str, where)], capture_output=True, text=True, env=self.env,
            timeout=60)
        if done.returncode:
            sys.exit(f"bazar import: {done.stdout}{done.stderr}")

    def stop_one(self, process):
        self.processes.remove(process)
        end([process])

    def stop(self):
        end(self.processes)
        self.processes = []

    def cpu_s(self):
        """Seconds that the store has spent on the processors, to 10 ms."""
        ticks = 0
        for process in self.processes:
            # Behind the name, which may hold anything but ends with the last bracket.
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def end(processes):
    """Those that were started last first, as `bazar up` does it."""
    for process in reversed(processes):
        process.send_signal(signal.SIGCONT)
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def wait_for_lease(url):
    deadline = time.monotonic() + READY_WITHIN_S
    while not holds_lease(url):
        if time.monotonic() > deadline:
            sys.exit(f"{url} has no lease after {READY_WITHIN_S} s")
        time.sleep(0.05)


def holds_lease(url):
    try:
        return b"lease: held" in get(f"{url}/readyz")[1]
    except urllib.error.HTTPError:
        return False


def wrk(url, seconds, connections, headers=(), script=None, env=()):
    """How many requests were answered, how many that is a second, and the median in milliseconds. Every answer must be
    a success. `script` is one of benches/compare/load."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for header in headers:
        command += ["-H", header]
    if script:
        command += ["-s", str(ROOT / "benches/compare/load" / script)]
    done = subprocess.run(
        [*command, url], capture_output=True, text=True, timeout=seconds + 30, env=dict(os.environ) | dict(env))
    if done.returncode or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit(f"{url}: {done.stdout}{done.stderr}")
    count = int(re.search(r"(\d+) requests in", done.stdout)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])
    value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", done.stdout).groups()
    return count, rate, float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def buy(url, seconds, connections, books=BOOKS):
    """The same for purchases of one copy each, of random ones of the first `books`."""
    return wrk(f"{url}/purchase", seconds, connections, script="purchases.lua", env={"BENCH_BOOKS": str(books)})


def read_each(url, seconds, connections, path, first, count):
    """The same for reads of `path` with each of `count` numbers from `first` on in the place of its @."""
    env = {"BENCH_PATH": path, "BENCH_FIRST_ID": str(first), "BENCH_IDS": str(count), "BENCH_FROM": "0"}
    return wrk(url, seconds, connections, script="infos.lua", env=env)
