//! No process of the store outlives the one that started it, not even after its `kill -9`, and not even
//! one that is paused.
//!
//! The kernel sees to that: each child asks for a SIGKILL at the death of its parent (`prctl`,
//! PR_SET_PDEATHSIG) and then becomes the program that it is to be, which keeps the request. What the
//! kernel means by the parent is the thread that made the child, so children are made by the main thread
//! only.

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The hidden command that a child is started with.
const COMMAND: &str = "leashed";

/// Becomes `program`, which ends with the process `parent`. Returns only if that fails.
pub fn run(parent: u32, program: PathBuf, args: Vec<OsString>) -> Result<(), Box<dyn std::error::Error>> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)?;
    // It may have died before this was asked for; then somebody else is our parent by now.
    if getppid().is_none_or(|ours| ours.as_raw_pid().cast_unsigned() != parent) {
        return Err("the process that was to be followed has ended".into());
    }
    let name = program.file_name().unwrap_or(program.as_os_str()).to_owned();
    Err(Command::new(&program).arg0(name).args(args).exec().into())
}

/// A command that starts `program` so, from the executable `ours`.
pub fn command(ours: &Path, program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(ours);
    command.arg(COMMAND).arg(std::process::id().to_string()).arg(program).arg("--");
    command
}
