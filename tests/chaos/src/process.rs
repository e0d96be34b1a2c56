//! One process of the store under test. It never outlives the harness: it is killed when its [`Process`]
//! goes, and by the kernel when the thread that started it does.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

/// From its start to its ready line, on a machine that is very busy.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// How much of a log is shown.
const TAIL_BYTES: u64 = 4 << 10;

pub struct Process {
    child: Child,
    ready: mpsc::Receiver<String>,
    since: Instant,
    is_ready: bool,
    paused: bool,
}

/// What became of it since the last look.
#[derive(Debug)]
pub enum Look {
    Starting,
    Ready,
    /// It is not ready and should have been.
    Late,
    Ended(ExitStatus),
}

impl Process {
    /// Starts `program args…`. What it writes to standard error goes behind what `log` holds.
    pub fn start(program: &Path, args: &[String], env: &[(&str, String)], log: &Path) -> io::Result<Self> {
        // It dies with us, also when we are killed without a chance to clean up.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        for (name, _) in std::env::vars_os() {
            if name == "RUST_LOG" || name.to_string_lossy().starts_with("BAZAR_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(log)?)
            // The terminal's Ctrl-C is for the harness, which then ends everybody in order.
            .process_group(0);
        let mut child = command.spawn()?;
        let (tell, ready) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        Ok(Self { child, ready, since: Instant::now(), is_ready: false, paused: false })
    }

    pub fn look(&mut self) -> io::Result<Look> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Look::Ended(status));
        }
        if !self.is_ready {
            match self.ready.try_recv() {
                Ok(line) => self.is_ready = line.contains(" is ready at "),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
        }
        Ok(match self.is_ready {
            true => Look::Ready,
            false if self.since.elapsed() > READY_WITHIN && !self.paused => Look::Late,
            false => Look::Starting,
        })
    }

    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    pub fn pause(&mut self) {
        self.paused = true;
        self.signal(Signal::STOP);
    }

    pub fn resume(&mut self) {
        self.paused = false;
        // Until it is ready its time counts anew.
        self.since = Instant::now();
        self.signal(Signal::CONT);
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end; `None` when that does not come in time.
    pub fn ended_within(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let until = Instant::now() + patience;
        loop {
            match self.child.try_wait()? {
                Some(status) => return Ok(Some(status)),
                None if Instant::now() >= until => return Ok(None),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // It may have ended just now; the next look tells.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process ended itself by `abort()`, as an abort point makes it do.
pub fn aborted(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::ABORT.as_raw())
}

/// Whether a process that was told to stop ended as it should. One that has only just begun does not listen to
/// signals yet, so that the system ends it: it had nothing under way.
pub fn ended_as_asked(status: ExitStatus, was_up: bool) -> bool {
    status.success() || (!was_up && status.signal() == Some(Signal::TERM.as_raw()))
}

/// The end of a log, for a report.
pub fn tail(log: &PathBuf) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("{}: {error}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_that_comes_before_a_process_listens_is_no_failure_and_one_that_it_does_not_heed_is() {
        let (clean, terminated, failed) = (
            ExitStatus::from_raw(0),
            ExitStatus::from_raw(Signal::TERM.as_raw()),
            ExitStatus::from_raw(1 << 8),
        );
        assert!(ended_as_asked(clean, true) && ended_as_asked(clean, false));
        assert!(ended_as_asked(terminated, false) && !ended_as_asked(terminated, true));
        assert!(!ended_as_asked(failed, false) && !ended_as_asked(failed, true));
    }
}
