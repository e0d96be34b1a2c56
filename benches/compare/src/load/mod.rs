//! Load. Closed loop with many clients: wrk and pgbench, whom everybody knows. Closed loop with one client: `serial`.
//! At a given rate: `open`.

pub mod open;
pub mod serial;
pub mod wrk;
