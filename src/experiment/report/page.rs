//! The report as one HTML file: nothing is loaded, no script runs, and it follows the reader's light or dark.

use super::{Done, Report};
use crate::experiment::outcome::{Picture, Table};
use crate::experiment::picture::{BAD, GOOD, GRID, INK, OTHERS, SHEET, SOFT};
use crate::pages;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::style::RGBColor;
use std::fmt::Write as _;

/// Beside the style sheet of every page.
const STYLE: &str = include_str!("page.css");

/// The colours of a picture by the names that the style sheets have for them.
const COLOURS: [(RGBColor, &str); 11] = [
    (SHEET, "--sheet"),
    (INK, "--ink"),
    (SOFT, "--ink-soft"),
    (GRID, "--line"),
    (GOOD, "--good"),
    (BAD, "--bad"),
    (OTHERS[0], "--series-1"),
    (OTHERS[1], "--series-2"),
    (OTHERS[2], "--series-3"),
    (OTHERS[3], "--series-4"),
    (OTHERS[4], "--series-5"),
];

pub fn render(report: &Report) -> Markup {
    let (claims, failed) = report.counts();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Bazar: the experiments" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                style { (PreEscaped(pages::style())) (PreEscaped(STYLE)) (PreEscaped(colours())) }
            }
            body {
                main {
                    header.report {
                        p.kicker { "Bazar, a distributed bookstore" }
                        h1 { "The experiments" }
                        p.lead {
                            "Reads come from a cache at memory speed and are still never stale: that is what this "
                            "store claims. This is what was seen."
                        }
                        (summary(report, claims, failed))
                    }
                    (verdicts(report))
                    @for done in &report.done { (experiment(done)) }
                    (circumstances(report))
                }
            }
        }
    }
}

fn summary(report: &Report, claims: usize, failed: usize) -> Markup {
    html! {
        p.summary {
            @if failed == 0 {
                span.badge.good { "PASS" } " all " (claims) " claims hold"
            } @else {
                span.badge.bad { "FAIL" } " " (failed) " of " (claims) " claims do not hold"
            }
            span.soft { " · " (report.begun()) " · " (format!("{:.0} s", report.took.as_secs_f64())) }
        }
        p.soft {
            code { (report.command) }
            @for name in ["processor", "cores", "bazar"] {
                @for (_, value) in report.machine.iter().filter(|(known, _)| *known == name) {
                    " · " @if name != "processor" { (name) " " } (value)
                }
            }
        }
    }
}

fn verdicts(report: &Report) -> Markup {
    html! {
        section.card aria-labelledby="verdicts" {
            h2 #verdicts { "Verdicts" }
            div.scroll tabindex="0" role="region" aria-labelledby="verdicts" {
                table {
                    thead {
                        tr { th scope="col" { "Experiment" } th scope="col" { "Verdict" } th.number scope="col" { "Claims" } }
                    }
                    tbody {
                        @for Done { experiment, outcome, .. } in &report.done {
                            @let claims = &outcome.claims;
                            tr {
                                th.row scope="row" {
                                    a href={ "#" (experiment.as_str()) } { (experiment.title()) }
                                }
                                td { (badge(outcome.holds())) }
                                td.number {
                                    (claims.iter().filter(|claim| claim.holds).count()) " of " (claims.len())
                                }
                            }
                        }
                    }
                }
            }
            @for (experiment, why) in report.left_out() {
                p.soft { "Not done: " (experiment.as_str()) ", because " (why) "." }
            }
        }
    }
}

fn badge(holds: bool) -> Markup {
    html! {
        @if holds { span.badge.good { "PASS" } } @else { span.badge.bad { "FAIL" } }
    }
}

