"""Rules, alerts, their tests, their runbook and the dashboards, without a store: what has to be there is, and what is
there is used. promtool must be in PATH."""

import copy
import importlib.util
import json
import pathlib
import re
import subprocess
import unittest

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = pathlib.Path(__file__).parents[2]
HERE = ROOT / "deploy/observability"
SEVERITIES = {"critical", "warning", "info"}

register_default_plugins()


def rules():
    """All rules of all groups."""
    for file in sorted((HERE / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def alerts():
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def expectations():
    """Each expression that a unit test asks, and how many series it expects."""
    for file in sorted((HERE / "tests").glob("*.yml")):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for asked in test["promql_expr_test"]:
                yield asked["expr"], len(asked["exp_samples"])


def members(value, name):
    """Every member of that name, however deep."""
    if isinstance(value, dict):
        yield from (inner for key, inner in value.items() if key == name)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    for inner in inside:
        yield from members(inner, name)


def promtool(*arguments):
    ended = subprocess.run(["promtool", *map(str, arguments)], cwd=HERE, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout + ended.stderr


class Rules(unittest.TestCase):
    def test_promtool_accepts_rules_and_configurations(self):
        # As deployed, the rules lie where a container finds them: here only the syntax of that file can be checked.
        for arguments in (
            ["check", "rules", "--lint=all", *sorted((HERE / "rules").glob("*.yml"))],
            ["check", "config", "--syntax-only", "prometheus.yml"],
            ["check", "config", "--syntax-only", "prometheus-up.yml"],
        ):
            code, said = promtool(*arguments)
            self.assertEqual(code, 0, said)
            self.assertNotIn("lint error", said)

    def test_promtool_passes_every_unit_test(self):
        for file in sorted((HERE / "tests").glob("*.yml")):
            code, said = promtool("test", "rules", file)
            self.assertEqual(code, 0, said)

    def test_every_alert_is_seen_to_fire_and_to_stay_quiet(self):
        for name in alerts():
            asked = [expected for expr, expected in expectations() if re.search(rf'[="|]{name}["|]', expr)]
            self.assertTrue(any(asked), f"no unit test expects {name} to fire")
            quiet = name == "BazarWatchdog" or not all(asked)
            self.assertTrue(quiet, f"no unit test expects {name} to be quiet")

    def test_every_recorded_series_is_tested(self):
        asked = " ".join(expr for expr, _ in expectations())
        for rule in rules():
            if "record" in rule:
                self.assertIn(rule["record"], asked)

    def test_every_alert_says_how_bad_what_and_where_to_read_on(self):
        for name, rule in alerts().items():
            with self.subTest(name):
                self.assertIn(rule["labels"]["severity"], SEVERITIES)
                annotations = rule["annotations"]
                self.assertEqual(set(annotations), {"summary", "description", "runbook_url"})
                self.assertEqual(annotations["runbook_url"], f"docs/alerts.md#{name.lower()}")

    def test_the_runbook_has_a_paragraph_for_every_alert_and_for_nothing_else(self):
        paragraphs = re.findall(r"^### (\w+)\n\n\*\*(\w+)\.\*\* (.+?)(?=\n#|\Z)", (ROOT / "docs/alerts.md").read_text(), re.M | re.S)
        written = {name: (severity, text) for name, severity, text in paragraphs}
        self.assertEqual(set(written), set(alerts()))
        for name, (severity, text) in written.items():
            self.assertEqual(severity, alerts()[name]["labels"]["severity"], name)
            self.assertIn("*Do*", text, name)


class Dashboards(unittest.TestCase):
    def dashboards(self):
        for file in sorted((HERE / "grafana/dashboards").glob("*.json")):
            with self.subTest(file.name):
                yield json.loads(file.read_text())

    def test_the_files_are_what_the_generator_writes(self):
        spec = importlib.util.spec_from_file_location("generate", HERE / "grafana/generate.py")
        generate = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(generate)
        for name, made in [("shop", generate.shop()), ("promises", generate.promises()), ("node", generate.node())]:
            file = HERE / f"grafana/dashboards/{name}.json"
            self.assertEqual(file.read_text(), generate.written(made), f"run generate.py: {file.name}")

    def test_grafanas_own_types_know_every_member(self):
        for found in self.dashboards():
            understood = json.loads(json.dumps(Dashboard.from_json(copy.deepcopy(found)), cls=JSONEncoder))
            self.assertEqual(understood, found)

    def test_no_two_have_the_same_uid_and_no_data_source_is_wired_in(self):
        uids = [found["uid"] for found in self.dashboards()]
        self.assertEqual(len(set(uids)), 3)
        for found in self.dashboards():
            sources = list(members(found, "datasource"))
            self.assertTrue(sources)
            for source in sources:
                self.assertEqual(source, {"type": "prometheus", "uid": "${datasource}"})

    def test_panels_fill_the_grid_without_lying_on_each_other(self):
        for found in self.dashboards():
            taken = set()
            self.assertEqual(len({panel["id"] for panel in found["panels"]}), len(found["panels"]))
            for panel in found["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
                self.assertFalse(cells & taken, panel["title"])
                taken |= cells

    def test_every_panel_has_a_title_a_unit_and_queries_by_known_variables(self):
        known = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
        for found in self.dashboards():
            variables = {variable["name"] for variable in found["templating"]["list"]} | {"__rate_interval"}
            for panel in found["panels"]:
                self.assertTrue(panel["title"])
                if panel["type"] == "row":
                    continue
                if panel["type"] in ("timeseries", "stat"):
                    self.assertIn(panel["fieldConfig"]["defaults"]["unit"], known, panel["title"])
                self.assertTrue(panel["targets"], panel["title"])
                for target in panel["targets"]:
                    used = set(re.findall(r"\$(\w+)", target["expr"]))
                    self.assertLessEqual(used, variables, panel["title"])
                    self.assertEqual(target["expr"].count("("), target["expr"].count(")"), target["expr"])


if __name__ == "__main__":
    unittest.main()
