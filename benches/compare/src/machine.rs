//! The machine and the versions, so that a figure can be read a year later.

use crate::bench::Bench;
use crate::process::run_tool;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Name and value of everything worth knowing; "unknown" where the machine does not tell.
pub fn describe(bench: &Bench) -> Vec<(&'static str, String)> {
    let tell = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("sh");
        // Some tell their version on standard error, and some with a status of failure.
        let line = format!("{program} {} 2>&1 || true", arguments.join(" "));
        command.args(["-c", &line]);
        let told = run_tool(command, bench.dir(), TOLD_WITHIN).unwrap_or_default();
        told.lines().next().filter(|line| !line.is_empty()).unwrap_or("unknown").to_owned()
    };
    let of = if bench.options.another_bazar { "given by --bin".to_owned() } else { commit() };
    let cores = std::thread::available_parallelism().map_or_else(|_| "unknown".into(), |n| n.to_string());
    vec![
        ("processor", field("/proc/cpuinfo", "model name")),
        ("cores", cores),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("kernel", tell("uname", &["-sr"])),
        ("system", field("/etc/os-release", "PRETTY_NAME")),
        ("file system of the databases", file_system(&bench.options.data)),
        ("bazar", format!("{}, {of}", tell(&bench.options.bazar.display().to_string(), &["--version"]))),
        ("rustc", tell("rustc", &["--version"])),
        ("nginx", tell("/usr/sbin/nginx", &["-v"])),
        ("Varnish", tell("/usr/sbin/varnishd", &["-V"])),
        ("PostgreSQL", tell("/usr/lib/postgresql/15/bin/postgres", &["--version"])),
        ("Redis", tell("redis-server", &["--version"])),
        ("sqlite3", tell("sqlite3", &["--version"])),
        ("wrk", tell("wrk", &["-v"])),
    ]
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map_or_else(|| "unknown".into(), |value| value.trim_matches([' ', '\t', ':', '=', '"']).to_owned())
}

/// The type of the longest mount point above `path`.
fn file_system(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut best = ("", "unknown");
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(point), Some(kind)) = (words.next(), words.next())
            && path.starts_with(point)
            && point.len() >= best.0.len()
        {
            best = (point, kind);
        }
    }
    best.1.to_owned()
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    output.ok().filter(|output| output.status.success()).map_or_else(
        || "no commit".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
