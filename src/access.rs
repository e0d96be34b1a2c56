//! How a command on this machine finds the store that `bazar up` runs: a file in its data directory.
//!
//! Invariant: the file holds no more than the right to keep the catalog (import, export, backup), and only its owner
//! can read it. The internal token, which would let a stranger join the store, is nowhere on disk.

use crate::client::BaseUrl;
use crate::published::PublishedFile;
use crate::token::InternalToken;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Beside the directories of the catalog nodes.
const FILE: &str = "ACCESS";

/// Where the master listens, and the keeper's token: one, or two while the internal token is being changed.
#[derive(Debug, Clone)]
pub struct Access {
    pub master: BaseUrl,
    pub keeper: InternalToken,
}

impl Access {
    /// Writes the file; it goes away with what is returned.
    pub fn publish(&self, data: &Path) -> io::Result<Published> {
        self.write(data)?;
        Ok(Published(PublishedFile::of(data.join(FILE))))
    }

    fn write(&self, data: &Path) -> io::Result<()> {
        let (path, new) = (data.join(FILE), data.join(format!("{FILE}.new")));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // New, so that it is ours: nobody has it open, and its mode is the one asked for.
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
        writeln!(file, "{}\n{}", self.master, self.keeper.text())?;
        drop(file);
        fs::rename(&new, &path)
    }

    /// What the running store has published in `data`. The error is a sentence.
    pub fn of(data: &Path) -> Result<Self, String> {
        let path = data.join(FILE);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!(
                "no store runs on {}: start one with \"bazar up\", name its directory with --data, or give \
                 --master and the internal token",
                data.display()
            ),
            _ => format!("{} cannot be read: {error}", path.display()),
        })?;
        let wrong = || format!("{} is not what \"bazar up\" writes", path.display());
        let (master, keeper) = text.split_once('\n').ok_or_else(wrong)?;
        Ok(Self {
            master: BaseUrl::parse(master).map_err(|_| wrong())?,
            keeper: InternalToken::parse(keeper).map_err(|_| wrong())?,
        })
    }
}

/// The file, for as long as the store runs.
#[derive(Debug)]
pub struct Published(PublishedFile);

impl Published {
    /// Writes it anew whenever `token` changes, whose keeper it is for. Never ends; the file goes away with it.
    pub async fn keep(self, master: BaseUrl, token: InternalToken) {
        let mut changes = token.changes();
        while changes.changed().await.is_ok() {
            let access = Access { master: master.clone(), keeper: token.keeper() };
            let written = self.0.path().parent().map_or(Ok(()), |data| access.write(data));
            if let Err(error) = written {
                log::warn!("{} cannot be written anew: {error}", self.0.path().display());
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_a_running_store_publishes_is_for_its_owner_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Access::of(dir.path()).unwrap_err().contains("no store runs"));
        let keeper = InternalToken::random().keeper();
        let access = Access { master: BaseUrl::parse("http://127.0.0.1:7").unwrap(), keeper: keeper.clone() };
        let published = access.publish(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Access::of(dir.path()).unwrap();
        assert_eq!((read.master, read.keeper.text()), (access.master.clone(), keeper.text()));
        // Over what a killed one has left.
        let again = access.publish(dir.path()).unwrap();
        drop(published);
        drop(again);
        assert!(Access::of(dir.path()).is_err());
    }
}
