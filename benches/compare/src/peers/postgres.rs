//! PostgreSQL 15 of Debian 12, and pgbench, which has the clients. On the same disk as the store.

use crate::bench::Bench;
use crate::process::{Child, READY_WITHIN, run_tool, wait_until};
use crate::stats::Latencies;
use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, geteuid};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// More than there are cores does not help; and every client needs a connection.
const SETTINGS: [&str; 7] = [
    "listen_addresses=",
    "synchronous_commit=on",
    "fsync=on",
    "shared_buffers=256MB",
    "max_wal_size=4GB",
    "max_connections=300",
    "wal_compression=off",
];

const SCHEMA: &str = include_str!("../../conf/postgres-schema.sql");

/// To make a cluster, copy one, or stop pgbench after its time.
const TOOL_WITHIN: Duration = Duration::from_secs(60);

/// The purchase, in two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `BEGIN … COMMIT`, as a shop writes it.
    Transaction,
    /// One statement, one round trip: the best that a client of PostgreSQL can do.
    OneStatement,
}

impl Form {
    fn script(self) -> &'static str {
        match self {
            Form::Transaction => include_str!("../../conf/purchase-transaction.sql"),
            Form::OneStatement => include_str!("../../conf/purchase-one-statement.sql"),
        }
    }
}

pub struct Postgres {
    _standby: Option<Child>,
    _primary: Child,
    /// Of the sockets: no TCP, which favours it.
    sockets: PathBuf,
}

impl Postgres {
    /// With `books` books of plenty of stock.
    pub fn start(bench: &Bench, name: &str, books: u64) -> Result<Self> {
        Self::primary(bench, name, books, &[])
    }

    /// The same with one standby that has the record on its disk before a commit is acknowledged.
    pub fn with_standby(bench: &Bench, name: &str, books: u64) -> Result<Self> {
        let settings = ["synchronous_standby_names=standby", "max_wal_senders=4"];
        bench.setting("PostgreSQL's standby", format!("{settings:?}; a copy made by pg_basebackup"));
        let mut primary = Self::primary(bench, name, 0, &settings)?;
        let data = bench.path(&format!("{name}-standby"));
        let data_text = data.display().to_string();
        let connection = format!("host={} user=bench application_name=standby", primary.sockets.display());
        primary.tool(bench, "pg_basebackup", &["-D", &data_text, "-d", &connection, "-R", "-X", "stream"])?;
        own(&data)?;
        let name = format!("{name}-standby");
        let sockets = primary.sockets.join("standby");
        fs::create_dir(&sockets)?;
        own(&sockets)?;
        let mut command = postgres(&data, &sockets, &settings);
        // pg_basebackup leaves the name in the connection's settings.
        command.args(["-c", "hot_standby=on"]);
        let standby = Child::start(&name, command, bench.dir(), Signal::INT)?;
        wait_until("the standby is not synchronous", READY_WITHIN, || {
            let state = primary.query(bench, "SELECT sync_state FROM pg_stat_replication")?;
            Ok(state.trim() == "sync")
        })?;
        primary._standby = Some(standby);
        primary.fill(bench, books)?;
        Ok(primary)
    }

