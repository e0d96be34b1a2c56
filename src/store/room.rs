//! How much of the disk the data takes, and how much of it is left.

use super::Store;
use std::fs;

/// In bytes; 0 where it cannot be found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    pub database: u64,
    /// The write-ahead log beside it.
    pub wal: u64,
    /// On the file system, for this process.
    pub free: u64,
    pub size: u64,
}

impl Store {
    /// Asks the file system: three calls that wait for no disk.
    pub fn room(&self) -> Room {
        let path = self.path();
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let size = |path: &std::path::Path| fs::metadata(path).map(|file| file.len()).unwrap_or_default();
        let (database, wal) = (size(path), size(wal.as_ref()));
        match rustix::fs::statvfs(path) {
            Ok(of) => {
                let bytes = |blocks: u64| blocks.saturating_mul(of.f_frsize);
                Room { database, wal, free: bytes(of.f_bavail), size: bytes(of.f_blocks) }
            }
            Err(_) => Room { database, wal, ..Room::default() },
        }
    }

    /// Connections for reading that are used, and that are not.
    pub fn readers(&self) -> (usize, usize) {
        let (open, idle) = (self.pool.size() as usize, self.pool.num_idle());
        (open.saturating_sub(idle), idle)
    }
}
