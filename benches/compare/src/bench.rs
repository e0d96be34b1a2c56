//! What every row shares: the options, a directory on a real disk, the record.

use crate::cli::Options;
use crate::dataset::Dataset;
use crate::record::{Distribution, Figure, Kind, Measurement, Plot, Record};
use crate::stats::Latencies;
use anyhow::{Context, Result};
use std::cell::{OnceCell, Ref, RefCell};
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Bench {
    pub options: Options,
    /// Written to while the sides of a comparison hold on to the rest of this.
    record: RefCell<Record>,
    /// The large catalog; made by the first row that needs it.
    pub dataset: OnceCell<Dataset>,
    /// Shared by all roles of the stores under test; drawn for this run.
    pub token: String,
    began: Instant,
    // Last, so that it outlives whatever has files in it.
    dir: TempDir,
}

impl Bench {
    pub fn new(options: Options) -> Result<Self> {
        fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
        let dir = tempfile::Builder::new().prefix("bazar-compare.").tempdir_in(&options.data)?;
        // PostgreSQL and Varnish run as users of their own, and must get through.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711))?;
        let record = RefCell::new(Record::new(&options.out)?);
        let token = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        Ok(Self { options, record, dataset: OnceCell::new(), token, began: Instant::now(), dir })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A directory of its own under the run's; not made yet.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn wants(&self, row: u8) -> bool {
        self.options.only.contains(&row)
    }

    pub fn record(&self) -> Ref<'_, Record> {
        self.record.borrow()
    }

    /// Adds a line to the raw data.
    pub fn write(&self, one: &Measurement) -> Result<()> {
        self.record.borrow_mut().write(one)
    }

    /// Adds a figure to the table.
    pub fn figure(&self, figure: Figure) {
        self.record.borrow_mut().figures.push(figure);
    }

    pub fn point(&self, plot: Plot, side: &str, at: f64, value: f64, unit: &str) -> Result<()> {
        self.say(&format!("{plot:?}: {side} at {at}: {value:.3} {unit}"));
        self.write(&Measurement { row: &format!("{plot:?}"), side, round: 1, at: Some(at), value, unit })?;
        self.record.borrow_mut().point(plot, side, at, value);
        Ok(())
    }

    pub fn distribution(&self, name: &str, latencies: Latencies, kind: Kind) {
        self.record.borrow_mut().distributions.push(Distribution { name: name.into(), latencies, kind });
    }

    /// Notes a peer's settings, for the report.
    pub fn setting(&self, peer: &str, text: impl Into<String>) {
        self.record.borrow_mut().setting(peer, text.into());
    }

    pub fn missing(&self, row: u8, why: &str) {
        self.record.borrow_mut().missing.push((row, why.into()));
    }

    /// How long the run has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn say(&self, what: &str) {
        eprintln!("{:>5.0} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

/// A port of the loopback that is free now, for a server that cannot pick one and say which. Somebody else may take it
/// before that server does; then it does not start, and the run ends with its complaint.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
