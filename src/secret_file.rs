//! Files that hold a secret, and nothing else.
//!
//! Invariant: what somebody else may have put there is not taken for ours.

use rustix::process::geteuid;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// More than a secret, or two of them, can have.
const AT_MOST: u64 = 64 << 10;

/// Everybody can write, or read.
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;

/// What stands in the file. The error is a sentence, without a word of what stands there.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_file() && metadata.mode() & OTHERS_WRITE != 0 {
        return Err(format!("every user of this machine can change {}: chmod o-w", path.display()));
    }
    let mut text = String::new();
    match file.take(AT_MOST + 1).read_to_string(&mut text).map_err(unreadable)? as u64 {
        0..=AT_MOST => Ok(text),
        _ => Err(format!("{} is too long for a secret", path.display())),
    }
}

/// The same of a file that was read before. A pipe, which was good for once, is not waited for: nobody may ever write
/// into it again.
pub fn read_again(path: &Path) -> Result<String, String> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(format!("{} is not a regular file", path.display())),
        _ => read(path),
    }
}

/// What is to be said of the file although it can be used: that others can read what is ours. (What a container is
/// handed by somebody else has to be readable.)
pub fn complaint(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let open =
        metadata.is_file() && metadata.uid() == geteuid().as_raw() && metadata.mode() & OTHERS_READ != 0;
    open.then(|| format!("every user of this machine can read {}: chmod 600", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_is_too_long_or_not_there_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        assert!(read(&file).unwrap_err().contains("cannot be read"));
        fs::write(&file, "x".repeat(1 << 20)).unwrap();
        assert!(read(&file).unwrap_err().contains("too long"));
        assert!(read(Path::new("/dev/zero")).unwrap_err().contains("too long"));
        fs::write(&file, [0xff]).unwrap();
        assert!(read(&file).unwrap_err().contains("cannot be read"));
        fs::write(&file, "a secret\n").unwrap();
        assert_eq!(read(&file).unwrap(), "a secret\n");
        assert_eq!(read_again(&file).unwrap(), "a secret\n");
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_nobody_writes_into() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(read_again(&pipe).unwrap_err().contains("not a regular file"));
    }
}
