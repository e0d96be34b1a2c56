#!/usr/bin/env python3
"""Writes dashboards/*.json, from what is said here of each panel: title, unit, queries.

    python3 -m venv VENV && VENV/bin/pip install -r tests/observability/requirements.txt
    VENV/bin/python deploy/observability/grafana/generate.py [DIRECTORY]

The files are in the repository, so whoever only wants dashboards needs none of this. scripts/test-observability
compares them with what comes out here, and asks a Prometheus that scrapes a running store every query in them.
"""

import json
import pathlib
import sys

from grafana_foundation_sdk.builders import common, heatmap, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    FieldColor,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

# Whichever Prometheus the variable names: no data source is wired in.
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${datasource}")

# A panel's height, and that of a number.
TALL, SHORT = 8, 4

# Who asks by which variables: everything of a store, or of one of its nodes.
STORE = 'store=~"$store"'
NODE = 'store=~"$store",service=~"$service",instance=~"$instance"'

SECONDS, BYTES, SHARE, COUNT = units.Seconds, units.BytesIEC, units.PercentUnit, units.Short
PER_SECOND, REQUESTS = units.CountsPerSecond, units.RequestsPerSecond


def rate(family, labels, by, more=""):
    """The sum of the rates of a counter."""
    return f"sum by ({by}) (rate({family}{{{labels}{more}}}[$__rate_interval]))"


def quantile(share, histogram, labels, by="", more=""):
    """A quantile over all that `by` does not keep apart."""
    kept = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(histogram + '_bucket', labels, kept, more)})"


def quantiles(histogram, labels, more=""):
    return [(quantile(q, histogram, labels, more=more), f"p{int(q * 100)}") for q in (0.5, 0.9, 0.99)]


def targets(panel, queries, **how):
    for index, (expr, legend) in enumerate(queries):
        query = Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + index)).datasource(PROMETHEUS)
        panel.with_target(how.get("each", lambda query: query.range())(query))
    return panel


