//! From what was typed to what a role works with: every mistake of a configuration is reported at once,
//! before anything is bound.

mod shopping;

pub use shopping::{buy, experiment, info, load, orders, search};

use crate::access::Access;
use crate::catalog::{self, Ack, Keep, Kind, MasterConfig, ReplicaConfig};
use crate::cli::{
    self, AdminArgs, AdmissionArgs, BackupArgs, CallArgs, CatalogArgs, ClientTracingArgs, Common, ExportArgs,
    FrontendArgs, HandoverArgs, ImportArgs, MetricsArgs, OrderArgs, RestoreArgs, TracingArgs, UpArgs,
    VerifyArgs,
};
use crate::client::BaseUrl;
use crate::coherence::mastership::LONGEST_LEASE;
use crate::frontend::{Admission, Hosts, Networks, Origins, Policy, Rate, Warm};
use crate::intake::Format;
use crate::recipe::Recipe;
use crate::secret_file;
use crate::telemetry::{Endpoint, LogFormat, Tracing};
use crate::token::{AdminToken, InternalToken, MetricsTokens};
use crate::{backup, call, demo, export, frontend, handover, import, order, restore, up, verify};
use awc::http::Method;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A lease shorter than this is renewed more often than a busy machine schedules; one that is longer
/// stalls writers for longer than a customer waits.
const LEASE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=LONGEST_LEASE;

/// Nodes of one kind in one process.
const MAX_NODES: usize = 16;

/// At least one page of answers, at most what a machine may have.
const CACHE_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 40;

/// What is wrong with a configuration: one sentence each, none missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "error: {mistake}")?;
        }
        Ok(())
    }
}

/// A role's checked configuration, with what all roles have.
#[derive(Debug)]
pub struct Checked<T> {
    pub config: T,
    pub token: InternalToken,
    pub log_format: LogFormat,
    /// `None`: no traces are sent.
    pub tracing: Option<Tracing>,
}

pub fn up(args: UpArgs) -> Result<Checked<up::Config>, Mistakes> {
    let mut check = Check::default();
    // A store in one process needs no secret that anybody else knows.
    let shared = check.token(&args.common);
    let mut config = up::Config {
        token_is_shared: shared.is_some(),
        listen: check.addr("--listen", &args.listen),
        data: args.data,
        replicas: check.count("--replicas", &args.replicas, 0),
        orders: check.count("--orders", &args.orders, 1),
        frontends: check.count("--frontends", &args.frontends, 1),
        redis: check.redis(args.redis),
        balance: check.balance(&args.balance),
        warm: check.warm(args.warm.as_deref()),
        admin: check.admin(&args.admin, shared.as_ref()),
        metrics: check.metrics(&args.metrics, shared.as_ref()),
        admission: check.admission(&args.admission),
        ack: check.ack(&args.ack),
        keep: check.keep(&args.keep_answers, &args.keep_refusals),
        lease: check.time("--lease", cli::LEASE),
        search_ttl: check.time("--search-ttl", cli::SEARCH_TTL),
        info_ttl: check.time("--info-ttl", cli::INFO_TTL),
        cache_bytes: check.bytes("--cache-bytes", cli::CACHE_BYTES),
        unsafe_coherence: check.recipe(args.unsafe_coherence.as_deref()),
        workers: cores(),
    };
    // A store for this machine's people alone: a page that they look at may come from anywhere.
    if args.admission.allowed_host.is_none() && config.listen.ip().is_loopback() {
        config.admission.hosts = Hosts::local();
    }
    check.apart(config.admin.as_ref(), config.metrics.as_ref());
    if config.unsafe_coherence.is_some() {
        check.loopback("--listen", config.listen, "--unsafe-coherence");
    }
    if args.demo {
        check.loopback("--listen", config.listen, "--demo");
    }
    // With --demo the frontends get the ports behind it.
    let ports = config.frontends + usize::from(args.demo);
    if config.listen.port() != 0 && usize::from(config.listen.port()) + ports > 65_536 {
        check.mistake("--listen: there are not enough ports behind it for all frontends");
    }
    let token = shared.unwrap_or_else(InternalToken::random);
    let tracing = check.tracing("bazar", &args.tracing, Some(&args.client_tracing));
    Ok(Checked { tracing, ..check.done(config, Some(token), &args.common)? })
}

