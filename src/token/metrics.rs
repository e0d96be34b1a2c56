//! What a scraper has: it reads the metrics with it, and can do nothing else.

use super::{AdminToken, InternalToken, Secret};
use crate::secret_file;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at the file: a changed one counts from the first request that comes so long after the last look.
const LOOK: Duration = Duration::from_secs(1);

/// While it is being changed there are two, and each is accepted.
const MOST: usize = 2;

/// What is accepted from who asks for metrics. Clones share it, and what is read from its file later.
#[derive(Clone)]
pub struct MetricsTokens(Arc<Inner>);

struct Inner {
    accepted: ArcSwap<Vec<Secret>>,
    file: Option<PathBuf>,
    looked: Mutex<Instant>,
}

impl MetricsTokens {
    /// One or two, one a line, as they stand in a variable.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text).map(|accepted| Self::new(accepted, None))
    }

    /// As they stand in a file, which is read again when it has changed, unless it is a pipe. The error is a sentence
    /// that names it.
    pub fn read(file: &Path) -> Result<Self, String> {
        let accepted = of_file(file, &secret_file::read(file)?)?;
        Ok(Self::new(accepted, file.is_file().then(|| file.into())))
    }

    fn new(accepted: Vec<Secret>, file: Option<PathBuf>) -> Self {
        let (accepted, looked) = (ArcSwap::from_pointee(accepted), Mutex::new(Instant::now()));
        Self(Arc::new(Inner { accepted, file, looked }))
    }

    /// Whether an `Authorization` header carries one of them, in time that does not depend on how much of it is
    /// right.
    pub fn authorize(&self, header: &[u8]) -> bool {
        self.look();
        self.0.accepted.load().iter().fold(false, |is, secret| secret.authorizes(header) | is)
    }

    pub fn include(&self, secret: &str) -> bool {
        self.0.accepted.load().iter().any(|own| own.is(secret.as_bytes()))
    }

    pub fn include_internal(&self, token: &InternalToken) -> bool {
        token.held().secrets.iter().any(|secret| self.include(&secret.0))
    }

    pub fn include_admin(&self, admin: &AdminToken) -> bool {
        self.0.accepted.load().iter().any(|own| admin.is(&own.0))
    }

    /// The variable that hands them to a process that we start ourselves.
    pub fn variable(&self) -> (&'static str, String) {
        match &self.0.file {
            Some(file) => ("BAZAR_METRICS_TOKEN_FILE", file.display().to_string()),
            None => {
                let accepted = self.0.accepted.load();
                let lines: Vec<&str> = accepted.iter().map(|secret| &*secret.0).collect();
                ("BAZAR_METRICS_TOKEN", lines.join("\n"))
            }
        }
    }

    /// Reads the file again, if it is time. One that cannot be used changes nothing.
    fn look(&self) {
        let Some(file) = &self.0.file else { return };
        let Some(mut looked) = self.0.looked.try_lock().filter(|looked| looked.elapsed() >= LOOK) else {
            return;
        };
        *looked = Instant::now();
        match secret_file::read_again(file).and_then(|text| of_file(file, &text)) {
            Ok(accepted) if **self.0.accepted.load() != accepted => {
                self.0.accepted.store(Arc::new(accepted));
                log::info!("the metrics token was read again from {}", file.display());
            }
            Ok(_) => {}
            Err(why) => log::warn!("{why}: the metrics token stays as it was"),
        }
    }
}

fn of_file(file: &Path, text: &str) -> Result<Vec<Secret>, String> {
    parse(text).map_err(|why| format!("{}: {why}", file.display()))
}

fn parse(text: &str) -> Result<Vec<Secret>, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if !(1..=MOST).contains(&lines.len()) {
        return Err("there must be one metrics token, or two while it is being changed, one a line".into());
    }
    lines.into_iter().map(|line| Secret::parse(line, "the metrics token")).collect()
}

impl fmt::Debug for MetricsTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsTokens(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the-old-token-of-metrics";
    const NEW: &str = "the-new-token-of-metrics";

    fn authorizes(tokens: &MetricsTokens, token: &str) -> bool {
        tokens.authorize(format!("Bearer {token}").as_bytes())
    }

    #[test]
    fn one_token_or_two_are_accepted_and_nothing_else() {
        let tokens = MetricsTokens::parse(&format!(" {OLD}\n{NEW} \n")).unwrap();
        assert!(authorizes(&tokens, OLD) && authorizes(&tokens, NEW));
        for wrong in ["", &OLD[1..], &format!("{OLD}\n{NEW}"), &format!("{OLD}x")] {
            assert!(!authorizes(&tokens, wrong), "{wrong}");
        }
        assert!(!tokens.authorize(OLD.as_bytes()), "without its scheme");
        assert!(!format!("{tokens:?}").contains(OLD));
        for text in ["", "\n", "short", "a token with a space in it", &[OLD, NEW, OLD].join("\n")] {
            assert!(MetricsTokens::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_that_has_changed_is_read_again_and_one_that_is_broken_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, OLD).unwrap();
        let tokens = MetricsTokens::read(&file).unwrap();
        let later = || *tokens.0.looked.lock() -= LOOK;
        std::fs::write(&file, format!("{NEW}\n{OLD}")).unwrap();
        assert!(!authorizes(&tokens, NEW), "it was looked at just now");
        later();
        assert!(authorizes(&tokens, NEW) && authorizes(&tokens, OLD));
        std::fs::write(&file, NEW).unwrap();
        later();
        assert!(authorizes(&tokens, NEW) && !authorizes(&tokens, OLD));
        std::fs::write(&file, "short").unwrap();
        later();
        assert!(authorizes(&tokens, NEW));
        std::fs::remove_file(&file).unwrap();
        later();
        assert!(authorizes(&tokens, NEW));
    }
}
