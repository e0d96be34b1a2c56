//! From what was typed to what a role works with: every mistake of a configuration is reported at once,
//! before anything is bound.

mod check;
mod secrets;
mod shopping;

pub use shopping::{buy, experiment, info, load, orders, search};

use crate::catalog::{self, Ack, Kind, MasterConfig, ReplicaConfig};
use crate::cli::{
    self, BackupArgs, CallArgs, CatalogArgs, ExportArgs, FrontendArgs, HandoverArgs, ImportArgs, OrderArgs,
    RestoreArgs, UpArgs, VerifyArgs,
};
use crate::client::BaseUrl;
use crate::frontend::Hosts;
use crate::telemetry::{LogFormat, Tracing};
use crate::token::InternalToken;
use crate::{backup, call, demo, export, frontend, handover, import, order, restore, up, verify};
use awc::http::Method;
use check::{Check, LEASE};
use std::fmt;

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