pub fn demo(args: UpArgs) -> Result<Checked<demo::Config>, Mistakes> {
    let Checked { config: store, token, log_format, tracing } = up(args)?;
    // Its own process answers no customer and works on no request.
    Ok(Checked { config: demo::Config { store, log_format, tracing }, token, log_format, tracing: None })
}

pub fn frontend(args: FrontendArgs) -> Result<Checked<frontend::Config>, Mistakes> {
    let mut check = Check::default();
    let internal_listen = check.addr("--internal-listen", &args.internal_listen);
    let token = check.token_to_listen("--internal-listen", internal_listen, &args.common);
    let config = frontend::Config {
        listen: check.addr("--listen", &args.listen),
        internal_listen,
        advertise: args.advertise.and_then(|url| check.url("--advertise", &url)),
        masters: check.urls("--master", args.master.as_deref()),
        replicas: args.replica.as_deref().map_or_else(Vec::new, |urls| check.urls("--replica", Some(urls))),
        orders: check.urls("--order", args.order.as_deref()),
        redis: check.redis(args.redis),
        balance: check.balance(&args.balance),
        warm: check.warm(args.warm.as_deref()),
        admin: check.admin(&args.admin, token.as_ref()),
        metrics: check.metrics(&args.metrics, token.as_ref()),
        admission: check.admission(&args.admission),
        search_ttl: check.time("--search-ttl", &args.search_ttl),
        info_ttl: check.time("--info-ttl", &args.info_ttl),
        cache_bytes: check.bytes("--cache-bytes", &args.cache_bytes),
        unsafe_coherence: check.recipe(args.unsafe_coherence.as_deref()),
        workers: cores(),
    };
    check.apart(config.admin.as_ref(), config.metrics.as_ref());
    if config.unsafe_coherence.is_some() {
        check.loopback("--listen", config.listen, "--unsafe-coherence");
        check.loopback("--internal-listen", config.internal_listen, "--unsafe-coherence");
    }
    let tracing = check.tracing("bazar-frontend", &args.tracing, Some(&args.client_tracing));
    Ok(Checked { tracing, ..check.done(config, token, &args.common)? })
}

pub fn catalog(args: CatalogArgs) -> Result<Checked<catalog::Config>, Mistakes> {
    let mut check = Check::default();
    if args.master == args.replica {
        check.mistake("exactly one of --master and --replica must be given");
    }
    let listen = check.addr("--listen", &args.listen);
    if args.data.is_none() {
        check.mistake("--data must name the directory of this node's data");
    }
    let kind = if args.replica && !args.master {
        let of_master = [
            ("--ack", args.ack.is_some()),
            ("--lease", args.lease.is_some()),
            ("--force", args.force),
            ("--keep-answers", args.keep_answers.is_some()),
            ("--keep-refusals", args.keep_refusals.is_some()),
        ];
        for (flag, given) in of_master {
            if given {
                check.mistake(format!("{flag} is for --master"));
            }
        }
        Kind::Replica(ReplicaConfig {
            masters: check.urls("--master-url", args.master_url.as_deref()),
            advertise: args.advertise.and_then(|url| check.url("--advertise", &url)),
        })
    } else {
        let of_replica =
            [("--master-url", args.master_url.is_some()), ("--advertise", args.advertise.is_some())];
        for (flag, given) in of_replica {
            if given && args.master {
                check.mistake(format!("{flag} is for --replica"));
            }
        }
        let lease = check.time("--lease", args.lease.as_deref().unwrap_or(cli::LEASE));
        if !LEASE.contains(&lease) {
            check.mistake("--lease must be between 100ms and 5s");
        }
        let ack = args.ack.map_or(Ack::Sync, |ack| check.ack(&ack));
        let answers = args.keep_answers.as_deref().unwrap_or(cli::KEEP_ANSWERS);
        let refusals = args.keep_refusals.as_deref().unwrap_or(cli::KEEP_REFUSALS);
        let keep = check.keep(answers, refusals);
        Kind::Master(MasterConfig { ack, lease, leases_outlive_process: true, force: args.force, keep })
    };
    let unsafe_coherence = check.recipe(args.unsafe_coherence.as_deref());
    if unsafe_coherence.is_some() {
        check.loopback("--listen", listen, "--unsafe-coherence");
    }
    let token = check.token_to_listen("--listen", listen, &args.common);
    let metrics = check.metrics(&args.metrics, token.as_ref());
    let data = args.data.unwrap_or_default();
    let service = if args.replica { "bazar-replica" } else { "bazar-master" };
    let tracing = check.tracing(service, &args.tracing, None);
    let config = catalog::Config { kind, listen, data, unsafe_coherence, metrics };
    Ok(Checked { tracing, ..check.done(config, token, &args.common)? })
}

