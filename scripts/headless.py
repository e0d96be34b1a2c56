"""A store of our own and a headless Chromium to look at it with, for scripts/screenshots and scripts/accessibility.

Both are children that are ended, by their id, when the block is left in which they were started.
"""

import base64
import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 30  # seconds for anything that takes less than one


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"not within {PATIENCE} s: {what}")
        time.sleep(0.05)


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


class Process:
    """A child that is ended, by its id, when the block is left."""

    def __init__(self, *args, **options):
        self.child = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()


class Browser:
    """A session of chromedriver (WebDriver, and Chromium's own commands by the same way)."""

    def __init__(self, driver):
        self.driver = driver
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]
        options = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments}}
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self.session = f"/session/{answer['sessionId']}"

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.driver + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)["value"]

    def devtools(self, command, **parameters):
        return self.call("POST", f"{self.session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def goto(self, url):
        self.call("POST", f"{self.session}/url", {"url": url})

    def run(self, script):
        return self.call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def url(self):
        return self.call("GET", f"{self.session}/url")

    def look(self, width, height, dark):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme, still])

    def run_async(self, script):
        """The script calls its last argument when it is done."""
        return self.call("POST", f"{self.session}/execute/async", {"script": script, "args": []})

    def shoot(self, file):
        # Pictures further down are loaded when they come near.
        self.run("for (const image of document.images) image.loading = 'eager'")
        loaded = "return [...document.images].every((image) => image.complete)"
        wait_until("the pictures of the page are there", lambda: self.run(loaded))
        picture = self.devtools("Page.captureScreenshot", format="png")["data"]
        file.write_bytes(base64.b64decode(picture))
        print(f"{file} {file.stat().st_size // 1024} KiB")

    def buy(self, shop, book):
        """Buys two copies, with the form as anybody does; returns the receipt's address."""
        self.goto(f"{shop}/books/{book}")
        self.run("document.querySelector('#quantity').value = 2; document.querySelector('form.buy button').click()")
        wait_until("the receipt is there", lambda: "/receipts/" in self.url())
        return self.url()

    def close(self):
        self.call("DELETE", self.session)


@contextlib.contextmanager
def browser():
    port = free_port()
    with Process("chromedriver", f"--port={port}"):
        driver = f"http://127.0.0.1:{port}"
        wait_until("chromedriver is ready", lambda: answers(f"{driver}/status"))
        started = Browser(driver)
        try:
            yield started
        finally:
            started.close()


@contextlib.contextmanager
def store(bazar, books=0):
    """The address of a store with the first 11 books, and so many more."""
    shop = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as directory:
        data, more = f"{directory}/data", f"{directory}/books.csv"
        with Process(bazar, "up", "--listen", shop.removeprefix("http://"), "--data", data):
            wait_until("the store is ready", lambda: answers(f"{shop}/readyz"))
            if books:
                subprocess.run([bazar, "generate", "--books", str(books), "--output", more], check=True)
                subprocess.run([bazar, "import", more, "--data", data], check=True, stderr=subprocess.DEVNULL)
            yield shop
