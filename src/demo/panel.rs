//! The buttons on the dashboard, and what the load has found. Forms that work by themselves; with script they
//! are pressed without leaving the page, and everything here follows.
//!
//! What changes is marked by `data-demo` with the way to it in the view, so that the script has no words of
//! its own.

use super::Demo;
use super::faults::Kind;
use super::loading;
use super::view::{ProcessView, View};
use crate::pages::Asset;
use maud::{Markup, html};

pub static STYLE: Asset = Asset::css("demo", include_str!("assets/demo.css"));
pub static SCRIPT: Asset = Asset::js("demo", include_str!("assets/demo.js"));

/// How long a pause or a cut may last, in the order in which they are offered; the first is chosen.
const SECONDS: [u64; 4] = [5, 2, 10, 30];

const RATES: [u32; 4] = [loading::RATE, 20, 300, 1000];
const PURCHASES: [u32; 4] = [loading::PURCHASE_PERCENT, 0, 20, 50];

impl Demo {
    pub fn panel(&self) -> Markup {
        let view = self.view();
        html! {
            div #demo {
                h2 { "Make it fail" }
                p {
                    "Start the load, then press anything below. Everything heals by itself. Promised is that no read is "
                    "stale, no copy is sold twice and no order is lost: the load checks each answer and counts what "
                    "breaks that. Meanwhile restock nothing by hand: the checker would take it for a copy that came back."
                }
                p.notice.bad #demo-refused role="alert" hidden {}
                p.notice.bad hidden[view.load.trouble.is_none()] data-demo="load.trouble" {
                    (view.load.trouble.as_deref().unwrap_or_default())
                }
                (self.verdict(&view))
                (self.load_form(&view))
                (self.processes(&view))
                (self.others(&view))
                (journal(&view))
            }
        }
    }

    /// Its first field.
    fn token(&self) -> Markup {
        html! { input type="hidden" name="token" value=(self.token.as_str()); }
    }

    fn verdict(&self, view: &View) -> Markup {
        let progress = &view.load.progress;
        let counts = [
            ("checkedBooks", "stocks checked", progress.checked_books),
            ("bought", "purchases", progress.bought),
            ("ordersLookedUp", "orders found again", progress.orders_looked_up),
            ("errors", "errors", progress.errors),
            ("violations", "broken promises", progress.violations),
        ];
        html! {
            dl.demo-counts data-demo-broken=(progress.violations > 0) {
                @for (name, what, count) in counts {
                    div.(name) {
                        dt { (what) }
                        dd data-demo={ "load." (name) } { (grouped(count)) }
                    }
                }
            }
            p.notice.bad hidden[progress.first_violation.is_none()] data-demo="load.firstViolation" {
                (progress.first_violation.as_deref().unwrap_or_default())
            }
        }
    }

    fn load_form(&self, view: &View) -> Markup {
        html! {
            form.actions method="post" action="/demo/load" aria-label="Load" {
                (self.token())
                label for="demo-rate" { "Requests a second" }
                select #demo-rate name="rate" {
                    @for rate in RATES { option value=(rate) { (rate) } }
                }
                label for="demo-purchases" { "of them purchases" }
                select #demo-purchases name="purchases" {
                    @for percent in PURCHASES { option value=(percent) { (percent) " %" } }
                }
                button type="submit" name="action" value="start" disabled[view.load.running]
                    data-demo-while="stopped" { "Start the load" }
                button.quiet type="submit" name="action" value="stop" disabled[!view.load.running]
                    data-demo-while="running" { "Stop and look every order up" }
            }
        }
    }

    fn processes(&self, view: &View) -> Markup {
        html! {
            h3 { "Processes" }
            ul.demo-processes {
                @for process in &view.processes { li data-role=(process.role) { (self.process(process)) } }
            }
        }
    }

    fn process(&self, process: &ProcessView) -> Markup {
        let role = process.role;
        html! {
            p.what {
                strong { (role) } " "
                span.badge data-demo-state=(process.state.in_words()) { (process.state.in_words()) } " "
                @if let Some(pid) = process.pid { span.soft { "pid " span data-demo-pid { (pid) } } }
                @else if !process.faults.contains(&Kind::Kill) { span.soft { "not ours" } }
                @else { span.soft { "pid " span data-demo-pid { "–" } } }
                span.soft { " · restarted " span data-demo-restarts { (process.restarts) } "×" }
            }
            form.actions method="post" action="/demo/faults" aria-label={ "Faults of " (role) } {
                (self.token())
                input type="hidden" name="role" value=(role);
                @for &kind in &process.faults {
                    button.(if kind == Kind::Kill { "danger" } else { "quiet" }) type="submit" name="kind"
                        value=(kind.name()) { (kind.in_words()) span.visually-hidden { " " (role) } }
                }
                select name="seconds" aria-label={ "For how long " (role) " is paused or cut off" } {
                    @for seconds in SECONDS { option value=(seconds) { (seconds) " s" } }
                }
            }
        }
    }

    fn others(&self, view: &View) -> Markup {
        html! {
            div.demo-others {
                form.actions method="post" action="/demo/heal" aria-label="Heal" {
                    (self.token())
                    button.quiet type="submit" { "Heal all pauses and cuts now" }
                }
                @match view.redis.reason {
                    Some(reason) => p.soft { "Redis cannot be flushed or poisoned: " (reason) "." },
                    None => form.actions method="post" action="/demo/redis" aria-label="Redis" {
                        (self.token())
                        button.quiet type="submit" name="errand" value="flush" { "Flush Redis" }
                        button.danger type="submit" name="errand" value="poison" { "Poison Redis" }
                        span.soft { "with old entries, entries of other keys, future versions and noise" }
                    },
                }
            }
        }
    }
}

fn journal(view: &View) -> Markup {
    html! {
        h3 { "What was done, and what customers noticed" }
        ol.demo-journal reversed {
            @for told in &view.journal {
                li data-open[told.open] {
                    time datetime=(told.at) { (told.at.get(11..19).unwrap_or_default()) } " "
                    strong { (told.what) }
                    p { (told.effect) }
                }
            }
        }
    }
}

/// 12345 as 12,345, as the script's `toLocaleString("en")` has it.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    let mut grouped = digits[..first].to_owned();
    for start in (first..digits.len()).step_by(3) {
        if !grouped.is_empty() {
            grouped.push(',');
        }
        grouped.push_str(&digits[start..start + 3]);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let grouped = [0, 12, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(grouped, ["0", "12", "999", "1,000", "12,345", "1,234,567"]);
    }
}
