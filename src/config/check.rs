//! One value after the other, from a text to what it stands for.

use super::{Checked, Mistakes};
use crate::access::Access;
use crate::catalog::{Ack, Keep};
use crate::cli::{AdmissionArgs, ClientTracingArgs, Common, TracingArgs};
use crate::client::BaseUrl;
use crate::coherence::mastership::LONGEST_LEASE;
use crate::frontend::{Admission, Hosts, Networks, Origins, Policy, Rate, Warm};
use crate::intake::Format;
use crate::recipe::Recipe;
use crate::telemetry::{Endpoint, LogFormat, Tracing};
use crate::token::InternalToken;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A lease shorter than this is renewed more often than a busy machine schedules; one that is longer
/// stalls writers for longer than a customer waits.
pub(super) const LEASE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=LONGEST_LEASE;

/// Nodes of one kind in one process.
const MAX_NODES: usize = 16;

/// At least one page of answers, at most what a machine may have.
const CACHE_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 40;

/// Checks values one after the other. A wrong one is noted and replaced by something harmless, so that
/// the rest can be checked too; [`Check::done`] lets nothing out if any was wrong.
#[derive(Default)]
pub(super) struct Check(pub(super) Vec<String>);

impl Check {
    pub(super) fn mistake(&mut self, sentence: impl Into<String>) {
        self.0.push(sentence.into());
    }

    pub(super) fn or_note<T>(&mut self, checked: Result<T, String>, harmless: T) -> T {
        checked.unwrap_or_else(|sentence| {
            self.mistake(sentence);
            harmless
        })
    }

    pub(super) fn access(&mut self, data: &Path) -> Option<Access> {
        self.or_note(Access::of(data).map(Some), None)
    }

    pub(super) fn format(&mut self, text: &str) -> Format {
        let checked = match text {
            "csv" => Ok(Format::Csv),
            "jsonl" => Ok(Format::JsonLines),
            _ => Err(format!("--format: \"{text}\" is neither csv nor jsonl")),
        };
        self.or_note(checked, Format::Csv)
    }

    pub(super) fn addr(&mut self, flag: &str, text: &str) -> SocketAddr {
        let checked = text.parse().map_err(|_| {
            format!("{flag}: \"{text}\" is not an address of the form 127.0.0.1:8083 or [::1]:8083")
        });
        self.or_note(checked, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(super) fn url(&mut self, flag: &str, text: &str) -> Option<BaseUrl> {
        let checked = BaseUrl::parse(text).map(Some).map_err(|sentence| format!("{flag}: {sentence}"));
        self.or_note(checked, None)
    }

    pub(super) fn urls(&mut self, flag: &str, text: Option<&str>) -> Vec<BaseUrl> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            self.mistake(format!("{flag} must name at least one URL"));
            return Vec::new();
        };
        text.split(',').filter_map(|url| self.url(flag, url.trim())).collect()
    }

    pub(super) fn time(&mut self, flag: &str, text: &str) -> Duration {
        let checked = humantime::parse_duration(text)
            .ok()
            .filter(|time| !time.is_zero())
            .ok_or_else(|| format!("{flag}: \"{text}\" is not a time such as 1000ms, 30s or 1h"));
        self.or_note(checked, *LEASE.start())
    }

    pub(super) fn keep(&mut self, answers: &str, refusals: &str) -> Keep {
        let keep = Keep {
            answers: self.time("--keep-answers", answers),
            refusals: self.time("--keep-refusals", refusals),
        };
        for (flag, time) in [("--keep-answers", keep.answers), ("--keep-refusals", keep.refusals)] {
            if time < Keep::AT_LEAST {
                self.mistake(format!("{flag} must be at least 1m"));
            }
        }
        if keep.refusals > keep.answers {
            self.mistake("--keep-refusals must be at most --keep-answers");
        }
        keep
    }

    pub(super) fn bytes(&mut self, flag: &str, text: &str) -> u64 {
        let checked = text
            .parse::<bytesize::ByteSize>()
            .map_err(|_| format!("{flag}: \"{text}\" is not a size such as 64MiB"))
            .and_then(|size| match CACHE_BYTES.contains(&size.as_u64()) {
                true => Ok(size.as_u64()),
                false => Err(format!("{flag} must be between 64KiB and 1TiB")),
            });
        self.or_note(checked, *CACHE_BYTES.start())
    }

    pub(super) fn count(&mut self, flag: &str, text: &str, least: usize) -> usize {
        let checked =
            text.parse().ok().filter(|count| (least..=MAX_NODES).contains(count)).ok_or_else(|| {
                format!("{flag}: \"{text}\" is not a whole number between {least} and {MAX_NODES}")
            });
        self.or_note(checked, least)
    }

    pub(super) fn ack(&mut self, text: &str) -> Ack {
        let checked = match text {
            "sync" => Ok(Ack::Sync),
            "async" => Ok(Ack::Async),
            _ => Err(format!("--ack: \"{text}\" is neither sync nor async")),
        };
        self.or_note(checked, Ack::Sync)
    }

    pub(super) fn balance(&mut self, text: &str) -> Policy {
        let checked = Policy::parse(text).ok_or_else(|| {
            let known = Policy::ALL.map(Policy::as_str).join(", ");
            format!("--balance: \"{text}\" is none of {known}")
        });
        self.or_note(checked, Policy::default())
    }

