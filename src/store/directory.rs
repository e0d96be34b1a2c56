//! The data directory: who holds it, and which of its files is the store.
//!
//! ```text
//! LOCK            locked while a process uses the directory; says which
//! NODE            whose directory this is: drawn at random when it was made
//! IN_SYNC         a master's: the replicas that acknowledgements wait for
//! CURRENT         the name of the generation in use
//! generation-3/   bazar.db, bazar.db-wal, bazar.db-shm
//! incoming/       a snapshot on its way, of no meaning to anybody but its taker
//! set-aside/      the last generation that a snapshot of another history replaced, for people
//! RESTORING       a copy is being restored into it, and is not whole yet
//! RESTORED        it was restored to be the master of the store, and was not started since
//! ```
//!
//! Invariant: CURRENT names a complete generation or is not there; it changes by one rename. A
//! generation is a directory of its own, because a new file beside an old WAL would be corrupted by it. The
//! small files are replaced by one rename each, so that each is whole at any moment. All of it is for the owner's eyes
//! only (`private`).

use super::{
    Incoming, OpenError, Store, Writer, connection, private, restore,
    schema::{self, Inspection},
};
use crate::domain::NodeId;
use sqlx::Connection;
use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

pub(super) const DATABASE: &str = "bazar.db";
pub(super) const LOCK: &str = "LOCK";
pub(super) const NODE: &str = "NODE";
const IN_SYNC: &str = "IN_SYNC";
pub(super) const CURRENT: &str = "CURRENT";
pub(super) const GENERATION: &str = "generation-";
pub(super) const INCOMING: &str = "incoming";
const SET_ASIDE: &str = "set-aside";

/// In a generation: it is not to be removed but set aside.
const KEEP: &str = "KEEP";

/// More than any of the small files has: a name, or the identities of some dozens of replicas.
const SMALL_FILE: u64 = 64 << 10;

/// A data directory that this process holds. The lock ends when this value, every [`Incoming`], every
/// [`InSyncFile`] and the [`Writer`] made from it are gone.
#[derive(Debug)]
pub struct DataDir {
    held: Arc<Held>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) dir: PathBuf,
    node: NodeId,
    pub(super) receiving: AtomicBool,
    /// Kept for the lock on it, which the operating system drops with the process, however it ends.
    _lock: File,
}

impl DataDir {
    /// Takes the directory for this process, making it if need be. `role` ("catalog master") is what
    /// another process is told that comes second and gets [`OpenError::Locked`].
    pub fn lock(dir: &Path, role: &str) -> Result<DataDir, OpenError> {
        let lock = take_lock(dir, role)?;
        restore::refuse_half_restored(dir)?;
        if let Some(why) = fs::metadata(dir).ok().and_then(|metadata| private::too_open(&metadata)) {
            log::warn!("{}: {why}. It holds every order: chmod go-rwx", dir.display());
        }
        Ok(Self::holding(dir, node_of(dir)?, lock))
    }

    pub(super) fn holding(dir: &Path, node: NodeId, lock: File) -> DataDir {
        let held = Held { dir: dir.into(), node, receiving: AtomicBool::new(false), _lock: lock };
        DataDir { held: Arc::new(held) }
    }

    pub fn path(&self) -> &Path {
        &self.held.dir
    }

    /// Whose directory this is, through all lives of its process.
    pub fn node(&self) -> NodeId {
        self.held.node
    }

    /// Where a master remembers its in-sync set.
    pub fn in_sync_file(&self) -> InSyncFile {
        InSyncFile { held: Arc::clone(&self.held) }
    }

    /// Opens what CURRENT names, or makes the first generation; brings the schema up to date; removes
    /// other generations. `readers` is the number of connections for reading.
    ///
    /// Close the pair of an earlier call first: the directory has one writer.
    pub async fn open(&self, readers: u32) -> Result<(Store, Writer), OpenError> {
        let generation = match self.held.find_generation()? {
            Some(generation) => generation,
            None => self.create_first_generation().await?,
        };
        let path = self.held.dir.join(&generation).join(DATABASE);
        for link in [self.held.dir.join(&generation), path.clone()] {
            if link.is_symlink() {
                return Err(OpenError::Damaged { path: link, why: "it is a symbolic link".into() });
            }
        }
        if !path.is_file() {
            return Err(OpenError::Damaged { path, why: format!("{CURRENT} names it, but it is not there") });
        }
        connection::recover(&path).await?;
        schema::inspect(&path, Inspection::Quick).await?;
        let mut connection = connection::writer(&path).await?;
        schema::migrate(&path, &mut connection).await?;
        let pool = connection::readers(&path, readers).await?;
        self.held.remove_other_generations(&generation);
        let writer = Writer::new(connection, Arc::clone(&self.held));
        Ok((Store::new(pool, path), writer))
    }

