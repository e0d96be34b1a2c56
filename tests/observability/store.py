"""A store of real processes on the loopback, and a Prometheus that scrapes it by the configuration that is shipped."""

import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).parents[2]
HERE = ROOT / "deploy/observability"
PATIENCE_S = 20


def until(what, seconds, attempt, pause=0.1):
    """The one way to wait: repeats `attempt` until it gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = attempt()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def http(method, url, body=None, headers=(), seconds=10):
    """Status and text of an answer; 0 if there was none."""
    request = urllib.request.Request(url, body, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(errors="replace")
    except (OSError, ValueError) as failed:
        return 0, str(failed)


class Process:
    """A child that does not outlive this program's end by stop_all."""

    all = []

    def __init__(self, name, args, log, env=None):
        self.name, self.args, self.env, self.log = name, [str(arg) for arg in args], env, log
        self.child = None
        Process.all.append(self)

    def spawn(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self.env, text=True)

    def signal(self, number):
        self.child.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.child.kill()
        self.child.wait()

    def stop(self):
        self.child.terminate()
        self.child.wait(PATIENCE_S)

    @classmethod
    def stop_all(cls):
        for process in cls.all:
            if process.child and process.child.poll() is None:
                process.kill()


class Role(Process):
    """A role of the store. It keeps its addresses when it is started again."""

    def __init__(self, store, name, service, *args, **env):
        super().__init__(name, [store.binary, *args], store.dir / f"{name}.log", {**store.env, **env})
        self.service, self.urls = service, []
        self.start()
        store.roles.append(self)

    def start(self):
        self.spawn()
        line = []
        reader = threading.Thread(target=lambda: line.append(self.child.stdout.readline()), daemon=True)
        reader.start()
        reader.join(PATIENCE_S)
        ready = re.search(r" is ready at (.+)", line[0] if line else "")
        if not ready:
            raise AssertionError(f"{self.name} is not ready: {line} {self.log.read_text()[-2000:]}")
        self.urls = ready[1].split()
        addresses = iter(url.removeprefix("http://") for url in self.urls)
        for place, arg in enumerate(self.args):
            if arg in ("--listen", "--internal-listen"):
                self.args[place + 1] = next(addresses)

    @property
    def url(self):
        return self.urls[0]

    @property
    def internal(self):
        return self.urls[-1]


class Store:
    """A master, a replica, two order nodes, two frontends, and Redis."""

    def __init__(self, binary, directory):
        self.binary, self.dir, self.roles = binary, directory, []
        self.metrics_token, self.admin_token = secrets.token_hex(16), secrets.token_hex(16)
        self.metrics_token_file = directory / "metrics-token"
        self.metrics_token_file.write_text(self.metrics_token)
        quiet = {name: value for name, value in os.environ.items() if not name.startswith("BAZAR_") and name != "RUST_LOG"}
        self.env = {**quiet, "BAZAR_INTERNAL_TOKEN": secrets.token_hex(16), "BAZAR_METRICS_TOKEN_FILE": str(self.metrics_token_file)}
        self.redis = self.start_redis()
        self.faults = directory / "master.faults"
        any_port = "127.0.0.1:0"
        self.master = Role(self, "master", "catalog-master", "catalog", "--master", "--listen", any_port, "--data", directory / "master",
                           LD_PRELOAD=str(self.faulty_disk()), BAZAR_TEST_FAULTS=str(self.faults))
        masters = self.master.url
        self.replica = Role(self, "replica", "catalog-replica", "catalog", "--replica", "--listen", any_port, "--data", directory / "replica", "--master-url", masters)
        self.orders = [Role(self, f"order-{n}", "order", "order", "--listen", any_port, "--master", masters) for n in (1, 2)]
        # Who comes over the loopback is a customer like any other; what the load asks for stays below the limit.
        limits = {"BAZAR_UNLIMITED_CLIENT": "none", "BAZAR_RATE_LIMIT": "200/s", "BAZAR_PURCHASE_RATE_LIMIT": "40/s"}
        self.frontends = [self.frontend(f"frontend-{n}", BAZAR_ADMIN_TOKEN=self.admin_token, **limits) for n in (1, 2)]
        self.targets = directory / "targets.json"
        self.publish_targets()

    def frontend(self, name, *more, masters=None, **env):
        """One more frontend; Prometheus does not know of it yet."""
        orders = ",".join(order.url for order in self.orders)
        return Role(self, name, "frontend", "frontend", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--master", masters or self.master.url,
                    "--replica", self.replica.url, "--order", orders, "--redis", f"redis://127.0.0.1:{self.redis_port}", *more, **env)

    def start_redis(self):
        self.redis_port = free_port()
        redis = Process("redis", ["redis-server", "--port", self.redis_port, "--bind", "127.0.0.1", "--save", "", "--dir", self.dir], self.dir / "redis.log")
        redis.spawn()
        until("Redis answers", PATIENCE_S, lambda: self.ask_redis("PING"))
        return redis

    def ask_redis(self, *words):
        """One command; None without Redis."""
        encoded = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in (w if isinstance(w, bytes) else w.encode() for w in words))
        try:
            with socket.create_connection(("127.0.0.1", self.redis_port), 2) as redis:
                redis.sendall(b"*%d\r\n" % len(words) + encoded)
                return redis.recv(1 << 16)
        except OSError:
            return None

    def faulty_disk(self):
        """The disk of tests/store, which fails on demand."""
        library = self.dir / "faulty_disk.so"
        source = ROOT / "tests/store/harness/faulty_disk.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        return library

    def publish_targets(self):
        groups = [{"targets": [role.internal.removeprefix("http://")], "labels": {"service": role.service}} for role in self.roles]
        new = self.targets.with_suffix(".new")
        new.write_text(json.dumps(groups))
        new.rename(self.targets)

    def run(self, *args, seconds=60):
        """A command of bazar, to its end."""
        return subprocess.run([self.binary, *map(str, args)], env=self.env, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)


