//! The frame around a page's own content.

use super::assets::Asset;
use super::headers::protect;
use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use maud::{DOCTYPE, Markup, html};

pub static STYLE: Asset = Asset::css("bazar", include_str!("assets/bazar.css"));
pub static ICON: Asset = Asset::svg("icon", include_str!("assets/icon.svg"));

/// Where in the site a page belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Shop,
    Orders,
    Dashboard,
    Api,
    Admin,
}

/// The navigation, in the order in which it is shown.
const NAVIGATION: [(Section, &str, &str); 3] = [
    (Section::Orders, "/my-orders", "My orders"),
    (Section::Dashboard, "/dashboard", "Dashboard"),
    (Section::Api, "/docs", "API"),
];

/// A page: what differs from one to the next.
pub struct Page<'a> {
    /// What the browser's tab says, without the name of the shop.
    pub title: &'a str,
    pub section: Section,
    /// What the search box holds.
    pub words: &'a str,
    /// Beside the common one.
    pub styles: &'a [&'static Asset],
    pub scripts: &'a [&'static Asset],
    pub main: Markup,
}

impl Page<'_> {
    /// As an answer that is never kept: also who goes back sees what is there now.
    pub fn answer(self, status: StatusCode) -> HttpResponse {
        let mut answer = HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(self.markup().into_string());
        protect(answer.headers_mut());
        answer
    }

    fn markup(self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    title { (self.title) " · Bazar" }
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    link rel="icon" type="image/svg+xml" href=(ICON.path());
                    link rel="stylesheet" href=(STYLE.path());
                    @for style in self.styles { link rel="stylesheet" href=(style.path()); }
                    @for script in self.scripts { script src=(script.path()) defer {} }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        div.bar {
                            a.brand href="/" aria-current=[(self.section == Section::Shop).then_some("true")] {
                                img src=(ICON.path()) alt="" width="28" height="28";
                                "Bazar"
                            }
                            form.find role="search" action="/find" method="get" {
                                label.visually-hidden for="words" { "Search in titles" }
                                input #words type="search" name="q" value=(self.words) maxlength="200"
                                    placeholder="Search in titles" autocomplete="off" enterkeyhint="search";
                                button type="submit" { "Search" }
                            }
                            nav aria-label="Main" {
                                ul {
                                    @for (section, path, name) in NAVIGATION {
                                        li {
                                            a href=(path) aria-current=[(section == self.section).then_some("true")] {
                                                (name)
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    main #main tabindex="-1" { (self.main) }
                    footer.bottom {
                        p {
                            "Bazar is a distributed bookstore: reads come from a cache and are still never stale. "
                            "What it sells is made up."
                        }
                    }
                }
            }
        }
    }
}