    /// An empty directory for a snapshot to be streamed into; what an interrupted one left is removed.
    /// One at a time, else [`OpenError::Receiving`].
    pub fn receive(&self) -> Result<Incoming, OpenError> {
        Incoming::new(Arc::clone(&self.held), self.held.dir.join(INCOMING))
    }

    /// The generation in use is to be kept when another one takes its place: it may be the only one that
    /// has what is in it.
    pub fn keep_current(&self) -> Result<(), OpenError> {
        let Some(current) = read_current(&self.held.dir)? else { return Ok(()) };
        let path = self.held.dir.join(current).join(KEEP);
        private::open_or_create(&path)
            .and_then(|file| file.sync_all())
            .map_err(|source| OpenError::NotWritable { path, source })
    }

    /// Made aside and installed like a snapshot, so that a crash on the way leaves no half-made store.
    async fn create_first_generation(&self) -> Result<String, OpenError> {
        let incoming = self.receive()?;
        let mut connection = connection::create(incoming.path()).await?;
        schema::migrate(incoming.path(), &mut connection).await?;
        connection.close().await.map_err(|error| connection::classify(incoming.path(), error))?;
        incoming.install().await?;
        self.held.find_generation()?.ok_or_else(|| OpenError::Empty { path: self.held.dir.clone() })
    }
}

impl Held {
    /// The generation in use. A crash while the first one was made can leave it without CURRENT: a
    /// generation has its name only when it is complete, so the only one there is must be it.
    fn find_generation(&self) -> Result<Option<String>, OpenError> {
        if let Some(current) = read_current(&self.dir)? {
            return Ok(Some(current));
        }
        let mut generations = self.generations()?;
        match (generations.pop(), generations.is_empty()) {
            (None, _) => Ok(None),
            (Some((_, only)), true) => {
                self.set_current(&only)?;
                Ok(Some(only))
            }
            (Some(_), false) => {
                let why = format!("it has several generations, but no {CURRENT} that names one");
                Err(OpenError::Damaged { path: self.dir.clone(), why })
            }
        }
    }

    /// Gives the complete directory `made` the next generation's name, and makes it current. A crash in
    /// between leaves the old generation current and the new one for the next open to remove.
    pub(super) fn install(&self, made: &Path) -> Result<(), OpenError> {
        let last = self.generations()?.into_iter().map(|(number, _)| number).max().unwrap_or(0);
        let name = format!("{GENERATION}{}", last + 1);
        let path = self.dir.join(&name);
        fs::rename(made, &path)
            .and_then(|()| sync_dir(&self.dir))
            .map_err(|source| OpenError::NotWritable { path, source })?;
        self.set_current(&name)
    }

    fn set_current(&self, generation: &str) -> Result<(), OpenError> {
        replace(&self.dir, CURRENT, &format!("{generation}\n"))
            .map_err(|source| OpenError::NotWritable { path: self.dir.join(CURRENT), source })
    }

    fn generations(&self) -> Result<Vec<(u64, String)>, OpenError> {
        let not_readable = |source| OpenError::NotReadable { path: self.dir.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(not_readable)? {
            let name = entry.map_err(not_readable)?.file_name();
            found.extend(name.to_str().and_then(|name| Some((generation_number(name)?, name.to_owned()))));
        }
        Ok(found)
    }

    /// Only room is lost when it fails; the next open tries again.
    fn remove_other_generations(&self, current: &str) {
        for (_, name) in self.generations().unwrap_or_default() {
            if name == current {
                continue;
            }
            let (old, aside) = (self.dir.join(&name), self.dir.join(SET_ASIDE));
            let done = match old.join(KEEP).exists() {
                true => remove_dir(&aside).and_then(|()| fs::rename(&old, &aside)).map(|()| {
                    log::warn!("what was here before is in {} now, until next time", aside.display());
                }),
                false => fs::remove_dir_all(&old),
            };
            if let Err(error) = done {
                log::warn!("cannot remove the old {name} in {}: {error}", self.dir.display());
            }
        }
    }
}

/// The file in which a master remembers, one node a line, which replicas acknowledgements wait for.
#[derive(Debug, Clone)]
pub struct InSyncFile {
    held: Arc<Held>,
}

impl InSyncFile {
    /// What was saved last; empty where nothing ever was.
    pub fn load(&self) -> io::Result<BTreeSet<NodeId>> {
        let path = self.held.dir.join(IN_SYNC);
        let text = read_small(&path)?.unwrap_or_default();
        let wrong = |error| {
            let error = format!("{} cannot be used: {error}", path.display());
            io::Error::new(ErrorKind::InvalidData, error)
        };
        text.lines().map(|line| line.parse().map_err(wrong)).collect()
    }