    pub(super) fn admission(&mut self, args: &AdmissionArgs) -> Admission {
        let networks =
            |flag: &str, text: &str| Networks::parse(text).map_err(|sentence| format!("{flag}: {sentence}"));
        let hosts = args.allowed_host.as_deref().map_or(Ok(Hosts::Any), Hosts::parse);
        let origins = args.cors_origin.as_deref().map_or(Ok(Origins::default()), Origins::parse);
        Admission {
            rate: self.rate("--rate-limit", &args.rate_limit),
            purchases: self.rate("--purchase-rate-limit", &args.purchase_rate_limit),
            connections: self.connections("--client-connections", &args.client_connections),
            proxies: self.or_note(networks("--trusted-proxy", &args.trusted_proxy), Networks::default()),
            unlimited: self
                .or_note(networks("--unlimited-client", &args.unlimited_client), Networks::default()),
            hosts: self.or_note(hosts.map_err(|sentence| format!("--allowed-host: {sentence}")), Hosts::Any),
            origins: self.or_note(
                origins.map_err(|sentence| format!("--cors-origin: {sentence}")),
                Origins::default(),
            ),
        }
    }

    fn rate(&mut self, flag: &str, text: &str) -> Option<Rate> {
        let checked = match text {
            "off" => Ok(None),
            _ => Rate::parse(text).map(Some).ok_or_else(|| {
                format!("{flag}: \"{text}\" is neither off nor a rate such as 100/s or 6000/m")
            }),
        };
        self.or_note(checked, None)
    }

    fn connections(&mut self, flag: &str, text: &str) -> Option<usize> {
        let checked = match text {
            "off" => Ok(None),
            _ => text
                .parse()
                .ok()
                .filter(|&count| count > 0)
                .map(Some)
                .ok_or_else(|| format!("{flag}: \"{text}\" is neither off nor a whole number above 0")),
        };
        self.or_note(checked, None)
    }

    pub(super) fn warm(&mut self, text: Option<&str>) -> Option<Warm> {
        let checked = text.map(Warm::parse).transpose().map_err(|sentence| format!("--warm: {sentence}"));
        self.or_note(checked, None)
    }

    pub(super) fn recipe(&mut self, text: Option<&str>) -> Option<Recipe> {
        let text = text?;
        let checked = Recipe::parse(text).map(Some).ok_or_else(|| {
            let known = Recipe::ALL.map(Recipe::as_str).join(", ");
            format!("--unsafe-coherence: \"{text}\" is none of {known}")
        });
        self.or_note(checked, None)
    }

    /// `None` where no traces are sent; all is checked all the same.
    pub(super) fn tracing(
        &mut self,
        service: &'static str,
        args: &TracingArgs,
        clients: Option<&ClientTracingArgs>,
    ) -> Option<Tracing> {
        let text = &args.trace_sampling;
        let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        let ratio =
            ratio.ok_or_else(|| format!("--trace-sampling: \"{text}\" is not a number between 0 and 1"));
        let ratio = self.or_note(ratio, 0.0);
        let endpoint = args.otlp_endpoint.as_deref().map(|text| {
            Endpoint::parse(text).map(Some).map_err(|sentence| format!("--otlp-endpoint: {sentence}"))
        });
        let endpoint = endpoint.map_or(Ok(None), |checked| checked);
        let endpoint = self.or_note(endpoint, None)?;
        let trusts_clients = clients.is_some_and(|clients| clients.trust_traceparent);
        Some(Tracing { endpoint, service, ratio, trusts_clients })
    }

    /// A store that may give stale answers, or that anybody may break, is nobody's but this machine's.
    pub(super) fn loopback(&mut self, flag: &str, addr: SocketAddr, because: &str) {
        if !addr.ip().is_loopback() {
            self.mistake(format!(
                "{flag}: with {because} the address must be a loopback one such as 127.0.0.1, and {addr} is not"
            ));
        }
    }

    /// The URL may hold a password, so it may come from a file, and is never repeated in a message.
    pub(super) fn redis(&mut self, flag: Option<String>) -> Option<String> {
        let url = match (flag, std::env::var_os("BAZAR_REDIS_FILE")) {
            (Some(_), Some(_)) => {
                self.mistake("--redis: give either BAZAR_REDIS or BAZAR_REDIS_FILE, not both");
                return None;
            }
            (Some(url), None) => url,
            (None, Some(path)) => self.secret("BAZAR_REDIS_FILE", path.into())?,
            (None, None) => return None,
        };
        let scheme = ["redis://", "redis+unix://", "unix://"].iter().any(|scheme| url.starts_with(scheme));
        if !scheme || url::Url::parse(&url).is_err() {
            self.mistake("--redis must be a URL of the form redis://host:port");
            return None;
        }
        Some(url)
    }

    pub(super) fn done<T>(
        mut self,
        config: T,
        token: Option<InternalToken>,
        common: &Common,
    ) -> Result<Checked<T>, Mistakes> {
        let log_format = match common.log_format.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => {
                self.mistake(format!("--log-format: \"{other}\" is neither text nor json"));
                LogFormat::Text
            }
        };
        match token {
            Some(token) if self.0.is_empty() => Ok(Checked { config, token, log_format, tracing: None }),
            _ => Err(Mistakes(self.0)),
        }
    }
}
