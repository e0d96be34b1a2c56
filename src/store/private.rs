//! Files and directories for this user's eyes only, and never somebody else's by mistake.
//!
//! Invariant: what is made here can be read by its owner alone, whatever the process's umask, and no symbolic link is
//! followed that somebody may have put where a file of ours is expected.

use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Bits of a mode by which others than the owner could write, and by which everybody could read.
const OTHERS_WRITE: u32 = 0o022;
const EVERYBODY_READS: u32 = 0o004;

/// No link, and no wait for whoever should write into a pipe.
fn careful(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(FILE_MODE).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
}

/// Makes a file that must not be there yet.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    careful(File::options().read(true).write(true).create_new(true)).open(path)
}

/// Opens a file of ours for reading and writing, and makes it if it is not there; its content stays.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    regular(careful(File::options().read(true).write(true).create(true).truncate(false)).open(path)?)
}

/// Opens a file of ours for reading.
pub(super) fn open(path: &Path) -> io::Result<File> {
    regular(careful(File::options().read(true)).open(path)?)
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// Makes `dir` and what is missing above it.
pub(super) fn create_dir_all(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)
}

/// Makes a directory that must not be there yet.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIR_MODE).create(dir)
}

/// What others can do in a directory that was there before us, if that is too much.
pub(super) fn too_open(directory: &Metadata) -> Option<&'static str> {
    match directory.mode() {
        mode if mode & OTHERS_WRITE != 0 => Some("others than its owner can put files there"),
        mode if mode & EVERYBODY_READS != 0 => Some("every user of this machine can look into it"),
        _ => None,
    }
}
