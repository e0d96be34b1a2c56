//! A process of this same executable, for the time of an experiment.
//!
//! Invariant: it does not outlive its [`Process`]. Its data is temporary, so it is killed, by its id, when
//! that is dropped: at the end, after an error, on Ctrl-C (which only cancels what the experiment waits for).
//! Should this program itself be killed, the kernel ends its children ([`leash`]).

use super::Trouble;
use crate::leash;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// From its start to its ready line, on a machine that is very busy.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// For an errand such as an import or a handover.
const DONE_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at whether a process has ended.
const LOOK: Duration = Duration::from_millis(5);

/// How much of a log is shown with an error.
const TAIL_LINES: usize = 8;

pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// What its ready line named.
    urls: Vec<String>,
}

/// How to start one.
pub struct Launch<'a> {
    pub bazar: &'a Path,
    /// For logs.
    pub dir: &'a Path,
    /// Of the store that it belongs to; not for `bazar up`.
    pub token: Option<&'a str>,
}

impl Process {
    /// Starts `bazar args…` and waits until it is ready.
    pub async fn start(launch: &Launch<'_>, name: &str, args: &[String]) -> Result<Self, Trouble> {
        let log = launch.dir.join(format!("{name}.log"));
        let log_file = File::options().create(true).append(true).open(&log)?;
        let mut command = command(launch, args);
        let mut child = command.stdout(Stdio::piped()).stderr(log_file).spawn()?;
        let (found, line) = oneshot::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
                let _ = found.send(lines.next());
                // Whoever writes to a pipe that nobody reads is stopped some day.
                lines.for_each(drop);
            });
        }
        let mut process = Self { name: name.into(), child, log, urls: Vec::new() };
        let line = tokio::time::timeout(READY_WITHIN, line).await;
        let line = line.ok().and_then(Result::ok).flatten().unwrap_or_default();
        let Some((_, urls)) = line.split_once(" is ready at ") else {
            return Err(process.complaint("did not become ready"));
        };
        process.urls = urls.split(' ').map(str::to_owned).collect();
        Ok(process)
    }

    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<(), Trouble> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> Result<(), Trouble> {
        // It may have ended just now, which is what is wanted.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        );
        self.ended().await
    }

    /// Waits for it to end by itself, well.
    pub async fn ended(&mut self) -> Result<(), Trouble> {
        match wait(&mut self.child).await? {
            status if status.success() => Ok(()),
            status => Err(self.complaint(&format!("ended with {status}"))),
        }
    }

    fn complaint(&self, what: &str) -> Trouble {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        Trouble::Process(format!("{} {what}; the end of its log:\n  {tail}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `bazar args…` to its end; anything but success is an error.
pub async fn errand(launch: &Launch<'_>, args: &[String]) -> Result<(), Trouble> {
    let name = args.first().map_or("errand", String::as_str);
    let log = launch.dir.join(format!("{name}.log"));
    let mut command = command(launch, args);
    let child = command.stdout(Stdio::null()).stderr(File::create(&log)?).spawn()?;
    Process { name: name.into(), child, log, urls: Vec::new() }.ended().await
}

async fn wait(child: &mut Child) -> Result<ExitStatus, Trouble> {
    let until = Instant::now() + DONE_WITHIN;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= until {
            return Err(Trouble::Process(format!("a process did not end within {DONE_WITHIN:?}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// With nothing of the surrounding environment that it would listen to, and in a group of its own: the
/// terminal's Ctrl-C is for this program, which then ends everybody.
fn command(launch: &Launch<'_>, args: &[String]) -> Command {
    let mut command = leash::command(launch.bazar, launch.bazar).into_std();
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("BAZAR_") {
            command.env_remove(name);
        }
    }
    if let Some(token) = launch.token {
        command.env("BAZAR_INTERNAL_TOKEN", token);
    }
    command.args(args).stdin(Stdio::null()).process_group(0);
    command
}