    fn primary(bench: &Bench, name: &str, books: u64, more: &[&str]) -> Result<Self> {
        bench.setting(
            "PostgreSQL",
            format!("{}; pgbench -j 2 -M prepared -n, by Unix socket", SETTINGS.join("; ")),
        );
        bench.setting("PostgreSQL's schema", SCHEMA);
        bench.setting("PostgreSQL, BEGIN … COMMIT", Form::Transaction.script());
        bench.setting("PostgreSQL, one statement", Form::OneStatement.script());
        let data = bench.path(name);
        let sockets = bench.path(&format!("{name}-sockets"));
        for dir in [&data, &sockets] {
            fs::create_dir(dir)?;
            own(dir)?;
        }
        let mut initdb = as_postgres("initdb");
        initdb.arg("-D").arg(&data).args(["-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        run_tool(initdb, bench.dir(), TOOL_WITHIN)?;
        let process = Child::start(name, postgres(&data, &sockets, more), bench.dir(), Signal::INT)?;
        let mut server = Self { _primary: process, _standby: None, sockets };
        wait_until("PostgreSQL", READY_WITHIN, || {
            server._primary.check_alive()?;
            Ok(server.tool(bench, "pg_isready", &["-q"]).is_ok())
        })?;
        if books > 0 {
            server.fill(bench, books)?;
        }
        Ok(server)
    }

    fn fill(&self, bench: &Bench, books: u64) -> Result<()> {
        let file = bench.path("postgres-schema.sql");
        fs::write(&file, SCHEMA)?;
        let (books, stock) = (format!("books={books}"), format!("stock={}", crate::store::STOCK));
        let file = file.display().to_string();
        self.tool(bench, "psql", &["-qX", "-v", "ON_ERROR_STOP=1", "-v", &books, "-v", &stock, "-f", &file])?;
        Ok(())
    }

    /// Purchases of random books from 1 to `books`; refuses a run in which any failed or in which the stock did not
    /// fall by what was counted.
    pub fn purchases(
        &self,
        bench: &Bench,
        form: Form,
        clients: u32,
        books: u64,
        time: Duration,
    ) -> Result<f64> {
        self.pgbench(bench, form, clients, books, time, &[]).map(|printed| printed.per_second)
    }

    /// The same by one client, with the latency of each.
    pub fn latencies(&self, bench: &Bench, form: Form, books: u64, time: Duration) -> Result<Latencies> {
        let prefix = bench.path("pgbench-latencies");
        let prefix_text = format!("--log-prefix={}", prefix.display());
        let run = self.pgbench(bench, form, 1, books, time, &["--log", &prefix_text])?;
        let mut latencies = Latencies::new();
        let mut read = 0;
        for entry in fs::read_dir(bench.dir())? {
            let path = entry?.path();
            if path.display().to_string().starts_with(&format!("{}.", prefix.display())) {
                // client, transaction, microseconds, script, epoch, microseconds of it
                for line in fs::read_to_string(&path)?.lines() {
                    let micros = line.split(' ').nth(2).context("pgbench's log")?.parse()?;
                    latencies.record(Duration::from_micros(micros));
                    read += 1;
                }
                fs::remove_file(path)?;
            }
        }
        ensure!(read == run.done, "pgbench logged {read} of {} transactions", run.done);
        Ok(latencies)
    }

    fn pgbench(
        &self,
        bench: &Bench,
        form: Form,
        clients: u32,
        books: u64,
        time: Duration,
        more: &[&str],
    ) -> Result<Run> {
        let script = bench.path("purchase.sql");
        fs::write(&script, form.script())?;
        let before = self.stock(bench)?;
        let threads = clients.min(2).to_string();
        let (clients, books) = (clients.to_string(), format!("books={books}"));
        let (seconds, script) = (time.as_secs().to_string(), script.display().to_string());
        let common = ["-n", "-c", &clients, "-j", &threads, "-M", "prepared", "-T", &seconds, "-D", &books];
        let printed = self.tool(bench, "pgbench", &[&common[..], &["-f", &script], more].concat())?;
        let field = |name: &str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()).context("pgbench's report")
        };
        ensure!(field("number of failed transactions: ")? == "0", "transactions failed:\n{printed}");
        let done: u64 = field("number of transactions actually processed: ")?.parse()?;
        let sold = before - self.stock(bench)?;
        ensure!(sold == done, "PostgreSQL sold {sold} copies in {done} transactions");
        Ok(Run { done, per_second: field("tps = ")?.parse()? })
    }

    fn stock(&self, bench: &Bench) -> Result<u64> {
        let sum = self.query(bench, "SELECT sum(stock) FROM books")?;
        sum.trim().parse().with_context(|| format!("the sum of the stock: {sum}"))
    }

    fn query(&self, bench: &Bench, sql: &str) -> Result<String> {
        self.tool(bench, "psql", &["-qXAt", "-c", sql])
    }

    fn tool(&self, bench: &Bench, name: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(Path::new(BIN).join(name));
        command.env("PGHOST", &self.sockets).env("PGUSER", "bench").env("PGDATABASE", "postgres");
        command.env_remove("PGOPTIONS").args(arguments);
        run_tool(command, bench.dir(), TOOL_WITHIN + bench.options.measurement())
    }
}

struct Run {
    done: u64,
    per_second: f64,
}

fn postgres(data: &Path, sockets: &Path, more: &[&str]) -> Command {
    let mut command = as_postgres("postgres");
    command.arg("-D").arg(data).arg("-k").arg(sockets);
    for setting in SETTINGS.iter().chain(more) {
        command.args(["-c", setting]);
    }
    command
}

/// PostgreSQL refuses to run as root.
fn as_postgres(name: &str) -> Command {
    let program = Path::new(BIN).join(name);
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        // To become another user resets what the kernel does when the parent goes.
        command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--pdeathsig", "INT"]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    // It wants a working directory that its user may enter.
    command.current_dir("/");
    command
}

/// Gives `path` and what is in it to the user that PostgreSQL runs as.
fn own(path: &Path) -> Result<()> {
    if geteuid().is_root() {
        let mut command = Command::new("chown");
        command.args(["-R", "postgres:"]).arg(path);
        run_tool(command, &std::env::temp_dir(), TOOL_WITHIN)?;
    }
    Ok(())
}
