//! What the system says of this process.
//!
//! By our own hand: the `process` feature of the prometheus crate counts processor time in whole seconds, which
//! makes nothing of a rate over 15 s, and stops the scrape for every file that is open.

use super::Sheet;
use super::families::{
    PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_RESIDENT, PROCESS_START, PROCESS_THREADS,
    PROCESS_VIRTUAL,
};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::OnceLock;

pub fn read(sheet: &mut Sheet) {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    sheet.counter_of(&PROCESS_CPU, &[], used.tv_sec as f64 + used.tv_nsec as f64 * 1e-9);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(own) = Own::parse(&stat) {
        sheet.gauge(&PROCESS_RESIDENT, own.resident_pages * page_size() as f64);
        sheet.gauge(&PROCESS_VIRTUAL, own.virtual_bytes);
        sheet.gauge(&PROCESS_THREADS, own.threads);
        if let Some(boot) = boot_time() {
            sheet.gauge(&PROCESS_START, boot + own.started_ticks / clock_ticks_per_second() as f64);
        }
    }
    if let Some(open) = open_files() {
        sheet.gauge(&PROCESS_FDS, open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        sheet.gauge(&PROCESS_MAX_FDS, most as f64);
    }
}

/// Some fields of `/proc/self/stat` (proc(5)).
struct Own {
    threads: f64,
    started_ticks: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

impl Own {
    fn parse(stat: &str) -> Option<Self> {
        // The second field, the program's name, may hold spaces and brackets; behind it comes the third.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine was started, in Unix time: read once, so that the start of this process does not wander when
/// the clock is set.
fn boot_time() -> Option<f64> {
    static BOOT: OnceLock<Option<f64>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    })
}

/// Since Linux 6.2 the size of that directory says how many they are; before, they are counted.
fn open_files() -> Option<f64> {
    const FDS: &str = "/proc/self/fd";
    match fs::metadata(FDS).ok()?.len() {
        // The one that counts is one of them.
        0 => Some(fs::read_dir(FDS).ok()?.count().saturating_sub(1) as f64),
        count => Some(count as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_name_has_spaces_and_brackets_is_read_all_the_same() {
        let fields = (3..=52).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        let own = Own::parse(&format!("1 (a) b) {fields}\n")).unwrap();
        assert_eq!((own.threads, own.started_ticks), (20.0, 22.0));
        assert_eq!((own.virtual_bytes, own.resident_pages), (23.0, 24.0));
        assert!(Own::parse("").is_none());
    }
}
