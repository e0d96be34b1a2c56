//! A frontend's pools of nodes: who is in the balance, and what was tried twice.

use super::Sheet;
use super::families::{POOL_CALLS, POOL_DEATHS, POOL_EJECTIONS, POOL_NODES, RETRIES, RETRY_BUDGET};
use super::label::label;
use std::sync::atomic::{AtomicU64, Ordering};

label! {
    /// Whom a pool is of.
    pub enum PoolName {
        Catalog = "catalog",
        Order = "order",
    }
}

label! {
    /// How a node stands.
    pub enum NodeState {
        Well = "well",
        Ejected = "ejected",
        Dead = "dead",
    }
}

label! {
    /// Why a node is taken out for its traffic.
    pub enum Fault {
        Fails = "fails",
        /// It answers: who waits for it need not give up.
        Slow = "slow",
    }
}

label! {
    /// Whether the budget had room for another attempt.
    pub enum Retry {
        Allowed = "allowed",
        Denied = "denied",
    }
}

/// What one pool has counted.
#[derive(Debug, Default)]
pub struct PoolCounts {
    ejections: [AtomicU64; Fault::VALUES.len()],
    deaths: AtomicU64,
    retries: [AtomicU64; Retry::VALUES.len()],
}

impl PoolCounts {
    pub fn ejected(&self, fault: Fault) {
        self.ejections[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn died(&self) {
        self.deaths.fetch_add(1, Ordering::Relaxed);
    }

    pub fn retried(&self, retry: Retry) {
        self.retries[retry as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// With how its nodes stand, how many calls they have under way, and how many retries there may be.
    pub fn read(&self, sheet: &mut Sheet, pool: PoolName, nodes: &[NodeState], calls: usize, budget: f64) {
        let pool = pool.label();
        for &state in NodeState::ALL {
            let standing = nodes.iter().filter(|&&of| of == state).count();
            sheet.gauge_of(&POOL_NODES, &[pool, state.label()], standing as f64);
        }
        let total = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        for &fault in Fault::ALL {
            let ejections = &self.ejections[fault as usize];
            sheet.counter_of(&POOL_EJECTIONS, &[pool, fault.label()], total(ejections));
        }
        for &retry in Retry::ALL {
            sheet.counter_of(&RETRIES, &[pool, retry.label()], total(&self.retries[retry as usize]));
        }
        sheet.counter_of(&POOL_DEATHS, &[pool], total(&self.deaths));
        sheet.gauge_of(&POOL_CALLS, &[pool], calls as f64);
        sheet.gauge_of(&RETRY_BUDGET, &[pool], budget);
    }
}