fn experiment(done: &Done) -> Markup {
    let Done { experiment, outcome, .. } = done;
    let name = experiment.as_str();
    html! {
        section.card #(name) aria-labelledby={ (name) "-title" } {
            h2 #{ (name) "-title" } { (experiment.title()) }
            p.lead { (experiment.about()) }
            @for shown in &outcome.pictures { (picture(shown)) }
            ul.claims {
                @for claim in &outcome.claims {
                    li { (badge(claim.holds)) div { strong { (claim.claim) } br; span.soft { (claim.seen) } } }
                }
            }
            @for (number, shown) in outcome.tables.iter().enumerate() {
                (table(shown, &format!("{name}-table-{}", number + 1)))
            }
            @for note in &outcome.notes { p.note { (note) } }
        }
    }
}

fn picture(picture: &Picture) -> Markup {
    html! {
        figure.picture {
            div.scroll tabindex="0" role="img" aria-label={ (picture.title) ". " (picture.in_words) } {
                // Made here, of escaped text.
                (PreEscaped(&picture.svg))
            }
        }
    }
}

fn table(table: &Table, id: &str) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby=(id) {
            table {
                caption #(id) { (table.title) }
                thead {
                    tr {
                        @for (place, column) in table.columns.iter().enumerate() {
                            th scope="col" .number[place > 0] { (column) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (place, cell) in row.iter().enumerate() {
                                @if place == 0 { th.row scope="row" { (cell) } } @else { td.number { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn circumstances(report: &Report) -> Markup {
    html! {
        section.card aria-labelledby="circumstances" {
            h2 #circumstances { "How it was run" }
            pre tabindex="0" { (report.command) }
            dl {
                dt { "store" } dd { (report.store()) }
                dt { "each measurement" } dd { (report.config.duration.as_secs_f64()) " s, seed " (report.config.seed) }
                @for (name, value) in &report.machine { dt { (name) } dd { (value) } }
                @for Done { experiment, took, .. } in &report.done {
                    dt { (experiment.as_str()) } dd { "took " (format!("{:.1} s", took.as_secs_f64())) }
                }
            }
            p.note {
                "The clients share the machine with the stores that they load: compare what stands in one report, not "
                "two reports of two machines. Every number of this page, and the points of every line, are in "
                "experiments.csv and experiments.json beside it."
            }
        }
    }
}

/// Each colour of a picture follows the style sheet's.
fn colours() -> String {
    let mut css = String::new();
    for (RGBColor(red, green, blue), name) in COLOURS {
        for attribute in ["fill", "stroke"] {
            // Writing to a String cannot fail.
            let _ = writeln!(
                css,
                ".picture [{attribute}=\"#{red:02X}{green:02X}{blue:02X}\"] {{ {attribute}: var({name}); }}"
            );
        }
    }
    css
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::experiment::picture;

    #[test]
    fn a_page_loads_nothing_runs_nothing_and_escapes_what_it_shows() {
        let page = render(&report(&["http://shop:1"])).into_string();
        for foreign in ["<script", "<link", "<img", "src=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("what &lt;b&gt;fails&lt;/b&gt;") && page.contains("1 of 2 claims do not hold"));
        assert!(page.contains("Not done: recipes, because"));
    }

    #[test]
    fn every_colour_of_a_picture_has_a_name_in_the_style_sheets() {
        let bar = |tone| picture::Bar { value: 1.0, label: "1".into(), tone };
        let bars = [picture::Tone::Plain, picture::Tone::Good, picture::Tone::Bad].map(bar).into();
        let panel = picture::Panel { title: "p", share: 1, bars };
        let line =
            |_| picture::Line { name: "n".into(), points: vec![(0.0, 1.0)], tone: picture::Tone::Plain };
        let lines: Vec<_> = (0..5).map(line).collect();
        let svg = [
            picture::panels("t", &["a", "b", "c"], &[panel]).unwrap(),
            picture::lines("t", ("x", "y"), &lines, &[(0.0, "m".into())]).unwrap(),
        ]
        .concat();
        let known = colours();
        let used = svg.split(['"']).filter(|word| word.len() == 7 && word.starts_with('#'));
        for colour in used {
            assert!(known.contains(colour), "{colour}");
        }
        let styles = [pages::style(), STYLE].concat();
        for (_, name) in COLOURS {
            assert!(styles.contains(&format!("{name}:")), "{name}");
        }
    }
}
