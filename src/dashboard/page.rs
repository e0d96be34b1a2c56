//! The page. [`live`] is the part that changes: it is sent whole once a second, and the script puts what is new
//! of it in place. So there is one place that says what anything looks like.

use super::Controls;
use super::drawing::{condition, drawing, kind};
use super::plot::History;
use super::rates::Rates;
use super::view::{Fence, Sale, View};
use super::watch::Frame;
use crate::pages::{Asset, Page, Section};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, html};

pub static STYLE: Asset = Asset::css("dashboard", include_str!("assets/dashboard.css"));
pub static SCRIPT: Asset = Asset::js("dashboard", include_str!("assets/dashboard.js"));

/// Sales and fences that are shown.
const SHOWN: usize = 10;

/// The whole page, as it is at this moment.
pub fn answer(frame: Option<&Frame>, controls: Option<Controls>) -> HttpResponse {
    let (mut styles, mut scripts) = (vec![&STYLE], vec![&SCRIPT]);
    let faults = controls.map(|controls| {
        styles.extend(controls.styles);
        scripts.extend(controls.scripts);
        controls.markup
    });
    let main = html! {
        div.dashboard {
            div.heading {
                h1 { "Dashboard" }
                p #connection {
                    @if let Some(frame) = frame { "As of " (clock(&frame.view.at)) ". " }
                    a href="/dashboard" { "Load it again" }
                }
            }
            @if let Some(faults) = faults { section #faults aria-label="Faults" { (faults) } }
            div #live {
                @match frame {
                    Some(frame) => { (live(&frame.view, &frame.history)) }
                    None => { p.notice.warn { "No node has answered yet." } }
                }
            }
            (legend())
        }
    };
    let page = Page {
        title: "Dashboard",
        section: Section::Dashboard,
        words: "",
        styles: &styles,
        scripts: &scripts,
        main,
    };
    page.answer(StatusCode::OK)
}

/// What changes.
pub fn live(view: &View, history: &History) -> Markup {
    html! {
        (state(view))
        section.picture aria-label="The store" { (drawing(view)) }
        section.tiles aria-label="Figures" { (tiles(view, history)) }
        section.feeds {
            (sales(&view.sales))
            (fences(&view.fences))
            (happenings(view))
        }
        (table(view))
    }
}

/// Said aloud when it changes, which is when something goes or comes back.
fn state(view: &View) -> Markup {
    let store = &view.store;
    html! {
        div class={ "notice state " (if view.well { "good" } else { "bad" }) } role="status" {
            @for sentence in &view.summary { p { (sentence) } }
        }
        p.facts {
            @if let (Some(version), Some(acknowledges)) = (&store.version, store.acknowledges) {
                span { "version " b.mono { (version) } }
                span { "acknowledged " b { (acknowledges) } }
                @if let Some(queued) = store.queued { span { "waiting at the master: " b { (queued) } } }
            }
        }
    }
}

fn tiles(view: &View, history: &History) -> Markup {
    let (figures, totals) = (&view.figures, &view.totals);
    let cached = |rates: &Rates| Some(rates.by_memory? + rates.by_redis?);
    html! {
        (tile("Requests", &per_s(figures.requests_per_s), history.plot(|rates| Some(rates.requests_per_s)), html! {
            (count(totals.requests as f64)) " since the start"
            @if figures.failures_per_s > 0.0 { ", " b.bad { (per_s(figures.failures_per_s)) " failed" } }
        }))
        (tile("Answered by a cache", &cached(figures).map_or_else(none, percent), history.plot(cached), html! {
            (shares(&[
                ("memory", figures.by_memory),
                ("redis", figures.by_redis),
                ("node", figures.by_node),
            ]))
        }))
        (tile("A read takes", &figures.read_p50_ms.map_or_else(none, duration), history.plot(|rates| rates.read_p99_ms), html! {
            "half of them; 99 of 100 within " b { (figures.read_p99_ms.map_or_else(none, duration)) }
        }))
        (tile("Stale answers", &per_s(figures.stale_per_s), history.plot(|rates| Some(rates.stale_per_s)), html! {
            (count(totals.stale as f64)) " answers said that they may be stale"
        }))
        (tile("Purchases", &per_s(figures.purchases_per_s), history.plot(|rates| Some(rates.purchases_per_s)), html! {
            (count(totals.purchases.get("bought").copied().unwrap_or_default() as f64)) " sold, "
            (per_s(figures.refused_per_s)) " refused"
            @if figures.unknown_per_s > 0.0 { ", " b.bad { (per_s(figures.unknown_per_s)) " to be repeated" } }
        }))
        (tile("A purchase takes", &figures.purchase_p50_ms.map_or_else(none, duration), history.plot(|rates| rates.purchase_p99_ms), html! {
            "half of them; 99 of 100 within " b { (figures.purchase_p99_ms.map_or_else(none, duration)) }
        }))
        (tile("Fences", &per_s(figures.fences_per_s), history.plot(|rates| Some(rates.fences_per_s)), html! {
            (figures.fence_ms.map_or_else(none, duration)) " each; a batch waits "
            b { (figures.fence_wait_ms.map_or_else(none, duration)) } " for its own, "
            (figures.fence_share.map_or_else(none, percent)) " of its time"
        }))
        (tile("Purchases in a batch", &figures.batch_size.map_or_else(none, count), history.plot(|rates| rates.batch_size), html! {
            (parts(figures))
        }))
    }
}

