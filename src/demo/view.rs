//! What is shown of the demonstration: a member of the dashboard's view, and the answer of every button.

use super::Demo;
use super::faults::Kind;
use super::journal::Told;
use super::loading;
use super::place::Place;
use super::process::State;
use super::redis::Redis;
use serde::{Serialize, Serializer};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    pub processes: Vec<ProcessView>,
    pub redis: RedisView,
    pub load: loading::Shown,
    /// The newest first.
    pub journal: Vec<Told>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessView {
    pub role: Place,
    /// Absent for what is not ours: a Redis that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    pub state: Shape,
    pub restarts: u32,
    /// What can be done to it.
    pub faults: Vec<Kind>,
}

/// What people see of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Starting,
    Running,
    Paused,
    Down,
    /// It runs, and is cut off from the others.
    Cut,
    /// It is not ours: how it is only those know who use it.
    Foreign,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedisView {
    /// `ours`, `given` or `none`.
    pub kind: &'static str,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

impl Demo {
    pub fn view(&self) -> View {
        let mut processes: Vec<ProcessView> = self
            .processes
            .iter()
            .map(|process| {
                let status = process.status.borrow();
                let state = match status.state {
                    State::Starting => Shape::Starting,
                    State::Running if self.faults.is_cut(process.place) => Shape::Cut,
                    State::Running => Shape::Running,
                    State::Paused => Shape::Paused,
                    State::Down => Shape::Down,
                };
                ProcessView {
                    role: process.place,
                    pid: status.pid,
                    state,
                    restarts: status.starts.saturating_sub(1),
                    faults: self.faults.possible(process.place),
                }
            })
            .collect();
        let redis = match &self.redis {
            Redis::Ours { .. } => RedisView { kind: "ours", reason: None },
            Redis::Given { .. } => {
                let cut = self.faults.is_cut(Place::Redis);
                processes.push(ProcessView {
                    role: Place::Redis,
                    pid: None,
                    state: if cut { Shape::Cut } else { Shape::Foreign },
                    restarts: 0,
                    faults: self.faults.possible(Place::Redis),
                });
                RedisView { kind: "given", reason: None }
            }
            Redis::None { reason } => RedisView { kind: "none", reason: Some(reason) },
        };
        View { processes, redis, load: self.loading.shown(), journal: self.journal.told() }
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.in_words())
    }
}

impl Shape {
    pub const fn in_words(self) -> &'static str {
        match self {
            Shape::Starting => "starting",
            Shape::Running => "running",
            Shape::Paused => "paused",
            Shape::Down => "down",
            Shape::Cut => "cut off",
            Shape::Foreign => "not ours",
        }
    }
}
