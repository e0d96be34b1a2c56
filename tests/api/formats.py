"""Values and bodies that Schemathesis cannot make from a pattern alone."""

import datetime
import gzip
import itertools
import json
import re

import schemathesis
from hypothesis import strategies as st

# In a header it would draw letters and digits only. 19 digits always fit 64 bits; the named ones are versions
# that a new store has.
number = st.integers(0, 10**19 - 1)
version = st.builds("{}.{}".format, number, number)
schemathesis.openapi.format("version", st.one_of(st.sampled_from(["0.0", "1.0", "1.1"]), version))

# Its classes of letters are not quite Unicode's, so that it would miscount the words.
word = st.one_of(
    st.sampled_from(["project", "time", "Gr*", "crème", "海", "OR", "NEAR/2"]),
    st.text(st.characters(categories=["Lu", "Ll", "Lo", "Nd"]), min_size=1, max_size=8),
)
gap = st.sampled_from([" ", "  ", " - ", '"', "*", "(", "%", "😀"])
words = st.lists(st.tuples(word, gap), min_size=1, max_size=15).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
schemathesis.openapi.format("words", words)

# Whatever it is, so that changes come about; and what hardly any book is.
tag = st.text("0123456789abcdef", min_size=32, max_size=32).map('"{}"'.format)
schemathesis.openapi.format("seen", st.one_of(st.just("*"), tag))

# No day that a month does not have.
times = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31))
forms = st.sampled_from(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"])
schemathesis.openapi.format("utc", st.builds(datetime.datetime.strftime, times, forms))

# Lines to import: books, and now and then something else.
text = st.text(st.characters(categories=["Lu", "Ll", "Nd"]), min_size=1, max_size=20)
stock = st.integers(-1, 1000)
cents = st.integers(0, 10**6)
rows = st.lists(st.tuples(text, text, stock, cents), min_size=1, max_size=5)


def csv(rows):
    lines = [f'"{title}",{topic},{stock},{cents // 100}.{cents % 100:02}\r\n' for title, topic, stock, cents in rows]
    return ("title,topic,stock,price\r\n" + "".join(lines)).encode()


def jsonl(rows):
    names = ("title", "topic", "stock", "price")
    lines = [dict(zip(names, (*row[:3], row[3] / 100), strict=True)) for row in rows]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


schemathesis.openapi.media_type("text/csv", rows.map(csv))
schemathesis.openapi.media_type("application/jsonl", rows.map(jsonl))
schemathesis.openapi.media_type("application/gzip", rows.map(csv).map(gzip.compress))

fresh = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """In chains, no key twice for a new book. The answer is that of the first time, as it has to be, but about a book
    that may be gone by now, which Schemathesis takes for one that was lost."""
    chained = case.meta is not None and case.meta.phase.name == "stateful"
    key = (case.headers or {}).get("Idempotency-Key")
    if chained and case.operation.label == "POST /admin/api/books" and re.fullmatch("[!-~]{1,255}", str(key)):
        case.headers["Idempotency-Key"] = f"new-{next(fresh)}"
