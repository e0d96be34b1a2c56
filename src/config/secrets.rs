//! The store's secrets: from where they are configured, each another than the others.

use super::check::Check;
use crate::cli::{AdminArgs, Common, MetricsArgs};
use crate::secret_file;
use crate::token::{AdminToken, InternalToken, MetricsTokens};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

impl Check {
    /// The secret if one is configured.
    pub(super) fn token(&mut self, common: &Common) -> Option<InternalToken> {
        let checked = match (&common.internal_token_file, std::env::var("BAZAR_INTERNAL_TOKEN")) {
            (Some(_), Ok(_)) => {
                self.mistake("give either --internal-token-file or BAZAR_INTERNAL_TOKEN, not both");
                return None;
            }
            (Some(path), Err(_)) => {
                complain("--internal-token-file", path);
                InternalToken::read(path)
            }
            (None, Ok(text)) => InternalToken::parse(&text),
            (None, Err(_)) => return None,
        };
        let checked = checked.map(Some).map_err(|sentence| match &common.internal_token_file {
            Some(_) => format!("--internal-token-file: {sentence}"),
            None => format!("BAZAR_INTERNAL_TOKEN: {sentence}"),
        });
        self.or_note(checked, None)
    }

    pub(super) fn required_token(&mut self, common: &Common) -> Option<InternalToken> {
        let before = self.0.len();
        let token = self.token(common);
        if token.is_none() && self.0.len() == before {
            self.mistake("--internal-token-file or BAZAR_INTERNAL_TOKEN must give the internal token");
        }
        token
    }

    /// The token of a role whose internal routes are at `addr`. Without one, whoever reaches that address would be
    /// a member of the store.
    pub(super) fn token_to_listen(
        &mut self,
        flag: &str,
        addr: SocketAddr,
        common: &Common,
    ) -> Option<InternalToken> {
        let before = self.0.len();
        let token = self.token(common);
        if token.is_none() && self.0.len() == before {
            let reach = match addr.ip().is_loopback() {
                true => "every user of this machine",
                false => "whoever reaches that address",
            };
            self.mistake(format!(
                "--internal-token-file or BAZAR_INTERNAL_TOKEN must give the internal token: without one, {flag} \
                 {addr} would let in {reach}"
            ));
        }
        token
    }

    /// The keeper's secret if one is configured. One for both would let a keeper join the store.
    pub(super) fn admin(&mut self, args: &AdminArgs, internal: Option<&InternalToken>) -> Option<AdminToken> {
        let text = match (&args.admin_token_file, std::env::var("BAZAR_ADMIN_TOKEN")) {
            (Some(_), Ok(_)) => {
                self.mistake("give either --admin-token-file or BAZAR_ADMIN_TOKEN, not both");
                return None;
            }
            (Some(path), Err(_)) => self.secret("--admin-token-file", path.clone())?,
            (None, Ok(text)) => text,
            (None, Err(_)) => return None,
        };
        let checked = AdminToken::parse(&text).and_then(|token| match internal {
            Some(internal) if token.is_internal(internal) => {
                Err("the admin token must be another than the internal token".into())
            }
            _ => Ok(Some(token)),
        });
        self.or_note(checked, None)
    }

    /// The scraper's secrets if any are configured. One for both would let a scraper do more than scrape.
    pub(super) fn metrics(
        &mut self,
        args: &MetricsArgs,
        internal: Option<&InternalToken>,
    ) -> Option<MetricsTokens> {
        let read = match (&args.metrics_token_file, std::env::var("BAZAR_METRICS_TOKEN")) {
            (Some(_), Ok(_)) => {
                self.mistake("give either --metrics-token-file or BAZAR_METRICS_TOKEN, not both");
                return None;
            }
            (Some(path), Err(_)) => {
                complain("--metrics-token-file", path);
                MetricsTokens::read(path).map_err(|why| format!("--metrics-token-file: {why}"))
            }
            (None, Ok(text)) => {
                MetricsTokens::parse(&text).map_err(|why| format!("BAZAR_METRICS_TOKEN: {why}"))
            }
            (None, Err(_)) => return None,
        };
        let checked = read.and_then(|tokens| match internal {
            Some(internal) if tokens.include_internal(internal) => {
                Err("the metrics token must be another than the internal token".into())
            }
            _ => Ok(Some(tokens)),
        });
        self.or_note(checked, None)
    }

    /// A scraper is no keeper.
    pub(super) fn apart(&mut self, admin: Option<&AdminToken>, metrics: Option<&MetricsTokens>) {
        if admin.zip(metrics).is_some_and(|(admin, metrics)| metrics.include_admin(admin)) {
            self.mistake("the metrics token must be another than the admin token");
        }
    }

    pub(super) fn secret(&mut self, name: &str, path: PathBuf) -> Option<String> {
        let read = secret_file::read(&path)
            .map(|text| Some(text.trim().to_owned()))
            .map_err(|sentence| format!("{name}: {sentence}"));
        complain(name, &path);
        self.or_note(read, None)
    }
}

/// Says what is wrong with a file although it can be used. There is no log yet.
fn complain(name: &str, path: &Path) {
    if let Some(complaint) = secret_file::complaint(path) {
        eprintln!("warning: {name}: {complaint}");
    }
}
