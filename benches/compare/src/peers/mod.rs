//! What Bazar is compared with, each with the settings that favour it for the work at hand. The settings go into the
//! report.

pub mod bare;
pub mod nginx;
pub mod postgres;
pub mod redis;
pub mod sqlite;
pub mod varnish;

use crate::http::Connection;
use anyhow::Result;
use std::net::SocketAddr;

/// Whether anybody listens there.
fn listens(address: SocketAddr) -> Result<bool> {
    Ok(Connection::open(address).is_ok())
}
