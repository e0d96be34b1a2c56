//! The dashboard: one page on which the whole store can be watched at work.
//!
//! ```text
//!  every node ──GET /status──▶ watch ──▶ view (what is known now) ──▶ page ──events──▶ who looks
//! ```
//!
//! It lies below the roles: a frontend shows it, and so can any process that knows where the nodes are
//! ([`Surroundings`]).
//!
//! Invariants: nodes are asked once a second while somebody looks, whoever many look, and not at all otherwise;
//! what is shown names no order, no token and no password; the page is whole without a script, which only keeps
//! it up to date.
//!
//! | file | what it does |
//! |---|---|
//! | `watch` | asks the nodes, once for all who look |
//! | `nodes` | which nodes there are, by what they and others say |
//! | `view` | what is known at a moment: the JSON that is sent |
//! | `rates` | figures per second and percentiles, from the totals of two moments |
//! | `problems` | what is not as it should be, in sentences; what has changed about that |
//! | `page` | the page · `drawing` the store as a picture · `plot` the last two minutes of a figure |

mod drawing;
mod nodes;
mod page;
mod plot;
mod problems;
mod rates;
mod view;
mod watch;

use crate::client::BaseUrl;
use crate::pages::Asset;
use crate::server::{ApiError, resource, stream_events};
use crate::wire::ErrorCode;
use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use maud::Markup;

pub use watch::Dashboard;

/// What a node is asked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Frontend,
    Order,
    Catalog,
}

/// A node to ask: where it answers `/status`, which a frontend does on its internal listener.
#[derive(Debug, Clone)]
pub struct Whom {
    pub kind: Kind,
    pub url: BaseUrl,
    /// How to call it; otherwise it gets a number.
    pub name: Option<String>,
}

/// What whoever shows the dashboard knows about the store.
pub trait Surroundings: Send + Sync + 'static {
    /// Whom to ask, beside those that answers name.
    fn nodes(&self) -> Vec<Whom>;

    /// Whether these are all there are: then an address that an answer names, and where nobody has ever
    /// answered, is no node of its own.
    fn are_all(&self) -> bool {
        false
    }

    /// What stands on the page beside the view.
    fn controls(&self) -> Option<Controls> {
        None
    }

    /// What each view carries besides, for the scripts of the controls.
    fn demo(&self) -> Option<serde_json::Value> {
        None
    }
}

/// Something to do on the dashboard.
pub struct Controls {
    pub markup: Markup,
    pub styles: Vec<&'static Asset>,
    pub scripts: Vec<&'static Asset>,
}

impl Dashboard {
    /// Adds its routes.
    pub fn configure(&self, config: &mut ServiceConfig) {
        config
            .app_data(Data::new(self.clone()))
            .service(resource("/dashboard", "GET", web::get().to(page)))
            .service(resource("/dashboard/events", "GET", web::get().to(events)));
        page::STYLE.configure(config);
        page::SCRIPT.configure(config);
        for asset in
            self.controls().into_iter().flat_map(|controls| [controls.styles, controls.scripts].concat())
        {
            asset.configure(config);
        }
    }
}

async fn page(dashboard: Data<Dashboard>) -> HttpResponse {
    let frame = dashboard.glance().await;
    page::answer(frame.as_deref(), dashboard.controls())
}

async fn events(dashboard: Data<Dashboard>) -> Result<HttpResponse, ApiError> {
    let frames = dashboard.look().ok_or(ErrorCode::Unavailable)?;
    Ok(stream_events(frames, dashboard.stop()))
}
