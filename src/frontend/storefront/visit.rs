//! One visitor's request: what the browser has seen before, what is read for it, and what is sent back.
//!
//! Invariant: after a visitor has bought, no page shows a state without the purchase. Reads are
//! linearizable anyway while there is a master; the version in the cookie keeps the promise when answers may
//! be stale. A version that this store cannot know (it was wiped, or restored from a backup) is dropped.

use super::cookies::{Kept, VisitorId};
use super::{SCRIPT, STYLE, Storefront, parts, trouble};
use crate::clock;
use crate::coherence::Moment;
use crate::domain::{OrderId, Version};
use crate::frontend::cache::{Served, Want};
use crate::frontend::demand::{Demand, Level};
use crate::frontend::live;
use crate::frontend::shop::Shop;
use crate::pages::{Page, Section, protect};
use crate::server::{request_id, retry_after};
use crate::wire::{ErrorCode, Problem, headers};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

/// What a page of the shop is about.
pub struct View {
    pub status: StatusCode,
    pub title: String,
    pub section: Section,
    /// What the search box holds.
    pub words: String,
    pub main: Markup,
}

impl View {
    pub fn new(title: impl Into<String>, main: Markup) -> Self {
        let (status, section, words) = (StatusCode::OK, Section::Shop, String::new());
        Self { status, title: title.into(), section, words, main }
    }

    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

pub struct Visit<'a> {
    pub storefront: &'a Storefront,
    pub request_id: String,
    came_in: Moment,
    secure: bool,
    came_with: Kept,
    kept: Kept,
    stale: bool,
}

impl<'a> Visit<'a> {
    pub fn new(storefront: &'a Storefront, request: &HttpRequest) -> Self {
        // Whoever makes this up gets cookies that he cannot use.
        let by = request.headers().get("x-forwarded-proto");
        Self {
            storefront,
            request_id: request_id(request),
            came_in: clock::now(),
            secure: by.is_some_and(|by| by.as_bytes().eq_ignore_ascii_case(b"https")),
            came_with: Kept::of(request.headers()),
            kept: Kept::of(request.headers()),
            stale: false,
        }
    }

    pub fn shop(&self) -> &'a Shop {
        &self.storefront.shop
    }

    /// The orders that this browser remembers, the newest first.
    pub fn orders(&self) -> &[OrderId] {
        &self.kept.orders
    }

    /// Who a form is given to.
    pub fn visitor(&mut self) -> VisitorId {
        *self.kept.visitor.get_or_insert_with(|| VisitorId(rand::random()))
    }

    /// Who sends a form, if the browser was given one before.
    pub fn known_visitor(&self) -> Option<VisitorId> {
        self.came_with.visitor
    }

    /// What is read from now on shows this version, if the store knows it.
    pub fn has_seen(&mut self, version: Version) {
        self.kept.seen = Some(self.kept.seen.map_or(version, |seen| later(seen, version)));
    }

    pub fn has_bought(&mut self, order: OrderId, version: Version) {
        self.kept.remember(order);
        self.has_seen(version);
    }

    /// The same, of an order of which no more is known.
    pub fn has_ordered(&mut self, order: OrderId) {
        self.kept.remember(order);
    }

    pub async fn read(&mut self, want: &Want) -> Result<Served, Problem> {
        let minimum = self.kept.seen.map(Version::public);
        let demand = Demand { level: Level::Usual, minimum };
        let served = match self.ask(want, demand).await {
            // Of another life of the store, or of one that has lost its end.
            Err(problem) if problem.code == ErrorCode::VersionUnavailable && minimum.is_some() => {
                self.kept.seen = None;
                self.ask(want, Demand::default()).await?
            }
            answer => answer?,
        };
        if let Some(seen) = self.kept.seen {
            self.kept.seen = Some(later(seen, served.entry.asof()));
        }
        self.stale |= served.stale;
        Ok(served)
    }

    async fn ask(&self, want: &Want, demand: Demand) -> Result<Served, Problem> {
        self.shop().read(want, demand, self.came_in, &self.request_id).await
    }

    /// The page, or what went wrong as one.
    pub fn show(self, view: Result<View, Problem>) -> HttpResponse {
        let retry_after = view.as_ref().err().map_or(trouble::RETRY_AFTER, retry_after);
        let view = view.unwrap_or_else(|problem| trouble::view(&problem));
        let page = Page {
            title: &view.title,
            section: view.section,
            words: &view.words,
            styles: &[&STYLE],
            scripts: &[&SCRIPT, &live::SCRIPT],
            main: html! { (self.notices()) (view.main) (parts::stock_words()) },
        };
        let mut answer = page.answer(view.status);
        if matches!(view.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            answer.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        if self.stale {
            answer.headers_mut().insert(header::WARNING, HeaderValue::from_static(headers::WARNING_STALE));
        }
        self.keep(&mut answer);
        answer
    }

    /// To the page of an order. With GET, so that a reload there buys nothing.
    pub fn go_to_receipt(self, order: OrderId) -> HttpResponse {
        let mut answer = HttpResponse::SeeOther();
        answer.insert_header((header::LOCATION, format!("/receipts/{order}")));
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        let mut answer = answer.finish();
        protect(answer.headers_mut());
        self.keep(&mut answer);
        answer
    }

    fn keep(&self, answer: &mut HttpResponse) {
        for line in self.kept.changes(&self.came_with, self.secure) {
            answer.headers_mut().append(header::SET_COOKIE, line);
        }
    }

    fn notices(&self) -> Markup {
        html! {
            @if let Some(recipe) = self.shop().cache.recipe {
                div.notice.bad {
                    p {
                        strong { "This store runs without its protection." }
                        " It keeps its cache by the recipe “" (recipe) "”, to be compared with: "
                        "what you see may be out of date without saying so."
                    }
                }
            }
            @if self.stale {
                div.notice.warn role="status" {
                    p {
                        strong { "This may be out of date." }
                        " The shop cannot ask its stock-keeper right now. Look around; buying may have to wait a moment."
                    }
                }
            }
        }
    }
}

/// The later of what was seen and what is seen now. Two lives of one number do not compare: the store that
/// answers now is the one that there is.
fn later(seen: Version, now: Version) -> Version {
    let earlier = match seen.epoch.number == now.epoch.number {
        true => seen.epoch != now.epoch || seen.seq < now.seq,
        false => seen.epoch.number < now.epoch.number,
    };
    if earlier { now } else { seen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Epoch;

    #[test]
    fn the_later_version_is_remembered_and_that_of_another_life_is_not() {
        let version = |number, identity, seq| Version { epoch: Epoch { number, identity }, seq };
        let seen = version(3, 7, 17);
        for (now, remembered) in [
            (version(3, 7, 16), seen),
            (version(3, 7, 18), version(3, 7, 18)),
            (version(2, 7, 99), seen),
            (version(4, 1, 2), version(4, 1, 2)),
            (version(3, 8, 2), version(3, 8, 2)),
        ] {
            assert_eq!(later(seen, now), remembered, "{now}");
        }
    }
}