fn tile(label: &str, value: &str, plot: Markup, foot: Markup) -> Markup {
    html! {
        article.tile {
            h2 { (label) }
            p.value { (value) }
            (plot)
            div.foot { (foot) }
        }
    }
}

/// Shares of a whole, as a bar with its legend.
fn shares(parts: &[(&'static str, Option<f64>)]) -> Markup {
    html! {
        (bar(parts.iter().filter_map(|&(name, share)| Some((name, share?)))))
        ul.key {
            @for (name, share) in parts {
                li class=(name) { (name) " " b { (share.map_or_else(none, percent)) } }
            }
        }
    }
}

/// What a batch is made of, and what its buyers wait for behind it.
fn parts(figures: &Rates) -> Markup {
    let (Some(batch), Some(commit), Some(replication)) =
        (figures.batch_ms, figures.commit_ms, figures.replication_ms)
    else {
        return html! { "nobody buys" };
    };
    let fence = figures.fence_wait_ms.unwrap_or_default();
    let write = (batch - fence - commit).max(0.0);
    let whole = (write + fence + commit + replication).max(f64::MIN_POSITIVE);
    let parts = [("write", write), ("fence", fence), ("commit", commit), ("replicate", replication)];
    html! {
        (bar(parts.into_iter().map(|(name, ms)| (name, ms / whole))))
        ul.key { @for (name, ms) in parts { li class=(name) { (name) " " b { (duration(ms)) } } } }
    }
}

/// Shares, one beside the other. The figures stand in the legend.
fn bar(shares: impl Iterator<Item = (&'static str, f64)>) -> Markup {
    let parts = shares.scan(0.0, |end, (name, share)| {
        let begin = *end;
        *end += share * 100.0;
        Some((name, begin, share * 100.0))
    });
    html! {
        svg.shares viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect.ground width="100" height="4" {}
            @for (name, x, width) in parts {
                rect class={ "part " (name) } x=(format!("{x:.1}")) width=(format!("{width:.1}")) height="4" {}
            }
        }
    }
}

fn sales(sales: &[Sale]) -> Markup {
    html! {
        section.card.feed.sales {
            h2 { "Last purchases" }
            @if sales.is_empty() { p.soft { "Nothing was sold yet." } }
            ol {
                @for sale in sales.iter().take(SHOWN) {
                    li data-version=(sale.version) {
                        a href={ "/books/" (sale.book) } { "book " (sale.book) }
                        span { (sale.quantity) " sold, " b { (sale.left) " left" } }
                        span.mono.soft { (sale.version) }
                    }
                }
            }
        }
    }
}

fn fences(fences: &[Fence]) -> Markup {
    html! {
        section.card.feed.fences {
            h2 { "Last invalidations" }
            @if fences.is_empty() { p.soft { "Nothing was announced yet." } }
            ol {
                @for fence in fences.iter().take(SHOWN) {
                    li data-version=(fence.version) {
                        span.keys {
                            (fence.keys.join(", "))
                            @if fence.more > 0 { " and " (count(fence.more as f64)) " more" }
                        }
                        span { "told " b { (fence.holders) } " in " b { (duration(fence.ms)) } }
                        span.mono.soft { (fence.version) }
                    }
                }
            }
        }
    }
}

fn happenings(view: &View) -> Markup {
    html! {
        section.card.feed.happenings {
            h2 { "What happened" }
            @if view.happenings.is_empty() { p.soft { "Nothing since somebody looks." } }
            ol {
                @for happening in &view.happenings {
                    li class=(if happening.good { "good" } else { "bad" }) {
                        span { (happening.text) }
                        time.mono.soft datetime=(happening.at) { (clock(&happening.at)) }
                    }
                }
            }
        }
    }
}

fn table(view: &View) -> Markup {
    html! {
        section.nodes {
            h2 #nodes { "Nodes" }
            div.scroll role="region" aria-labelledby="nodes" tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Node" }
                            th scope="col" { "How it is" }
                            th scope="col" { "Address" }
                            th scope="col" { "Version" }
                            th.number scope="col" { "Requests/s" }
                            th.number scope="col" { "Up for" }
                        }
                    }
                    tbody {
                        @for node in &view.nodes {
                            @let (tone, says) = condition(node, view);
                            tr data-id=(node.id) class=(kind(node.kind)) {
                                th scope="row" { (node.name) }
                                td { span class={ "badge " (tone) } { (says) } }
                                td.mono { (node.address) }
                                td.mono { (node.version.as_deref().unwrap_or("")) }
                                td.number { (node.requests_per_s.map_or_else(String::new, count)) }
                                td.number { (node.uptime_s.map_or_else(String::new, |s| seconds(s as f64))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the words mean.
fn legend() -> Markup {
    let words = [
        (
            "Lease",
            "A frontend may answer from its cache while it holds a lease. It is renewed all the time; when \
                   it runs out, reads go to the master.",
        ),
        (
            "Fence",
            "Before a change is committed, every frontend with a lease is told which books it touches, and \
                   serves nothing older from then on. No change is committed before all have acknowledged it, or \
                   have lost their leases.",
        ),
        (
            "In sync",
            "A purchase is acknowledged when all replicas that are in sync have it on disk. One that does \
                     not answer is left out, and comes back when it has caught up.",
        ),
        ("Version", "The epoch, which is one life of the master, and the number of the last change."),
        (
            "Out of the balance",
            "A node that failed is asked nothing until it answers a probe; its line is broken.",
        ),
    ];
    html! {
        details.legend {
            summary { "What the words mean" }
            dl { @for (word, meaning) in words { dt { (word) } dd { (meaning) } } }
        }
    }
}

fn none() -> String {
    "–".into()
}

/// `12,345`, and a decimal where that says something.
pub fn count(value: f64) -> String {
    if value > 0.0 && value < 10.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let grouped = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    grouped.collect::<Vec<_>>().join(",")
}

fn per_s(value: f64) -> String {
    format!("{}/s", count(value))
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        // Neither all nor nothing where it is not quite.
        percent if percent > 99.0 && percent < 100.0 => format!("{:.2} %", percent.min(99.99)),
        percent if percent > 0.0 && percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// A duration in milliseconds, in the unit that suits it.
fn duration(ms: f64) -> String {
    match ms {
        0.0 => "0 ms".into(),
        ms if ms < 0.0995 => format!("{:.*} µs", usize::from(ms < 0.00995), ms * 1e3),
        ms if ms < 9.95 => format!("{ms:.2} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

/// A longer one, in seconds.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// The time of day of an RFC 3339 timestamp.
fn clock(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_round_away_what_matters() {
        assert_eq!(
            [0.0, 0.4, 7.0, 7.25, 999.6, 1_234_567.0].map(count),
            ["0", "0.4", "7", "7.2", "1,000", "1,234,567"]
        );
        assert_eq!([0.0, 0.034, 0.5, 0.9999, 1.0].map(percent), ["0 %", "3.4 %", "50 %", "99.99 %", "100 %"]);
        assert_eq!(
            [0.0042, 0.042, 0.42, 42.0, 4200.0].map(duration),
            ["4.2 µs", "42 µs", "0.42 ms", "42 ms", "4.2 s"]
        );
        assert_eq!([0.8, 45.0, 600.0].map(seconds), ["0.8 s", "45 s", "10 min"]);
    }

    async fn text(answer: HttpResponse) -> String {
        let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[actix_web::test]
    async fn a_page_without_a_view_says_so_and_has_its_script() {
        let page = text(answer(None, None)).await;
        assert!(page.contains("No node has answered yet.") && page.contains(SCRIPT.path()), "{page}");
        assert!(!page.contains("faults"), "{page}");
    }

    #[actix_web::test]
    async fn controls_stand_beside_what_changes_and_bring_their_files() {
        static STYLE_OF_THEIRS: Asset = Asset::css("theirs", "b {}");
        let styles = vec![&STYLE_OF_THEIRS];
        let controls = Controls { markup: html! { button { "Kill" } }, styles, scripts: Vec::new() };
        let page = text(answer(None, Some(controls))).await;
        let (faults, live) = (page.find("id=\"faults\"").unwrap(), page.find("id=\"live\"").unwrap());
        assert!(faults < page.find("Kill").unwrap() && page.find("Kill").unwrap() < live, "{page}");
        assert!(page.contains(STYLE_OF_THEIRS.path()), "{page}");
    }

    #[test]
    fn what_is_live_has_no_line_breaks_which_would_end_an_event() {
        let live = live(&View::default(), &History::default()).into_string();
        assert!(!live.contains(['\n', '\r']));
    }
}