def steps(*pairs):
    """Colours from values on, the first from -infinity."""
    found = [Threshold(value=value, color=color) for value, color in pairs]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def lines(title, what, unit, *queries, width=8, stacked=False, top=None, limit=None):
    """Lines over time. `limit` draws a red line there."""
    panel = (
        timeseries.Panel().title(title).description(what).datasource(PROMETHEUS).unit(unit).min(0)
        .height(TALL).span(width)
        .line_width(1).fill_opacity(25 if stacked else 8).show_points(VisibilityMode.NEVER)
        .legend(common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if top is not None:
        panel.max(top)
    if limit is not None:
        panel.thresholds(steps((None, "green"), (limit, "red")))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return targets(panel, queries)


def number(title, what, unit, expr, *colours, width=4, legend=""):
    """One number of now, coloured by value."""
    panel = (
        stat.Panel().title(title).description(what).datasource(PROMETHEUS).unit(unit)
        .height(SHORT).span(width).graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    panel.thresholds(steps(*(colours or [(None, "text")])))
    panel.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    return targets(panel, [(expr, legend)], each=lambda query: query.instant())


def heat(title, what, unit, histogram_by_le, width=12):
    panel = (
        heatmap.Panel().title(title).description(what).datasource(PROMETHEUS).height(TALL).span(width)
        .calculate(False).y_axis(heatmap.YAxisConfig().unit(unit)).cell_gap(0)
    )
    return targets(panel, [(histogram_by_le, "{{le}}")], each=lambda query: query.range().format(PromQueryFormat.HEATMAP))


def states(title, what, *queries, width=12):
    """What was on (1) when."""
    panel = (
        statetimeline.Panel().title(title).description(what).datasource(PROMETHEUS).height(TALL).span(width)
        .line_width(0).fill_opacity(70).show_value(VisibilityMode.NEVER).thresholds(steps((None, "red"), (1, "green")))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )
    return targets(panel, queries)


def label_values(name, query, label, more_than_one=True):
    everything = VariableOption(text="All", value="$__all")
    variable = (
        QueryVariable(name).label(label).datasource(PROMETHEUS).query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
        .include_all(True).all_value(".*").current(everything)
    )
    return variable.multi(more_than_one)


def dashboard(uid, title, what, *more_variables):
    made = (
        Dashboard(title).uid(uid).description(what).tags(["bazar"]).editable().tooltip(DashboardCursorSync.CROSSHAIR)
        .timezone("browser").refresh("30s").time("now-1h", "now").version(1)
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(label_values("store", "label_values(bazar_build_info, store)", "Store"))
        .link(DashboardLink("Bazar").type(DashboardLinkType.DASHBOARDS).tags(["bazar"]).as_dropdown(False).include_vars(True).keep_time(True))
        .annotation(
            AnnotationQuery().name("Alerts").datasource(PROMETHEUS).enable(True).icon_color("red")
            .expr('ALERTS{alertstate="firing",severity=~"critical|warning"}')
        )
    )
    for variable in more_variables:
        made.with_variable(variable)
    return made


def fill(made, *rows):
    for title, panels in rows:
        made.with_row(Row(title))
        for panel in panels:
            made.with_panel(panel)
    return made


GOOD_FROM_ZERO = [(None, "green"), (1, "red")]
BUDGET = [(None, "red"), (0, "orange"), (0.25, "green")]


def budget(slo, title):
    left = (
        f'1 - store_slo:bazar_bad_events:ratio_rate30d{{{STORE},slo="{slo}"}} / on (slo) group_left () '
        f'slo:bazar_error_budget:ratio{{slo="{slo}"}}'
    )
    return number(title, "What is left of the budget of thirty days; below zero the objective is missed.", SHARE, left, *BUDGET, legend="{{store}}")


def shop():
    reads = f'{STORE},listener="public",method="GET"'
    return fill(
        dashboard("bazar-shop", "Bazar: the shop", "What customers get: how much, how fast, how often not."),
        ("Now", [
            number("Alerts", "That fire now, without those that only inform.", COUNT, f'count(ALERTS{{alertstate="firing",severity=~"critical|warning",store=~"$store|"}}) or vector(0)', *GOOD_FROM_ZERO),
            number("Masters", "One, always.", COUNT, f"sum by (store) (bazar_is_master{{{STORE}}})", (None, "red"), (1, "green"), (2, "red"), legend="{{store}}"),
            budget("reads_available", "Budget: reads available"),
            budget("purchases_available", "Budget: purchases available"),
            budget("reads_fast", "Budget: reads fast"),
            budget("purchases_fast", "Budget: purchases fast"),
        ]),
        ("Reads", [
            lines("Reads by outcome", "Answers to customers by class of status, without machines and keepers.", REQUESTS, (f"store_status:bazar_reads:rate5m{{{STORE}}}", "{{store}} {{status}}"), stacked=True),
            lines("Who answered", "Memory and Redis cost no catalog node anything.", REQUESTS, (rate("bazar_reads_total", STORE, "level"), "{{level}}"), stacked=True),
            lines("How long", "From a request's head to that of its answer.", SECONDS, (f"store:bazar_read_duration_seconds:p50_rate5m{{{STORE}}}", "{{store}} p50"), (f"store:bazar_read_duration_seconds:p99_rate5m{{{STORE}}}", "{{store}} p99"), limit=0.1),
            heat("How long, all of them", "The objective is 0.1 s.", SECONDS, f"sum by (le) (store_le:bazar_read_duration_seconds_bucket:rate5m{{{STORE}}})"),
            lines("By route", "The ten most used.", REQUESTS, (f"topk(10, {rate('bazar_http_request_duration_seconds_count', reads, 'route')})", "{{route}}"), width=12),
        ]),
        ("Purchases", [
            lines("Purchases by outcome", "Unavailable: the outcome is unknown, and repeating is safe.", REQUESTS, (rate("bazar_purchases_total", STORE, "outcome"), "{{outcome}}"), stacked=True),
            lines("How long", "From a request's head to that of its answer.", SECONDS, (f"store:bazar_purchase_duration_seconds:p50_rate5m{{{STORE}}}", "{{store}} p50"), (f"store:bazar_purchase_duration_seconds:p99_rate5m{{{STORE}}}", "{{store}} p99"), limit=1),
            lines("Sold", "Orders and copies, acknowledged.", PER_SECOND, (rate("bazar_orders_total", STORE, "store"), "{{store}} orders"), (rate("bazar_books_sold_total", STORE, "store"), "{{store}} copies")),
            lines("Revenue", "Of the last hour.", units.Dollars, (f"sum by (store) (increase(bazar_revenue_dollars_total{{{STORE}}}[1h]))", "{{store}}"), width=12),
            lines("Shelves", "Books without a copy, and last copies sold within ten minutes.", COUNT, (f"sum by (store) (bazar_books_out_of_stock{{{STORE}}})", "{{store}} out of stock"), (f"sum by (store) (increase(bazar_stock_outs_total{{{STORE}}}[10m]))", "{{store}} sold out"), width=12),
        ]),
        ("The objectives", [
            lines("Rate at which budgets burn: an hour", "1 spends a month's budget in a month; at 14.4 somebody is woken.", units.NoUnit, (f"store_slo:bazar_bad_events:ratio_rate1h{{{STORE}}} / on (slo) group_left () slo:bazar_error_budget:ratio", "{{store}} {{slo}}"), width=12, limit=14.4),
            lines("Rate at which budgets burn: three days", "At 1 somebody is told.", units.NoUnit, (f"store_slo:bazar_bad_events:ratio_rate3d{{{STORE}}} / on (slo) group_left () slo:bazar_error_budget:ratio", "{{store}} {{slo}}"), width=12, limit=1),
        ]),
        ("The doors", [
            lines("Errors by status", "Of the public listener, exactly.", REQUESTS, (rate("bazar_http_error_responses_total", STORE, "code", ',listener="public"') + " or vector(0)", "{{code}}")),
            lines("Turned away by a limit", "429, with Retry-After.", REQUESTS, (rate("bazar_rate_limited_total", STORE, "limit"), "{{limit}}")),
            lines("Connections", "Of customers, and pages that are told of changes.", COUNT, (f'sum by (store) (bazar_http_connections{{{STORE},listener="public"}})', "{{store}} connections"), (f"sum by (store) (bazar_event_streams{{{STORE}}})", "{{store}} pages")),
            lines("Attempts at the administration", "By outcome.", PER_SECOND, (rate("bazar_admin_attempts_total", STORE, "outcome"), "{{outcome}}"), width=12),
            lines("Internal requests refused", "By reason.", PER_SECOND, (rate("bazar_internal_refused_total", STORE, "reason"), "{{reason}}"), width=12),
        ]),
    )


def promises():
    missed = ',outcome!="hit"'
    return fill(
        dashboard("bazar-promises", "Bazar: promises", "How reads stay fresh and purchases safe: cache, leases, fences, replication, verification."),
        ("Now", [
            number("Stale answers, an hour", "That nobody asked for; they say so themselves.", COUNT, f'sum(increase(bazar_stale_answers_total{{{STORE},asked="no"}}[1h]))', *GOOD_FROM_ZERO),
            number("Frontends with a lease", "Of those that answer.", SHARE, f"avg(bazar_lease_held{{{STORE}}})", (None, "red"), (1, "green")),
            number("Replicas not in sync", "Of those that are known.", COUNT, f"sum(bazar_known_replicas{{{STORE}}} - bazar_in_sync_replicas{{{STORE}}})", *GOOD_FROM_ZERO),
            number("Writer waits for fences", "Share of its time.", SHARE, f"max(store:bazar_fence_wait:ratio_rate5m{{{STORE}}})", (None, "green"), (0.1, "orange"), (0.3, "red")),
            number("Last verification", "How long ago it ended well; since the epoch (1970) if never on this master.", SECONDS, f"time() - max(bazar_verify_last_success_timestamp_seconds{{{STORE}}})", (None, "green"), (8 * 86400, "orange")),
            number("Rows that were wrong", "Digests that were not the master's.", COUNT, f"sum(increase(bazar_replica_divergences_total{{{STORE}}}[1d]))", *GOOD_FROM_ZERO),
        ]),
        ("The cache", [
            lines("Reads answered by a cache", "Memory or Redis.", SHARE, (f"store:bazar_cache_hits:ratio_rate5m{{{STORE}}}", "{{store}}"), top=1),
            lines("Why memory did not", "absent: nothing kept. floor: announced to change. lease: none held.", REQUESTS, (rate("bazar_cache_lookups_total", STORE, "outcome", missed + ',level="memory"'), "{{outcome}}"), stacked=True),
            lines("Why Redis did not", "foreign: no frontend of this store wrote it.", REQUESTS, (rate("bazar_cache_lookups_total", STORE, "outcome", missed + ',level="redis"'), "{{outcome}}"), stacked=True),
            lines("Memory", "By frontend, and the bound.", BYTES, (f"bazar_cache_bytes{{{STORE}}}", "{{instance}}"), (f"max(bazar_cache_max_bytes{{{STORE}}})", "bound"), width=6),
            lines("Entries", "Found, and known not to be there.", COUNT, (f"sum by (kind) (bazar_cache_entries{{{STORE}}})", "{{kind}}"), width=6),
            lines("Evictions", "Entries that went for others.", PER_SECOND, (rate("bazar_cache_evictions_total", STORE, "kind"), "{{kind}}"), width=6),
            lines("Redis, p99", "A pipeline.", SECONDS, (quantile(0.99, "bazar_redis_request_duration_seconds", STORE, "operation"), "{{operation}}"), width=6),
        ]),
        ("Leases", [
            states("Leases held", "By frontend: red had none.", (f"bazar_lease_held{{{STORE}}}", "{{instance}}")),
            lines("How long they still run", "By frontend; a renewal comes long before the end.", SECONDS, (f"bazar_lease_remaining_seconds{{{STORE}}}", "{{instance}}"), (f"max(bazar_lease_term_seconds{{{STORE}}})", "term"), width=12),
            lines("Granted", "join: begun anew, with an empty table.", PER_SECOND, (rate("bazar_lease_grants_total", STORE, "ask"), "{{ask}}")),
            lines("Refused, lapsed, lost", "Refused by reason; lapsed as the master saw it, lost as frontends did.", PER_SECOND, (rate("bazar_lease_refusals_total", STORE, "reason"), "refused: {{reason}}"), (rate("bazar_lease_lapses_total", STORE, "store"), "{{store}} lapsed"), (rate("bazar_lease_gaps_total", STORE, "store"), "{{store}} lost")),
            lines("Holders", "Leases that run, and addresses that must wait.", COUNT, (f"sum by (store) (bazar_lease_holders{{{STORE}}})", "{{store}} holders"), (f"sum by (store) (bazar_lease_back_offs{{{STORE}}})", "{{store}} in back-off")),
        ]),
        ("Fences", [
            lines("Fences", "lapsed: a lease had to run out.", PER_SECOND, (rate("bazar_fences_total", STORE, "outcome"), "{{outcome}}")),
            lines("Until all had heard", "And the part for which the writer had nothing else to do.", SECONDS, *quantiles("bazar_fence_duration_seconds", STORE), (quantile(0.99, "bazar_fence_wait_seconds", STORE), "waited, p99")),
            lines("The writer waits", "Share of its time.", SHARE, (f"store:bazar_fence_wait:ratio_rate5m{{{STORE}}}", "{{store}}"), limit=0.3),
            lines("By frontend, p99", "Who is slow to hear.", SECONDS, (quantile(0.99, "bazar_holder_fence_duration_seconds", STORE, "holder"), "{{holder}}")),
            lines("Missed, by frontend", "Within ten minutes.", COUNT, (f"sum by (holder) (increase(bazar_holder_fence_misses_total{{{STORE}}}[10m]))", "{{holder}}")),
            lines("The fence that is out", "Its age.", SECONDS, (f"max by (store) (bazar_fence_under_way_seconds{{{STORE}}})", "{{store}}")),
        ]),
        ("Batches", [
            lines("Requests in a batch", "On average; more come together when a commit takes longer.", COUNT, (f"{rate('bazar_batch_requests_sum', STORE, 'store')} / {rate('bazar_batch_requests_count', STORE, 'store')}", "{{store}}"), width=6),
            lines("Decision to commit", "", SECONDS, *quantiles("bazar_batch_duration_seconds", STORE), width=6),
            lines("COMMIT", "With its fsync.", SECONDS, *quantiles("bazar_commit_duration_seconds", STORE), width=6),
            lines("Waiting for replicas", "From a commit until it may be acknowledged.", SECONDS, *quantiles("bazar_replication_wait_seconds", STORE), width=6),
        ]),
        ("Replication", [
            lines("In sync", "And those that are known.", COUNT, (f"max by (store) (bazar_in_sync_replicas{{{STORE}}})", "{{store}} in sync"), (f"max by (store) (bazar_known_replicas{{{STORE}}})", "{{store}} known")),
            lines("Behind", "Age of the oldest record that a replica lacks.", SECONDS, (f"bazar_replica_lag_seconds{{{STORE}}}", "{{replica}}"), limit=10),
            lines("Behind, in records", "", COUNT, (f"bazar_replica_lag_records{{{STORE}}}", "{{replica}}")),
            lines("Left the set", "By reason, within ten minutes.", COUNT, (f"sum by (reason) (increase(bazar_in_sync_left_total{{{STORE}}}[10m]))", "{{reason}}")),
            lines("Records applied", "By replica.", PER_SECOND, (rate("bazar_applied_records_total", STORE, "instance"), "{{instance}}")),
            lines("Too old for a reader", "Reads that a replica gave back.", PER_SECOND, (rate("bazar_behind_total", STORE, "instance"), "{{instance}}")),
        ]),
        ("Masters and verification", [
            states("Who leads", "By catalog node.", (f"bazar_is_master{{{STORE}}}", "{{instance}}")),
            lines("Epochs", "One step is one start of a master.", COUNT, (f"max by (store) (bazar_epoch{{{STORE}}})", "{{store}}"), width=6),
            lines("Verifications", "By verdict, within a day.", COUNT, (f"sum by (outcome) (increase(bazar_verify_runs_total{{{STORE}}}[1d]))", "{{outcome}}"), width=6),
        ]),
    )


def node():
    public = NODE
    return fill(
        dashboard(
            "bazar-node", "Bazar: a node", "One process: requests, calls, queues, pools, threads, disk.",
            label_values("service", 'label_values(bazar_build_info{store=~"$store"}, service)', "Service"),
            label_values("instance", 'label_values(bazar_build_info{store=~"$store",service=~"$service"}, instance)', "Instance"),
        ),
        ("The process", [
            number("Runs for", "The youngest.", SECONDS, f'time() - max(process_start_time_seconds{{{NODE},job="bazar"}})'),
            number("Answers", "Of the nodes that are known.", SHARE, f'avg(up{{{NODE},job="bazar"}})', (None, "red"), (1, "green")),
            number("Build", "How many different ones.", COUNT, f"count(group by (version, revision) (bazar_build_info{{{NODE}}}))", (None, "green"), (2, "orange")),
            number("Memory", "Resident, of the largest.", BYTES, f'max(process_resident_memory_bytes{{{NODE},job="bazar"}})'),
            number("Files", "Share of the descriptors, at the worst.", SHARE, f'max(process_open_fds{{{NODE},job="bazar"}} / process_max_fds{{{NODE},job="bazar"}})', (None, "green"), (0.8, "red")),
            number("Restarts", "Of the service within 15 minutes.", COUNT, 'sum(store_service:bazar_restarts:count15m{store=~"$store",service=~"$service"})', (None, "green"), (3, "red")),
            lines("Processor", "Cores.", COUNT, (f'rate(process_cpu_seconds_total{{{NODE},job="bazar"}}[$__rate_interval])', "{{service}} {{instance}}"), width=6),
            lines("Memory", "Resident.", BYTES, (f'process_resident_memory_bytes{{{NODE},job="bazar"}}', "{{service}} {{instance}}"), width=6),
            lines("Threads late, p99", "How late timers fire.", SECONDS, (f"instance:bazar_event_loop_lag_seconds:p99_rate5m{{{NODE}}}", "{{service}} {{instance}}"), width=6, limit=0.1),
            lines("Tasks and threads", "", COUNT, (f"bazar_runtime_tasks{{{NODE}}}", "{{instance}} tasks"), (f'process_threads{{{NODE},job="bazar"}}', "{{instance}} threads"), width=6),
        ]),
        ("Requests that come", [
            lines("By route", "The ten most used.", REQUESTS, (f"topk(10, {rate('bazar_http_request_duration_seconds_count', public, 'listener, route')})", "{{listener}} {{route}}"), width=12),
            lines("p99 by route", "The ten slowest.", SECONDS, (f"topk(10, {quantile(0.99, 'bazar_http_request_duration_seconds', public, 'listener, route')})", "{{listener}} {{route}}"), width=12),
            lines("Errors", "By status.", REQUESTS, (rate("bazar_http_error_responses_total", public, "listener, code") + " or vector(0)", "{{listener}} {{code}}")),
            lines("Under way", "Requests without a whole answer.", COUNT, (f"sum by (listener) (bazar_http_requests_in_flight{{{NODE}}})", "{{listener}}")),
            lines("Connections", "", COUNT, (f"sum by (listener) (bazar_http_connections{{{NODE}}})", "{{listener}}")),
        ]),
        ("Calls to others", [
            lines("Calls", "By the role that is called.", REQUESTS, (rate("bazar_peer_request_duration_seconds_count", NODE, "peer"), "{{peer}}"), width=6),
            lines("Calls that fail", "By outcome.", REQUESTS, (rate("bazar_peer_request_duration_seconds_count", NODE, "peer, outcome", ',outcome!="ok"') + " or vector(0)", "{{peer}} {{outcome}}"), width=6),
            lines("p99", "By the role that is called.", SECONDS, (quantile(0.99, "bazar_peer_request_duration_seconds", NODE, "peer"), "{{peer}}"), width=6),
            lines("Under way", "Calls without an answer yet.", COUNT, (f"sum by (peer) (bazar_peer_requests_in_flight{{{NODE}}})", "{{peer}}"), width=6),
            lines("Nodes in the balance", "By frontend and pool.", COUNT, (f"sum by (pool, state) (bazar_pool_nodes{{{STORE}}})", "{{pool}} {{state}}")),
            lines("Taken out", "Ejected by reason, or found dead; within ten minutes.", COUNT, (f"sum by (pool, reason) (increase(bazar_pool_ejections_total{{{STORE}}}[10m]))", "{{pool}} {{reason}}"), (f"sum by (pool) (increase(bazar_pool_deaths_total{{{STORE}}}[10m]))", "{{pool}} dead")),
            lines("Retries", "denied: the budget was spent.", PER_SECOND, (rate("bazar_retries_total", STORE, "pool, outcome"), "{{pool}} {{outcome}}")),
        ]),
        ("Queues", [
            lines("How full", "Of the bound. Full means 503.", SHARE, (f"instance_queue:bazar_queue_fill:ratio{{{NODE}}}", "{{instance}} {{queue}}"), top=1, limit=0.8),
            lines("Waiting", "", COUNT, (f"sum by (queue) (bazar_queue_length{{{NODE}}})", "{{queue}}")),
            lines("Turned away", "", PER_SECOND, (rate("bazar_queue_rejected_total", NODE, "queue"), "{{queue}}")),
        ]),
        ("The disk (catalog nodes)", [
            lines("Files", "The database, and its write-ahead log.", BYTES, (f"bazar_database_bytes{{{STORE}}}", "{{instance}} database"), (f"bazar_wal_bytes{{{STORE}}}", "{{instance}} log"), width=6),
            lines("Free", "Where the data is.", BYTES, (f"bazar_data_filesystem_free_bytes{{{STORE}}}", "{{instance}}"), width=6),
            lines("Readers", "Of the pool.", COUNT, (f"sum by (instance, state) (bazar_sqlite_readers{{{STORE}}})", "{{instance}} {{state}}"), width=6),
            lines("Statements that failed", "By kind.", PER_SECOND, (rate("bazar_store_errors_total", STORE, "kind"), "{{kind}}"), width=6),
        ]),
    )


def written(made):
    """As it is written: the same for the same panels, one member a line. Panels are numbered as they lie."""
    built = made.build()
    for number, panel in enumerate(built.panels, start=1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main(directory):
    for name, made in [("shop", shop()), ("promises", promises()), ("node", node())]:
        (directory / f"{name}.json").write_text(written(made))


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent / "dashboards"
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here)