pub fn order(args: OrderArgs) -> Result<Checked<order::Config>, Mistakes> {
    let mut check = Check::default();
    let listen = check.addr("--listen", &args.listen);
    let token = check.token_to_listen("--listen", listen, &args.common);
    let config = order::Config {
        listen,
        masters: check.urls("--master", args.master.as_deref()),
        metrics: check.metrics(&args.metrics, token.as_ref()),
    };
    let tracing = check.tracing("bazar-order", &args.tracing, None);
    Ok(Checked { tracing, ..check.done(config, token, &args.common)? })
}

pub fn handover(args: HandoverArgs) -> Result<Checked<handover::Config>, Mistakes> {
    let mut check = Check::default();
    let config = handover::Config {
        heir: check.url("--to", &args.to).unwrap_or_else(|| BaseUrl::from_addr(([127, 0, 0, 1], 0).into())),
        masters: args.master.as_deref().map_or_else(Vec::new, |urls| check.urls("--master", Some(urls))),
    };
    let token = check.required_token(&args.common);
    check.done(config, token, &args.common)
}

pub fn verify(args: VerifyArgs) -> Result<Checked<verify::Config>, Mistakes> {
    let mut check = Check::default();
    let config = verify::Config { masters: check.urls("--master", args.master.as_deref()) };
    let token = check.required_token(&args.common);
    check.done(config, token, &args.common)
}

pub fn call(args: CallArgs) -> Result<Checked<call::Config>, Mistakes> {
    let mut check = Check::default();
    let method = match args.method.to_ascii_uppercase().as_str() {
        "GET" => Method::GET,
        "POST" => Method::POST,
        _ => {
            check.mistake(format!("METHOD: \"{}\" is neither GET nor POST", args.method));
            Method::GET
        }
    };
    if method == Method::GET && args.data.is_some() {
        check.mistake("--data is for POST");
    }
    let (to, target) = match url::Url::parse(&args.url) {
        Ok(url) => {
            let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
            let base = &url[..url::Position::BeforePath];
            (check.url("URL", base), target.to_owned())
        }
        Err(_) => (check.url("URL", &args.url), String::new()),
    };
    let to = to.unwrap_or_else(|| BaseUrl::from_addr(([127, 0, 0, 1], 0).into()));
    let data = args.data.map(|path| match path.as_os_str() == "-" {
        true => call::Data::StandardInput,
        false => call::Data::File(path),
    });
    let token = check.required_token(&args.common);
    check.done(call::Config { method, to, target, data }, token, &args.common)
}

pub fn import(args: ImportArgs) -> Result<Checked<import::Config>, Mistakes> {
    let mut check = Check::default();
    let file = (args.file.as_os_str() != "-").then_some(args.file);
    let rejects = args.rejects.unwrap_or_else(|| {
        let mut path = file.clone().unwrap_or_else(|| "import".into()).into_os_string();
        path.push(".rejected");
        path.into()
    });
    let (masters, token) = match args.dry_run {
        true => (Vec::new(), Some(InternalToken::random())),
        false => match args.master.as_deref() {
            Some(urls) => (check.urls("--master", Some(urls)), check.required_token(&args.common)),
            None => check
                .access(&args.data)
                .map_or((Vec::new(), None), |access| (vec![access.master], Some(access.keeper))),
        },
    };
    let config = import::Config {
        file,
        format: args.format.map(|format| check.format(&format)),
        rejects,
        strict: args.strict,
        dry_run: args.dry_run,
        again: args.again,
        masters,
    };
    check.done(config, token, &args.common)
}