class Prometheus(Process):
    """Debian's, with the rules and the configuration of deploy/observability; only it scrapes and evaluates every second.
    `lose_patience` takes the rest of its patience away: what lasts a second counts as lasting from then on."""

    def __init__(self, store):
        rules = store.dir / "rules"
        rules.mkdir()
        self.rules = rules
        self.write_rules("interval")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = (HERE / "prometheus-up.yml").read_text()
        for shipped, here in [
            ("15s", "1s"), ("scrape_timeout: 5s", "scrape_timeout: 900ms"), ("refresh_interval: 5s", "refresh_interval: 1s"),
            ("rules/*.yml", f"{rules}/*.yml"), ("../../metrics-token", str(store.metrics_token_file)),
            ("../../bazar-data/TARGETS.json", str(store.targets)), ("127.0.0.1:9090", f"127.0.0.1:{port}"),
        ]:
            assert shipped in config, shipped
            config = config.replace(shipped, here)
        file = store.dir / "prometheus.yml"
        file.write_text(config)
        super().__init__("prometheus", ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={store.dir / 'tsdb'}",
                                        f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle", "--log.level=warn"], store.dir / "prometheus.log")
        self.spawn()
        until("Prometheus answers", PATIENCE_S, lambda: http("GET", f"{self.url}/-/ready")[0] == 200)

    def write_rules(self, *hurried):
        """As they are shipped, but for these durations, which are a second."""
        for file in (HERE / "rules").glob("*.yml"):
            text = re.sub(rf"^(\s+)({'|'.join(hurried)}): \w+$", r"\1\2: 1s", file.read_text(), flags=re.M)
            (self.rules / file.name).write_text(text)

    def lose_patience(self):
        self.write_rules("for", "interval")
        self.reload()

    def reload(self):
        status, text = http("POST", f"{self.url}/-/reload")
        assert status == 200, text

    def ask(self, path, **parameters):
        status, text = http("GET", f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        assert status == 200, f"{path} {parameters}: {status} {text}"
        return json.loads(text)["data"]

    def query(self, expr):
        return self.ask("query", query=expr)["result"]

    def active(self):
        """Alerts that fire, or will if it goes on like this."""
        return self.ask("alerts")["alerts"]

    def firing(self):
        """Alerts that fire, by name."""
        return {alert["labels"]["alertname"]: alert for alert in self.active() if alert["state"] == "firing"}


def temporary(name):
    """An empty directory for a run, on the disk of the target."""
    directory = ROOT / "target" / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
