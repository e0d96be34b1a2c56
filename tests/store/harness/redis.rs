//! A Redis server without persistence, and enough of its protocol to look inside.

use super::{free_port, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct RedisServer {
    port: u16,
    dir: PathBuf,
    child: Option<Child>,
}

impl RedisServer {
    pub fn start(dir: &Path) -> Self {
        let mut server = Self::absent(dir);
        server.restart();
        server
    }

    /// One that is not there yet.
    pub fn absent(dir: &Path) -> Self {
        Self { port: free_port(), dir: dir.into(), child: None }
    }

    /// Starts it, empty, at its port.
    pub fn restart(&mut self) {
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--daemonize", "no"])
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed");
        self.child = Some(child);
        wait_until("Redis answers", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Sends one command. Returns its reply: the bytes of a string, the digits of a number, `None` for
    /// nothing; an error fails the test.
    pub fn ask(&self, command: &[&[u8]]) -> Option<Vec<u8>> {
        let stream = self.connect();
        say(stream, command)
    }

    /// The same, of one that wants this password.
    pub fn ask_as(&self, password: &str, command: &[&[u8]]) -> Option<Vec<u8>> {
        let stream = self.connect();
        say(stream.try_clone().unwrap(), &[b"AUTH", password.as_bytes()]);
        say(stream, command)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.ask(&[b"GET", key.as_bytes()])
    }

    pub fn set(&self, key: &str, value: &[u8]) {
        self.ask(&[b"SET", key.as_bytes(), value]);
    }

    /// Waits until a frontend has put something there: it does so behind its answer.
    #[track_caller]
    pub fn has(&self, key: &str) {
        wait_until("the entry is in Redis", || {
            self.ask(&[b"EXISTS", key.as_bytes()]).is_some_and(|count| count == b"1")
        });
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends one command, and reads its reply.
fn say(mut stream: TcpStream, command: &[&[u8]]) -> Option<Vec<u8>> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(*word);
        bytes.extend(b"\r\n");
    }
    stream.write_all(&bytes).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        "+" | ":" => Some(rest.as_bytes().to_vec()),
        "$" if rest == "-1" => None,
        "$" => {
            let mut value = vec![0; rest.parse().unwrap()];
            reader.read_exact(&mut value).unwrap();
            Some(value)
        }
        _ => panic!("Redis answered {line}"),
    }
}