    /// Durable when it returns. Blocks for as long as the disk takes.
    pub fn save(&self, nodes: &BTreeSet<NodeId>) -> io::Result<()> {
        let text: String = nodes.iter().map(|node| format!("{node}\n")).collect();
        replace(&self.held.dir, IN_SYNC, &text)
    }
}

/// The database file that CURRENT in `dir` names, for tools and tests. Takes no lock.
pub fn current_file(dir: &Path) -> Result<PathBuf, OpenError> {
    match read_current(dir)? {
        Some(generation) => Ok(dir.join(generation).join(DATABASE)),
        None => Err(OpenError::Empty { path: dir.into() }),
    }
}

pub(super) fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The lock of the directory, which is made if need be. Nothing else in it is touched.
pub(super) fn take_lock(dir: &Path, role: &str) -> Result<File, OpenError> {
    let not_writable = |path: &Path, source| OpenError::NotWritable { path: path.into(), source };
    create_dir(dir).map_err(|error| not_writable(dir, error))?;
    let path = dir.join(LOCK);
    let mut file = private::open_or_create(&path).map_err(|error| not_writable(&path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).ok();
            let holder = match holder.trim() {
                "" => "another process".into(),
                known => known.into(),
            };
            return Err(OpenError::Locked { path: dir.into(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(not_writable(&path, error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{role} (process {})", std::process::id()))
        .map_err(|error| not_writable(&path, error))?;
    Ok(file)
}

/// Replaces a small file in one step: after a crash it has the old content or the new one, whole.
pub(super) fn replace(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let written = dir.join(format!("{name}.new"));
    // What a crash left there, or somebody put there: the file is a new one.
    match fs::remove_file(&written) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private::create_new(&written)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&written, dir.join(name))?;
    sync_dir(dir)
}

/// `None` where there is none.
fn read_small(path: &Path) -> io::Result<Option<String>> {
    let file = match private::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(SMALL_FILE).read_to_end(&mut bytes)?;
    // What is no text is no name or number either; the parser of the file says what it wants instead.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The identity of the directory, drawn now if this is its first time.
fn node_of(dir: &Path) -> Result<NodeId, OpenError> {
    let path = dir.join(NODE);
    match read_small(&path) {
        Ok(Some(text)) => text
            .trim()
            .parse()
            .map_err(|invalid: crate::domain::Invalid| OpenError::Damaged { path, why: invalid.to_string() }),
        Ok(None) => draw_node(dir),
        Err(source) => Err(OpenError::NotReadable { path, source }),
    }
}

/// A new identity for the directory, whatever it had before.
pub(super) fn draw_node(dir: &Path) -> Result<NodeId, OpenError> {
    let node = NodeId(rand::random());
    match replace(dir, NODE, &format!("{node}\n")) {
        Ok(()) => Ok(node),
        Err(source) => Err(OpenError::NotWritable { path: dir.join(NODE), source }),
    }
}

/// Durable: an order in a directory that a power cut takes away would be lost with it.
fn create_dir(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|level| !level.exists()).collect();
    private::create_dir_all(dir)?;
    for level in missing.iter().filter(|level| !level.as_os_str().is_empty()) {
        let parent = level.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn read_current(dir: &Path) -> Result<Option<String>, OpenError> {
    let path = dir.join(CURRENT);
    let text = match read_small(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(None),
        Err(source) => return Err(OpenError::NotReadable { path, source }),
    };
    let name = text.trim();
    if generation_number(name).is_none() {
        return Err(OpenError::Damaged { path, why: "it does not name a generation".into() });
    }
    Ok(Some(name.into()))
}

fn generation_number(name: &str) -> Option<u64> {
    name.strip_prefix(GENERATION)?.parse().ok()
}
