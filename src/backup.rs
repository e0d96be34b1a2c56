//! `bazar backup`: a whole copy of the store in one file, taken from a running node.
//!
//! A backup is the SQLite file that the node made a copy of, and behind it a line with the SHA-256 sum of that
//! file (as etcd does with its snapshots): so it is one file, which appears and is moved as a whole, and SQLite,
//! which knows from its head how long it is, opens it as it is.
//!
//! Invariant: under the name that was asked for there is what was there before, or a backup that is whole,
//! checked and on disk.

use crate::client::{BaseUrl, CallError, Peer};
use crate::domain::Sha256Sum;
use crate::member::Member;
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::store::{Contents, OpenError};
use crate::token::InternalToken;
use crate::wire::catalog::{BACKUP, BACKUP_DEADLINE, BackupQuery, NodeState, StateOf};
use bytesize::ByteSize;
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempPath;

/// For asking the master who its replicas are.
const ASK_DEADLINE: Duration = Duration::from_secs(2);

/// Only its owner: there are orders in it.
const MODE: u32 = 0o600;

/// The last line of a backup, before the sum.
const SUM: &str = "\nbazar backup 1, sha256 ";

/// What was asked for, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub source: Source,
    pub output: PathBuf,
    /// What is there under that name may be replaced.
    pub force: bool,
    /// What a node has will do, whether or not that is everything.
    pub stale: bool,
}

/// Who is asked.
#[derive(Debug, Clone)]
pub enum Source {
    /// One after the other, until one gives a backup.
    Nodes(Vec<BaseUrl>),
    /// The store that `bazar up` runs: a replica that is in sync, else the master.
    Running(BaseUrl),
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0} sent something else than it had announced")]
    Altered(BaseUrl),
    #[error("what {node} sent is no backup: {source}")]
    Unusable { node: BaseUrl, source: OpenError },
    #[error("{} is there already: --force replaces it", .0.display())]
    Exists(PathBuf),
    #[error("{} is being written by another backup", .0.display())]
    InUse(PathBuf),
    #[error("{} cannot be written: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("stopped, and nothing was written")]
    Stopped,
}

impl Config {
    /// Returns what to tell the operator.
    pub async fn run(self, token: InternalToken, stop: Shutdown) -> Result<String, BackupError> {
        let member = Member::new(token);
        let mut target = Target::claim(self.output.clone(), self.force)?;
        let taken = tokio::select! {
            taken = self.take(&member, &mut target) => taken?,
            () = stop.cancelled() => return Err(BackupError::Stopped),
        };
        target.publish(self.force)?;
        let Taken { node, contents, length } = taken;
        let (path, size) = (self.output.display(), ByteSize::b(length));
        Ok(format!("{path}: {}, {size} from {node}", contents.told()))
    }

    /// From the first node that gives one.
    async fn take(&self, member: &Member, target: &mut Target) -> Result<Taken, BackupError> {
        let mut nodes = self.source.nodes(member).await.into_iter().peekable();
        loop {
            // Configurations see to it that there is one.
            let Some(node) = nodes.next() else { return Err(BackupError::Stopped) };
            match self.take_from(node, member, target).await {
                // Nothing that another node could do better.
                Err(error @ BackupError::Write { .. }) => return Err(error),
                Err(error) if nodes.peek().is_some() => eprintln!("{error}: asking the next node"),
                taken => return taken,
            }
        }
    }

    async fn take_from(
        &self,
        node: BaseUrl,
        member: &Member,
        target: &mut Target,
    ) -> Result<Taken, BackupError> {
        target.empty()?;
        let peer = Peer::new(node.clone(), member);
        let mut path = BACKUP.to_owned();
        if self.stale {
            let query = serde_urlencoded::to_string(BackupQuery { stale: true }).unwrap_or_default();
            path = format!("{path}?{query}");
        }
        let mut progress = Progress::new(None);
        progress.at(0, |_| format!("{node} makes a copy of its file"));
        let (mut sum, mut length, mut failed) = (Sha256::new(), 0, None);
        let announced = {
            let progress = std::cell::RefCell::new(&mut progress);
            let begun = |announced| {
                progress.borrow().end();
                **progress.borrow_mut() = Progress::new(Some(announced));
            };
            let sink = async |chunk: &[u8]| {
                sum.update(chunk);
                length += chunk.len() as u64;
                progress.borrow_mut().at(length, |seconds| rate(length, seconds));
                target.file.write_all(chunk).map_err(|error| {
                    let told = io::Error::new(error.kind(), error.to_string());
                    failed = Some(error);
                    told
                })
            };
            peer.download(&path, "backup", BACKUP_DEADLINE, begun, sink).await
        };
        progress.end();
        if let Some(error) = failed {
            return Err(target.failed(error));
        }
        let sum = Sha256Sum(sum.finalize().into());
        if announced? != sum {
            return Err(BackupError::Altered(node));
        }
        progress = Progress::new(None);
        progress.at(length, |_| "every page and row of it is checked".into());
        let contents = Contents::check(&target.partial).await;
        progress.end();
        let contents = contents.map_err(|source| BackupError::Unusable { node: node.clone(), source })?;
        target.end_with(sum)?;
        Ok(Taken { node, contents, length })
    }
}

