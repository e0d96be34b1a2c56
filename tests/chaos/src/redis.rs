//! A real Redis server, and what can be done to what it holds.

use crate::process::Process;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For one command.
const DEADLINE: Duration = Duration::from_secs(2);

/// Keys that one dump or forgery concerns.
const MAX_KEYS: usize = 200;

pub struct Redis {
    addr: SocketAddr,
    dir: PathBuf,
    process: Option<Process>,
    /// Values as they were some time ago.
    dump: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Redis {
    pub fn start(addr: SocketAddr, dir: &Path) -> io::Result<Self> {
        let mut redis = Self { addr, dir: dir.into(), process: None, dump: Vec::new() };
        redis.restart()?;
        Ok(redis)
    }

    /// Starts it, empty.
    pub fn restart(&mut self) -> io::Result<()> {
        let port = self.addr.port().to_string();
        let bind = self.addr.ip().to_string();
        let args =
            ["--port", &port, "--bind", &bind, "--save", "", "--appendonly", "no", "--protected-mode", "no"];
        let args: Vec<String> = args
            .iter()
            .map(|&arg| arg.to_owned())
            .chain(["--dir".into(), self.dir.display().to_string()])
            .collect();
        let log = self.dir.join("redis.log");
        self.process = Some(Process::start(Path::new("redis-server"), &args, &[], &log)?);
        Ok(())
    }

    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.pause();
        }
    }

    pub fn resume(&mut self) {
        if let Some(process) = &mut self.process {
            process.resume();
        }
    }

    pub fn flush(&self) -> io::Result<()> {
        self.connect()?.ask(&[b"FLUSHALL"]).map(drop)
    }

    /// Notes what it holds now.
    pub fn dump(&mut self) -> io::Result<usize> {
        let mut connection = self.connect()?;
        let mut dump = Vec::new();
        for key in connection.keys()? {
            if let Some(Reply::Bytes(value)) = connection.ask(&[b"GET", &key])? {
                dump.push((key, value));
            }
        }
        self.dump = dump;
        Ok(self.dump.len())
    }

    /// Puts back what it held at the last dump, over what it holds now.
    pub fn restore(&self) -> io::Result<usize> {
        let mut connection = self.connect()?;
        for (key, value) in &self.dump {
            connection.ask(&[b"SET", key, value])?;
        }
        Ok(self.dump.len())
    }

    /// Puts wrong values under the names that are there: noise, values of other names, and values with
    /// one bit changed.
    pub fn forge(&self, rng: &mut SmallRng) -> io::Result<usize> {
        let mut connection = self.connect()?;
        let keys = connection.keys()?;
        let mut other: Vec<u8> = Vec::new();
        for key in &keys {
            let Some(Reply::Bytes(mut value)) = connection.ask(&[b"GET", key])? else { continue };
            let true_value = value.clone();
            match rng.random_range(0..3) {
                0 => rng.fill_bytes(&mut value),
                1 if !other.is_empty() => value = other,
                _ if !value.is_empty() => {
                    let at = rng.random_range(0..value.len());
                    value[at] ^= 1 << rng.random_range(0..8);
                }
                _ => {}
            }
            connection.ask(&[b"SET", key, &value])?;
            other = true_value;
        }
        Ok(keys.len())
    }

    fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&self.addr, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Connection { reader: BufReader::new(stream.try_clone()?), stream })
    }
}

enum Reply {
    Bytes(Vec<u8>),
    List(Vec<Vec<u8>>),
}

struct Connection {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    fn keys(&mut self) -> io::Result<Vec<Vec<u8>>> {
        match self.ask(&[b"KEYS", b"*"])? {
            Some(Reply::List(mut keys)) => {
                keys.truncate(MAX_KEYS);
                Ok(keys)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// `None`: Redis has nothing there.
    fn ask(&mut self, command: &[&[u8]]) -> io::Result<Option<Reply>> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend(*word);
            bytes.extend(b"\r\n");
        }
        self.stream.write_all(&bytes)?;
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(strange)?;
        match kind {
            "+" | ":" => Ok(Some(Reply::Bytes(rest.into()))),
            "$" => Ok(self.bytes(rest)?.map(Reply::Bytes)),
            "*" => {
                let count: usize = rest.parse().map_err(|_| strange())?;
                let mut list = Vec::new();
                for _ in 0..count {
                    let line = self.line()?;
                    let length = line.strip_prefix('$').ok_or_else(strange)?;
                    list.extend(self.bytes(length)?);
                }
                Ok(Some(Reply::List(list)))
            }
            _ => Err(strange()),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line.trim_end().into())
    }

    fn bytes(&mut self, length: &str) -> io::Result<Option<Vec<u8>>> {
        if length == "-1" {
            return Ok(None);
        }
        let length: usize = length.parse().map_err(|_| strange())?;
        let mut value = vec![0; length + 2];
        self.reader.read_exact(&mut value)?;
        value.truncate(length);
        Ok(Some(value))
    }
}

fn strange() -> io::Error {
    io::Error::other("Redis said something that it should not")
}
