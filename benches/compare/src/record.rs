//! What was measured, as data: every single measurement, the figures made of them, and why others are missing.

use crate::rounds::Series;
use crate::stats::Latencies;
use anyhow::Result;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// One line of measurements.csv. Written at once, so that an interrupted run leaves what it has.
pub struct Measurement<'a> {
    pub row: &'a str,
    pub side: &'a str,
    pub round: u32,
    /// What was varied, where something was: connections, clients, books.
    pub at: Option<f64>,
    pub value: f64,
    pub unit: &'a str,
}

/// A figure of the table.
pub struct Figure {
    /// Of the goal.
    pub id: &'static str,
    pub ours: f64,
    pub peer: Option<f64>,
    /// Of the ratios of the single rounds; of the figures where there is no peer.
    pub lowest: f64,
    pub highest: f64,
    pub note: String,
}

impl Figure {
    /// Ours beside a peer: medians of the rounds.
    pub fn ratio(id: &'static str, ours: &Series, peer: &Series) -> Self {
        let ratios = ours.values.iter().zip(&peer.values).map(|(ours, peer)| ours / peer);
        let (lowest, highest) = range(ratios);
        Self { id, ours: ours.median(), peer: Some(peer.median()), lowest, highest, note: String::new() }
    }

    /// Ours alone.
    pub fn alone(id: &'static str, ours: &Series) -> Self {
        let (lowest, highest) = range(ours.values.iter().copied());
        Self { id, ours: ours.median(), peer: None, lowest, highest, note: String::new() }
    }

    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// What the goal's bound is put to.
    pub fn judged(&self) -> f64 {
        self.peer.map_or(self.ours, |peer| self.ours / peer)
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// A line of a picture.
pub struct Curve {
    pub plot: Plot,
    pub side: String,
    pub points: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plot {
    ReadsByConnections,
    PurchasesByClients,
    CostByBooks,
    CostByFrontends,
    CostByReplicas,
}

/// A distribution that the report shows in whole.
pub struct Distribution {
    pub name: String,
    pub latencies: Latencies,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads at a given rate: a picture and a table.
    OpenLoop,
    /// One client: the experiments' table.
    OneClient,
}

pub struct Record {
    csv: File,
    pub figures: Vec<Figure>,
    pub curves: Vec<Curve>,
    pub distributions: Vec<Distribution>,
    /// Rows that were not measured, and why.
    pub missing: Vec<(u8, String)>,
    /// Settings of peers, in words that can be typed again.
    pub settings: Vec<(String, String)>,
}

impl Record {
    pub fn new(out: &Path) -> Result<Self> {
        let mut csv = File::create(out.join("measurements.csv"))?;
        writeln!(csv, "row,side,round,at,value,unit")?;
        Ok(Self {
            csv,
            figures: Vec::new(),
            curves: Vec::new(),
            distributions: Vec::new(),
            missing: Vec::new(),
            settings: Vec::new(),
        })
    }

    pub fn write(&mut self, one: &Measurement) -> Result<()> {
        let at = one.at.map(|at| at.to_string()).unwrap_or_default();
        let side = one.side.replace('"', "\"\"");
        writeln!(self.csv, "{},\"{side}\",{},{at},{},{}", one.row, one.round, one.value, one.unit)?;
        Ok(())
    }

    pub fn point(&mut self, plot: Plot, side: &str, at: f64, value: f64) {
        match self.curves.iter_mut().find(|curve| curve.plot == plot && curve.side == side) {
            Some(curve) => curve.points.push((at, value)),
            None => self.curves.push(Curve { plot, side: side.into(), points: vec![(at, value)] }),
        }
    }

    /// Once for each peer.
    pub fn setting(&mut self, peer: &str, text: String) {
        if !self.settings.iter().any(|(known, _)| known == peer) {
            self.settings.push((peer.into(), text));
        }
    }
}