struct Taken {
    node: BaseUrl,
    contents: Contents,
    length: u64,
}

/// So many bytes, and how fast they come.
pub fn rate(bytes: u64, seconds: f64) -> String {
    format!("{}, {}/s", ByteSize::b(bytes), ByteSize::b((bytes as f64 / seconds) as u64))
}

impl Source {
    /// Of a running store, whose master has enough to do, the replicas first.
    async fn nodes(&self, member: &Member) -> Vec<BaseUrl> {
        let master = match self {
            Self::Nodes(nodes) => return nodes.clone(),
            Self::Running(master) => master,
        };
        let mut nodes = Vec::new();
        let state = Peer::new(master.clone(), member).get("/readyz", "backup", ASK_DEADLINE).await;
        if let Ok(NodeState { of: StateOf::Master { replicas, .. }, .. }) = state {
            let in_sync = replicas.iter().filter(|replica| replica.in_sync);
            nodes.extend(in_sync.filter_map(|replica| BaseUrl::parse(&replica.url).ok()));
        }
        nodes.push(master.clone());
        nodes
    }
}

/// The file on its way, beside the place where it will be.
struct Target {
    path: PathBuf,
    /// Removed unless it gets its name.
    partial: TempPath,
    /// Behind it, because the lock on this one says that the name is ours.
    file: File,
}

impl Target {
    /// Takes the place, and what a backup that was killed has left there.
    fn claim(path: PathBuf, force: bool) -> Result<Self, BackupError> {
        if !force && path.exists() {
            return Err(BackupError::Exists(path));
        }
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        match claim(&partial) {
            Ok(Some(file)) => {
                let partial = TempPath::try_from_path(&partial);
                let partial = partial.map_err(|source| BackupError::Write { path: path.clone(), source })?;
                Ok(Self { path, file, partial })
            }
            Ok(None) => Err(BackupError::InUse(path)),
            Err(source) => Err(BackupError::Write { path: partial, source }),
        }
    }

    fn empty(&mut self) -> Result<(), BackupError> {
        let emptied = self.file.set_len(0).and_then(|()| io::Seek::rewind(&mut self.file));
        emptied.map_err(|error| self.failed(error))
    }

    /// Adds the last line, and waits until everything is on disk.
    fn end_with(&mut self, sum: Sha256Sum) -> Result<(), BackupError> {
        let line = format!("{SUM}{sum}\n");
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|error| self.failed(error))
    }

    /// Gives the file its name.
    fn publish(self, force: bool) -> Result<(), BackupError> {
        let Self { path, file, partial } = self;
        let named = match force {
            true => partial.persist(&path),
            false => partial.persist_noclobber(&path),
        };
        // Until here, so that nobody else took it.
        drop(file);
        named.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(path.clone()),
            _ => BackupError::Write { path: path.clone(), source: error.error },
        })?;
        let dir = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|source| BackupError::Write { path, source })
    }

    fn failed(&self, source: io::Error) -> BackupError {
        BackupError::Write { path: self.path.clone(), source }
    }
}

/// The file at `path`, locked, for its owner only; `None` while somebody else has the lock.
fn claim(path: &Path) -> io::Result<Option<File>> {
    const NO_SYMLINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    loop {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(MODE).custom_flags(NO_SYMLINK);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had the lock may have given the file another name, or removed it.
        let (ours, there) = (file.metadata()?, fs::symlink_metadata(path));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            file.set_permissions(fs::Permissions::from_mode(MODE))?;
            return Ok(Some(file));
        }
    }
}

/// Where the copy in a backup ends, and its sum; `None` where the last line says nothing of it.
pub fn end_of(file: &mut File) -> io::Result<Option<(u64, Sha256Sum)>> {
    const DIGITS: usize = 64;
    let mut line = [0; SUM.len() + DIGITS + 1];
    let length = file.metadata()?.len();
    let Some(end) = length.checked_sub(line.len() as u64) else { return Ok(None) };
    io::Seek::seek(file, io::SeekFrom::Start(end))?;
    io::Read::read_exact(file, &mut line)?;
    let line = str::from_utf8(&line).ok();
    let sum = line.and_then(|line| line.strip_prefix(SUM)?.strip_suffix('\n')?.parse().ok());
    Ok(sum.map(|sum| (end, sum)))
}