pub fn export(args: ExportArgs) -> Result<Checked<export::Config>, Mistakes> {
    let mut check = Check::default();
    let format = check.format(&args.format);
    let (node, token) = match args.node.as_deref() {
        Some(url) => (check.url("--node", url), check.required_token(&args.common)),
        None => match check.access(&args.data) {
            Some(access) => (Some(access.master), Some(access.keeper)),
            None => (None, None),
        },
    };
    let node = node.unwrap_or_else(|| BaseUrl::from_addr(([127, 0, 0, 1], 0).into()));
    check.done(export::Config { node, format, output: args.output }, token, &args.common)
}

/// Says what is wrong with a file although it can be used. There is no log yet.
fn complain(name: &str, path: &Path) {
    if let Some(complaint) = secret_file::complaint(path) {
        eprintln!("warning: {name}: {complaint}");
    }
}

pub fn backup(args: BackupArgs) -> Result<Checked<backup::Config>, Mistakes> {
    let mut check = Check::default();
    if args.output.is_none() {
        check.mistake("--output must name the file of the backup");
    }
    let (source, token) = match args.node.as_deref() {
        Some(urls) => {
            let nodes = backup::Source::Nodes(check.urls("--node", Some(urls)));
            (nodes, check.required_token(&args.common))
        }
        None => match check.access(&args.data) {
            Some(access) => (backup::Source::Running(access.master), Some(access.keeper)),
            None => (backup::Source::Nodes(Vec::new()), None),
        },
    };
    let output = args.output.unwrap_or_default();
    let config = backup::Config { source, output, force: args.force, stale: args.stale };
    check.done(config, token, &args.common)
}

pub fn restore(args: RestoreArgs) -> Result<restore::Config, Mistakes> {
    let RestoreArgs { file, data, as_master, no_sum } = args;
    let missing = || Mistakes(vec!["--data must name the directory to restore into".into()]);
    Ok(restore::Config { file, data: data.ok_or_else(missing)?, as_master, no_sum })
}

/// HTTP workers of a frontend.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Checks values one after the other. A wrong one is noted and replaced by something harmless, so that
/// the rest can be checked too; [`Check::done`] lets nothing out if any was wrong.
#[derive(Default)]
struct Check(Vec<String>);

impl Check {
    fn mistake(&mut self, sentence: impl Into<String>) {
        self.0.push(sentence.into());
    }

    fn or_note<T>(&mut self, checked: Result<T, String>, harmless: T) -> T {
        checked.unwrap_or_else(|sentence| {
            self.mistake(sentence);
            harmless
        })
    }

    fn access(&mut self, data: &Path) -> Option<Access> {
        self.or_note(Access::of(data).map(Some), None)
    }

    fn format(&mut self, text: &str) -> Format {
        let checked = match text {
            "csv" => Ok(Format::Csv),
            "jsonl" => Ok(Format::JsonLines),
            _ => Err(format!("--format: \"{text}\" is neither csv nor jsonl")),
        };
        self.or_note(checked, Format::Csv)
    }

    fn addr(&mut self, flag: &str, text: &str) -> SocketAddr {
        let checked = text.parse().map_err(|_| {
            format!("{flag}: \"{text}\" is not an address of the form 127.0.0.1:8083 or [::1]:8083")
        });
        self.or_note(checked, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn url(&mut self, flag: &str, text: &str) -> Option<BaseUrl> {
        let checked = BaseUrl::parse(text).map(Some).map_err(|sentence| format!("{flag}: {sentence}"));
        self.or_note(checked, None)
    }

    fn urls(&mut self, flag: &str, text: Option<&str>) -> Vec<BaseUrl> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            self.mistake(format!("{flag} must name at least one URL"));
            return Vec::new();
        };
        text.split(',').filter_map(|url| self.url(flag, url.trim())).collect()
    }

    fn time(&mut self, flag: &str, text: &str) -> Duration {
        let checked = humantime::parse_duration(text)
            .ok()
            .filter(|time| !time.is_zero())
            .ok_or_else(|| format!("{flag}: \"{text}\" is not a time such as 1000ms, 30s or 1h"));
        self.or_note(checked, *LEASE.start())
    }

