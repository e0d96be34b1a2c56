"""Reads what the collector rotel says that it has received, and prints one trace as a tree, each span below what it
was done for. Exit code 1: it is not the tree that was expected.

    tree.py LOG TRACE EXPECTED
"""

import sys
from collections import defaultdict

KINDS = {"SPAN_KIND_SERVER": " <-", "SPAN_KIND_CLIENT": " ->"}


def spans(log):
    """Each span of the log, as a dictionary."""
    service, span, what = "", None, ""
    for line in log:
        key, _, value = (part.strip() for part in line.partition(":"))
        if line.startswith("ResourceSpans #"):
            what = "resource"
        elif line.startswith("Span #"):
            span, what = {"service": service, "links": 0}, "span"
            yield span
        elif line.startswith("SpanLink #"):
            span["links"] += 1
            what = "link"
        elif what == "resource" and key == "-> service.name":
            service = value.removeprefix("Str(").removesuffix(")")
        elif what == "span" and line.startswith("    "):
            span[key] = value


def write(below, parent, depth, lines):
    for span in sorted(below[parent], key=lambda span: (span["service"], span["Name"])):
        service = span["service"].removeprefix("bazar-")
        lines.append("  " * depth + f"{service}: {span['Name']}{KINDS.get(span['Kind'], '')}")
        write(below, span["ID"], depth + 1, lines)


def main():
    log, trace, expected = sys.argv[1:]
    # Only now is every span whole.
    with open(log, encoding="utf-8") as lines:
        received = [span for span in list(spans(lines)) if span.get("Trace ID") == trace]
    known = {span["ID"] for span in received}
    below = defaultdict(list)
    for span in received:
        parent = span["Parent ID"]
        below[parent if parent in known else ""].append(span)
    lines = []
    write(below, "", 0, lines)
    print("\n".join(lines))
    with open(expected, encoding="utf-8") as tree:
        return 0 if lines == tree.read().splitlines() else 1


if __name__ == "__main__":
    sys.exit(main())
