//! What a family of series is: its name, its labels, who serves it, what it tells.

use super::label::label;

label! {
    /// Who counts. A process may be several of them (`bazar up`): each has a registry of its own.
    pub enum RoleName {
        Frontend = "frontend",
        Order = "order",
        Master = "master",
        Replica = "replica",
    }
}

/// A family of series.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// Who serves it.
    pub roles: &'static [RoleName],
    pub labels: &'static [(&'static str, Values)],
    /// A sentence.
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Counter,
    /// Read at each scrape.
    Gauge,
    /// With these upper bounds.
    Histogram(&'static [f64]),
}

/// What a label can be.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// One of these.
    Of(&'static [&'static str]),
    /// Few, for the reason that is told.
    Told(&'static str),
}

impl Family {
    pub const fn counter(name: &'static str, roles: &'static [RoleName], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, roles, labels: &[], help }
    }

    pub const fn gauge(name: &'static str, roles: &'static [RoleName], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, roles, labels: &[], help }
    }

    pub const fn histogram(
        name: &'static str,
        bounds: &'static [f64],
        roles: &'static [RoleName],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram(bounds), roles, labels: &[], help }
    }

    pub const fn by(self, labels: &'static [(&'static str, Values)]) -> Self {
        Self { labels, ..self }
    }

    pub fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|(name, _)| *name).collect()
    }
}