    fn keep(&mut self, answers: &str, refusals: &str) -> Keep {
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

    fn bytes(&mut self, flag: &str, text: &str) -> u64 {
        let checked = text
            .parse::<bytesize::ByteSize>()
            .map_err(|_| format!("{flag}: \"{text}\" is not a size such as 64MiB"))
            .and_then(|size| match CACHE_BYTES.contains(&size.as_u64()) {
                true => Ok(size.as_u64()),
                false => Err(format!("{flag} must be between 64KiB and 1TiB")),
            });
        self.or_note(checked, *CACHE_BYTES.start())
    }

    fn count(&mut self, flag: &str, text: &str, least: usize) -> usize {
        let checked =
            text.parse().ok().filter(|count| (least..=MAX_NODES).contains(count)).ok_or_else(|| {
                format!("{flag}: \"{text}\" is not a whole number between {least} and {MAX_NODES}")
            });
        self.or_note(checked, least)
    }

    fn ack(&mut self, text: &str) -> Ack {
        let checked = match text {
            "sync" => Ok(Ack::Sync),
            "async" => Ok(Ack::Async),
            _ => Err(format!("--ack: \"{text}\" is neither sync nor async")),
        };
        self.or_note(checked, Ack::Sync)
    }

    fn balance(&mut self, text: &str) -> Policy {
        let checked = Policy::parse(text).ok_or_else(|| {
            let known = Policy::ALL.map(Policy::as_str).join(", ");
            format!("--balance: \"{text}\" is none of {known}")
        });
        self.or_note(checked, Policy::default())
    }

    fn admission(&mut self, args: &AdmissionArgs) -> Admission {
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

    fn warm(&mut self, text: Option<&str>) -> Option<Warm> {
        let checked = text.map(Warm::parse).transpose().map_err(|sentence| format!("--warm: {sentence}"));
        self.or_note(checked, None)
    }

    fn recipe(&mut self, text: Option<&str>) -> Option<Recipe> {
        let text = text?;
        let checked = Recipe::parse(text).map(Some).ok_or_else(|| {
            let known = Recipe::ALL.map(Recipe::as_str).join(", ");
            format!("--unsafe-coherence: \"{text}\" is none of {known}")
        });
        self.or_note(checked, None)
    }

    /// `None` where no traces are sent; all is checked all the same.
    fn tracing(
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
    fn loopback(&mut self, flag: &str, addr: SocketAddr, because: &str) {
        if !addr.ip().is_loopback() {
            self.mistake(format!(
                "{flag}: with {because} the address must be a loopback one such as 127.0.0.1, and {addr} is not"
            ));
        }
    }

    /// The URL may hold a password, so it may come from a file, and is never repeated in a message.
    fn redis(&mut self, flag: Option<String>) -> Option<String> {
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

    /// The secret if one is configured.
    fn token(&mut self, common: &Common) -> Option<InternalToken> {
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

    fn required_token(&mut self, common: &Common) -> Option<InternalToken> {
        let before = self.0.len();
        let token = self.token(common);
        if token.is_none() && self.0.len() == before {
            self.mistake("--internal-token-file or BAZAR_INTERNAL_TOKEN must give the internal token");
        }
        token
    }

    /// The token of a role whose internal routes are at `addr`. Without one, whoever reaches that address would be
    /// a member of the store.
    fn token_to_listen(&mut self, flag: &str, addr: SocketAddr, common: &Common) -> Option<InternalToken> {
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
    fn admin(&mut self, args: &AdminArgs, internal: Option<&InternalToken>) -> Option<AdminToken> {
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
    fn metrics(&mut self, args: &MetricsArgs, internal: Option<&InternalToken>) -> Option<MetricsTokens> {
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
    fn apart(&mut self, admin: Option<&AdminToken>, metrics: Option<&MetricsTokens>) {
        if admin.zip(metrics).is_some_and(|(admin, metrics)| metrics.include_admin(admin)) {
            self.mistake("the metrics token must be another than the admin token");
        }
    }

    fn secret(&mut self, name: &str, path: PathBuf) -> Option<String> {
        let read = secret_file::read(&path)
            .map(|text| Some(text.trim().to_owned()))
            .map_err(|sentence| format!("{name}: {sentence}"));
        complain(name, &path);
        self.or_note(read, None)
    }

    fn done<T>(
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
