//! One process of the store. It does not outlive its [`Process`], and what it wrote to standard error is
//! shown when the test fails.

use super::{Client, PATIENCE, free_port, wait_at_most, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What docs/operations.md promises for a clean stop, on a machine that has nothing else to do.
const STOP: Duration = Duration::from_secs(5);

/// For a command of which the work is to be done: experiments that start stores, an import of many books.
const COMMAND: Duration = Duration::from_secs(180);

/// How much of a log is shown when a test fails.
const SHOWN_LINES: usize = 60;

/// Each gets a port of its own from the harness, not from the system, which might give it to somebody else while the
/// role is down: a role of another test's store, for which this one's would take it, or a connection, which would keep
/// it from starting again. (`up` hands out the next ports itself.)
const ROLES: [&str; 3] = ["catalog", "order", "frontend"];

pub struct Process {
    program: PathBuf,
    name: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    child: Child,
    log: PathBuf,
    urls: Vec<String>,
}

impl Process {
    /// Starts `bazar args…` and waits until it is ready. `name` names its log in `dir`.
    pub fn start(dir: &Path, name: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_program(Path::new(THIS), dir, name, args, env)
    }

    /// The same of another build of `bazar`.
    pub fn start_program(
        program: &Path,
        dir: &Path,
        name: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let mut args: Vec<String> = args.iter().map(|&arg| arg.into()).collect();
        if ROLES.contains(&args[0].as_str()) {
            for addr in listens(&mut args).filter(|addr| *addr == "127.0.0.1:0") {
                *addr = format!("127.0.0.1:{}", free_port());
            }
        }
        let env: Vec<_> = env.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let log = dir.join(format!("{name}.log"));
        let program = program.to_owned();
        let (child, urls) = spawn(&program, name, &args, &env, &log);
        Self { program, name: name.into(), args, env, child, log, urls }
    }

    /// Its first, public address.
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// All that the ready line named.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Of `up`: where its catalog node of that name is in this life.
    #[track_caller]
    pub fn url_of(&self, node: &str) -> String {
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains(&format!("{node} is ready at ")));
        line.unwrap_or_else(|| panic!("{log}")).rsplit(' ').next().unwrap().to_owned()
    }

    /// Of `up`, which is ready before they are: waits until so many of its replicas are in the in-sync set.
    #[track_caller]
    pub fn in_sync(&self, count: usize) {
        let master = Client::new(&self.url_of("catalog master"));
        wait_until("the replicas are in sync", || master.get("/readyz").json()["in_sync"] == count);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGSTOP: it hangs, with its connections open.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// From its next start on it is this build of `bazar`.
    pub fn exchange(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// Starts what was killed or stopped, at the address that it had.
    pub fn restart(&mut self) {
        for (addr, url) in listens(&mut self.args).zip(&self.urls) {
            *addr = url.trim_start_matches("http://").into();
        }
        (self.child, self.urls) = spawn(&self.program, &self.name, &self.args, &self.env, &self.log);
    }

    /// SIGTERM; asserts that it ends well.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.ends_well();
    }

    #[track_caller]
    pub fn ends_well(&mut self) {
        let status = self.wait();
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// The same, and in time: for a test that runs alone.
    #[track_caller]
    pub fn ends_in_time(&mut self) {
        let begun = Instant::now();
        self.ends_well();
        let took = begun.elapsed();
        assert!(took <= STOP, "{} took {took:?} to stop", self.name);
    }

    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The most memory that it had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }

    /// How many files and connections it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// What it wrote to standard error, in all its lives.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Its directory may be gone already, and a second panic would end all tests and leave their processes.
            let log = std::fs::read(&self.log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<_> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            println!("--- {} {}\n{shown}", self.name, self.urls.join(" "));
        }
    }
}

/// The build of `bazar` that is tested.
pub const THIS: &str = env!("CARGO_BIN_EXE_bazar");

/// The addresses among `args` to listen on.
fn listens(args: &mut [String]) -> impl Iterator<Item = &mut String> {
    let mut args = args.iter_mut();
    std::iter::from_fn(move || {
        args.find(|arg| matches!(arg.as_str(), "--listen" | "--internal-listen"))?;
        args.next()
    })
}

/// `bazar`, with nothing of the surrounding environment that it would listen to.
fn bazar(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("BAZAR_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn spawn(
    program: &Path,
    name: &str,
    args: &[String],
    env: &[(String, String)],
    log: &Path,
) -> (Child, Vec<String>) {
    let log_file = File::options().create(true).append(true).open(log).unwrap();
    let mut child = bazar(program)
        .args(args)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()
        .unwrap();
    let (found, line) = mpsc::channel();
    let stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        let line = BufReader::new(stdout).lines().map_while(Result::ok).next();
        let _ = found.send(line);
    });
    let line = line.recv_timeout(PATIENCE);
    let urls = match &line {
        Ok(Some(line)) => line.split_once(" is ready at ").map(|(_, urls)| urls.to_owned()),
        _ => None,
    };
    let Some(urls) = urls else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("{name} is not ready: {line:?}\n{}", std::fs::read_to_string(log).unwrap_or_default());
    };
    (child, urls.split(' ').map(str::to_owned).collect())
}

/// A run of `bazar` that ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `bazar args…` to its end.
#[track_caller]
pub fn run(args: &[&str], env: &[(&str, &str)]) -> Finished {
    let child = bazar(Path::new(THIS))
        .args(args)
        .envs(env.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let (stdout, stderr) = (child.0.stdout.take().unwrap(), child.0.stderr.take().unwrap());
    let stdout = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap());
    let stderr = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let code = child.code();
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    Finished { code, stdout, stderr }
}

/// Runs `bazar args…` for a reader that has gone before anything was printed.
#[track_caller]
pub fn run_unread(args: &[&str]) -> Finished {
    let mut child =
        bazar(Path::new(THIS)).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let stderr = child.stderr.take().unwrap();
    let stderr = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let mut child = Killed(child);
    let code = child.code();
    Finished { code, stdout: String::new(), stderr: stderr.join().unwrap() }
}

/// A run of `bazar` that reads what the test writes.
pub struct Fed(Killed);

impl Fed {
    pub fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = bazar(Path::new(THIS));
        command.args(args).envs(env.iter().copied()).stdin(Stdio::piped()).stderr(Stdio::null());
        Self(Killed(command.spawn().unwrap()))
    }

    /// Hands it `text`, with nothing behind it yet.
    pub fn feed(&mut self, text: &str) {
        let stdin = self.0.0.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.0.0.kill().unwrap();
        self.0.0.wait().unwrap();
    }

    /// SIGINT, as of Ctrl-C, and gives its exit code.
    pub fn interrupt(self) -> Option<i32> {
        kill_process(Pid::from_child(&self.0.0), Signal::INT).unwrap();
        self.end()
    }

    /// Ends its input, and gives its exit code.
    pub fn end(mut self) -> Option<i32> {
        drop(self.0.0.stdin.take());
        self.0.code()
    }
}

/// A child that does not outlive this value.
struct Killed(Child);

impl Killed {
    /// Waits for its end, and gives its exit code.
    #[track_caller]
    fn code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_at_most(COMMAND, "the command ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
