//! `GET /metrics`: the gauges of a catalog node, as they are at a scrape.

use super::master::Master;
use super::mastership::Standing;
use super::replica::Replica;
use crate::metrics::{Exposition, MasterState, Sheet, families};
use crate::server::Exposed;
use crate::token::MetricsTokens;
use std::sync::Arc;

pub fn master(master: &Arc<Master>, tokens: Option<MetricsTokens>) -> Exposed {
    let of = Arc::clone(master);
    Exposed::new(Exposition::new(&master.counts, move |sheet| of_master(&of, sheet)), tokens)
}

pub fn replica(replica: &Arc<Replica>, tokens: Option<MetricsTokens>) -> Exposed {
    let of = Arc::clone(replica);
    Exposed::new(Exposition::new(&replica.counts, move |sheet| of_replica(&of, sheet)), tokens)
}

fn of_master(master: &Master, sheet: &mut Sheet) {
    let state = match master.mastership.standing() {
        Standing::Leads => MasterState::Leads,
        Standing::Sealed(_) => MasterState::Sealed,
        Standing::Deposed(_) => MasterState::Deposed,
    };
    sheet.one_of(&families::MASTER_STATE, state);
    sheet.flag(&families::IS_MASTER, state == MasterState::Leads);
    master.account.read(sheet);
    master.feed.read(sheet);
    master.leases.read(sheet);
    master.queue.read(sheet);
    master.reads.read(sheet);
}

fn of_replica(replica: &Replica, sheet: &mut Sheet) {
    let position = replica.position();
    sheet.flag(&families::IS_MASTER, false);
    sheet.gauge(&families::EPOCH, position.epoch.number as f64);
    sheet.gauge(&families::LOG_SEQ, position.seq as f64);
    sheet.flag(&families::ROWS_WRONG, replica.reads.are_wrong());
    replica.read(sheet);
    replica.reads.read(sheet);
}
