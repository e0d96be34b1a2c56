//! The processes that a run starts. Each is ended, by its id, when its [`Child`] goes, whichever way that happens: at
//! the end of its row, by an error, or by Ctrl-C, which only sets a flag that every wait in this program looks at. Should
//! this program itself be killed, the kernel tells them to end.

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// From its start to its first answer, on a machine that is very busy.
pub const READY_WITHIN: Duration = Duration::from_secs(30);

/// A database writes its memory to the disk when it is told to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// Between two looks at something that is waited for; small beside what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How much of a log is shown with an error.
const TAIL_LINES: usize = 12;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM end the run in order: the next look of whatever waits is an error.
pub fn watch_for_interrupts() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    })?;
    Ok(())
}

pub fn check_interrupted() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// Looks until `done` says yes; `what` is for the error when it does not within `patience`.
pub fn wait_until(what: &str, patience: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + patience;
    while !done()? {
        check_interrupted()?;
        ensure!(Instant::now() < until, "{what}: not within {patience:?}");
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Lets `pause` go by, unless the run is interrupted.
pub fn pause(pause: Duration) -> Result<()> {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        check_interrupted()?;
        std::thread::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

/// A server.
pub struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
    stop: Signal,
    started: Instant,
    lines: mpsc::Receiver<(Instant, String)>,
}

impl Child {
    /// Starts `command`. Its standard error goes to `<dir>/<name>.log`; `stop` is the signal that ends it in order.
    pub fn start(name: &str, command: Command, dir: &Path, stop: Signal) -> Result<Self> {
        check_interrupted()?;
        let mut command = ends_with_us(&command);
        let log = dir.join(format!("{name}.log"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            // The terminal's Ctrl-C is for this program, which then ends everybody in order.
            .process_group(0);
        let started = Instant::now();
        let mut process = command.spawn().with_context(|| format!("{name}: {command:?}"))?;
        let (tell, lines) = mpsc::channel();
        if let Some(stdout) = process.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if tell.send((Instant::now(), line)).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { name: name.into(), process, log, stop, started, lines })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for the line on standard output that names an address behind "is ready at". Returns what stands there,
    /// and how long it took from the start.
    pub fn ready_line(&mut self) -> Result<(String, Duration)> {
        let until = self.started + READY_WITHIN;
        loop {
            check_interrupted()?;
            match self.lines.recv_timeout(LOOK_EVERY) {
                Ok((when, line)) => {
                    if let Some((_, address)) = line.split_once(" is ready at ") {
                        return Ok((address.into(), when - self.started));
                    }
                }
                Err(_) => self.check_alive()?,
            }
            ensure!(Instant::now() < until, "{}", self.complaint("did not become ready"));
        }
    }

    /// Looks until `ready` says yes, or the process ends.
    pub fn ready_when(&mut self, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
        let until = self.started + READY_WITHIN;
        while !ready()? {
            check_interrupted()?;
            self.check_alive()?;
            ensure!(Instant::now() < until, "{}", self.complaint("did not become ready"));
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub fn check_alive(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            Some(status) => bail!("{}", self.complaint(&format!("ended: {status}"))),
            None => Ok(()),
        }
    }

    /// A clean stop, as a user would: anything else is an error.
    pub fn stop(mut self) -> Result<()> {
        self.check_alive()?;
        self.signal(self.stop);
        match self.ended_within(STOPPED_WITHIN)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("{}", self.complaint(&format!("did not stop cleanly: {status}"))),
            None => bail!("{}", self.complaint(&format!("did not stop within {STOPPED_WITHIN:?}"))),
        }
    }

    fn complaint(&self, what: &str) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        format!("{} {what}; the end of its log:\n  {tail}", self.name)
    }

    fn signal(&self, signal: Signal) {
        // It may have ended just now, which is what was wanted.
        let _ = kill_process(Pid::from_child(&self.process), signal);
    }

    fn ended_within(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        let until = Instant::now() + patience;
        loop {
            match self.process.try_wait()? {
                Some(status) => return Ok(Some(status)),
                None if Instant::now() >= until => return Ok(None),
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(self.stop);
        if !matches!(self.ended_within(STOPPED_WITHIN), Ok(Some(_))) {
            // Its workers too, who are of its group.
            let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
            let _ = self.process.wait();
        }
    }
}

/// `setpriv` sets what the kernel does when the parent goes, and becomes the command: it has the same id.
fn ends_with_us(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "TERM"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

/// Runs a tool to its end and returns what it printed; anything but success within `patience` is an error.
pub fn run_tool(mut command: Command, dir: &Path, patience: Duration) -> Result<String> {
    check_interrupted()?;
    let out = tempfile::NamedTempFile::new_in(dir)?;
    let errors = tempfile::NamedTempFile::new_in(dir)?;
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(out.reopen()?).stderr(errors.reopen()?).process_group(0);
    let mut process = command.spawn().with_context(|| format!("{command:?}"))?;
    let mut status = None;
    let waited = wait_until(&name, patience, || {
        status = process.try_wait()?;
        Ok(status.is_some())
    });
    if waited.is_err() {
        let _ = kill_process_group(Pid::from_child(&process), Signal::KILL);
        let _ = process.wait();
    }
    waited?;
    let status = status.ok_or_else(|| anyhow!("{name}: no status"))?;
    let printed = fs::read_to_string(out.path())?;
    let complained = fs::read_to_string(errors.path())?;
    ensure!(status.success(), "{name}: {status}\n{printed}{complained}");
    Ok(printed)
}
