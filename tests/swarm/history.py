"""The history checker: was what the clients of a store saw possible for one store with one copy of each book's count?

Without a restock and with purchases of one copy each, the count of a book is a strictly falling sequence. So each
operation has exactly one place in it: a purchase that was told `remaining: 7` is the step from 8 to 7, a read that
showed 7 comes after that step and before the next. The history is linearizable if and only if no operation began after
one that comes behind it had already ended. One pass over the operations in the order of their places finds every such
pair, so a check of n operations costs n log n (the sorting). Books do not influence each other: linearizability is
local.

A read that said of itself that it may be stale (`Warning: 110`) only has to show a state that had begun to exist.

An operation is a dict with `kind` and, in nanoseconds of one monotonic clock, `begun` and `ended` as the client saw
them. `kind` is one of

    read    book, count, flagged (true if it said that it may be stale)
    buy     book, order, remaining: acknowledged, at once or, for one whose outcome was unknown, when its key was
            repeated (then `begun` is the first attempt's and `ended` the last one's)
    refuse  book: told "out of stock", which is a read of 0

A history file has one operation in a line, as JSON. Usage: history.py FILE INITIAL FINAL, both JSON: {"9": 15}.
"""

import json
import sys
from collections import defaultdict
from typing import NamedTuple

# So many complaints of one sort say enough.
MAX_SHOWN = 20


class Place(NamedTuple):
    """Where an operation stands in the life of its book; sorts into that order."""

    sold: int
    read: bool


def check(operations, initial, final=None):
    """What is wrong with the history, as a list of sentences; empty if nothing is.

    initial, final: book -> count before the first and after the last operation. With `final`, every copy that is gone
    must be somebody's purchase.
    """
    problems = []
    by_book = defaultdict(list)
    orders = {}
    for operation in operations:
        by_book[operation["book"]].append(operation)
        if operation["kind"] == "buy":
            other = orders.setdefault(operation["order"], operation)
            if other is not operation:
                problems.append(f"order {operation['order']} was given to two purchases: {other} and {operation}")
    for book, its in sorted(by_book.items()):
        if book not in initial:
            problems.append(f"book {book} has no initial count")
            continue
        problems += _check_book(book, its, initial[book])
    if final is not None:
        for book in sorted(initial):
            problems += _check_sum(book, by_book[book], initial[book], final.get(book))
    return problems


def _check_book(book, operations, initial):
    problems = []
    placed = []
    for operation in operations:
        if operation["begun"] > operation["ended"]:
            problems.append(f"book {book}: ended before it began: {operation}")
        if operation["kind"] == "buy":
            place = Place(initial - operation["remaining"], False)
        else:
            place = Place(initial - operation.get("count", 0), True)
        lowest = 1 if operation["kind"] == "buy" else 0
        if not lowest <= place.sold <= initial:
            problems.append(f"book {book}: no such state, of {initial} copies at first: {operation}")
            continue
        placed.append((place, operation))
    placed.sort(key=lambda pair: pair[0])

    # The latest begin among what comes before: of everything, and of the purchases alone.
    latest, latest_buy = None, None
    index = 0
    while index < len(placed):
        place = placed[index][0]
        group = []
        while index < len(placed) and placed[index][0] == place:
            group.append(placed[index][1])
            index += 1
        if not place.read and len(group) > 1:
            problems.append(f"book {book}: the same copy was sold {len(group)} times: {group}")
        for operation in group:
            before = latest_buy if operation.get("flagged") else latest
            if before is not None and operation["ended"] < before["begun"]:
                problems.append(_explain(book, operation, before))
        for operation in group:
            if operation.get("flagged"):
                continue
            if latest is None or operation["begun"] > latest["begun"]:
                latest = operation
            if operation["kind"] == "buy" and (latest_buy is None or operation["begun"] > latest_buy["begun"]):
                latest_buy = operation
    return problems


def _explain(book, later, earlier):
    """`later` stands behind `earlier` in the life of the book, but had ended before that one began."""
    gap = (earlier["begun"] - later["ended"]) / 1e6
    what = "showed a state of the past" if earlier["kind"] == "read" else "took a copy that was gone"
    return f"book {book}: {earlier} {what}: {gap:.3f} ms before it began, this had ended: {later}"


def _check_sum(book, operations, initial, final):
    if final is None:
        return [f"book {book} has no final count"]
    problems = []
    if not 0 <= final <= initial:
        problems.append(f"book {book}: {initial} copies at first and {final} at last")
    told = {operation["remaining"] for operation in operations if operation["kind"] == "buy"}
    gone = set(range(final, initial))
    if gone - told:
        problems.append(f"book {book}: {len(gone - told)} copies are gone and nobody has them: {_few(gone - told)}")
    if told - gone:
        problems.append(f"book {book}: {len(told - gone)} purchases left no trace: {_few(told - gone)}")
    return problems


def _few(numbers):
    numbers = sorted(numbers)
    return ", ".join(map(str, numbers[:MAX_SHOWN])) + (", ..." if len(numbers) > MAX_SHOWN else "")


def load(path):
    """The operations of a history file."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def counts(text):
    return {int(book): count for book, count in json.loads(text).items()}


def main(arguments):
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    problems = check(load(arguments[0]), counts(arguments[1]), counts(arguments[2]))
    for problem in problems[:MAX_SHOWN]:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
