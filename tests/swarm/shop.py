"""A client of the store, over its public address: one connection for each request, no retry of its own."""

import http.client
import json
import time
import uuid
from typing import NamedTuple
from urllib.parse import urlsplit

# Longer than nginx and the roles together may take, so that it is them who give up first.
DEADLINE_S = 40

# With a 429: longer than all look-ups of a run take at the rate that nginx allows.
PATIENCE_S = 60


class Reply(NamedTuple):
    """An answer, and between which moments of the monotonic clock (ns) it was got."""

    status: int
    headers: dict
    body: object
    begun: int
    ended: int

    @property
    def flagged(self):
        """Whether the answer says that it may be stale."""
        return self.headers.get("warning", "").startswith("110")

    @property
    def code(self):
        return self.body.get("code") if isinstance(self.body, dict) else None


class NoReply(Exception):
    """The request got no (whole) answer."""

    def __init__(self, cause, begun):
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.cause = type(cause).__name__
        self.begun = begun
        self.ended = time.monotonic_ns()


class Shop:
    def __init__(self, url):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80

    def ask(self, method, path, body=None, headers=None, deadline_s=DEADLINE_S):
        begun = time.monotonic_ns()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=deadline_s)
        try:
            sent = {"Connection": "close", **(headers or {})}
            data = None
            if body is not None:
                data = json.dumps(body).encode()
                sent["Content-Type"] = "application/json"
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            raw = response.read()
            ended = time.monotonic_ns()
            try:
                value = json.loads(raw)
            except ValueError:
                value = raw.decode(errors="replace")
            names = {name.lower(): text for name, text in response.getheaders()}
            return Reply(response.status, names, value, begun, ended)
        except (OSError, http.client.HTTPException) as cause:
            raise NoReply(cause, begun) from cause
        finally:
            connection.close()

    def info(self, book):
        return self.ask("GET", f"/catalog-service/info/{book}")

    def search(self, topic):
        return self.ask("GET", f"/catalog-service/search/{topic}")

    def order(self, order):
        """Who looks thousands of them up at once is told by nginx to come back later, and does."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            reply = self.ask("GET", f"/order-service/orders/{order}")
            if reply.status != 429 or time.monotonic() > deadline:
                return reply
            time.sleep(float(reply.headers.get("retry-after", 1)))

    def buy(self, book, key=None):
        return self.ask("POST", "/order-service/purchase", {"book_id": book}, {"Idempotency-Key": key or new_key()})


def new_key():
    return uuid.uuid4().hex


def until(seconds, attempt):
    """Repeats `attempt` until it returns something other than None; raises its last complaint when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            result, why = attempt(), "no result"
        except (NoReply, Wrong) as complaint:
            result, why = None, complaint
        if result is not None:
            return result
        if time.monotonic() > deadline:
            raise Wrong(f"not within {seconds} s: {why}")
        time.sleep(0.1)


class Wrong(Exception):
    """The store did something that it must not do, or not what it must."""
