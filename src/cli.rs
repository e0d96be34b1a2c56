//! What the user typed. Values are checked in [`config`](crate::config), so that all that is wrong with
//! them is said at once.

pub mod help;
pub mod shopping;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// Defaults that a store in one process has in common with a frontend and a master of their own.
pub const SEARCH_TTL: &str = "3600s";
pub const INFO_TTL: &str = "1800s";
pub const CACHE_BYTES: &str = "64MiB";
pub const BALANCE: &str = "round-robin";
pub const LEASE: &str = "1000ms";
pub const KEEP_ANSWERS: &str = "24h";
pub const KEEP_REFUSALS: &str = "1h";
pub const RATE_LIMIT: &str = "6000/m";
pub const PURCHASE_RATE_LIMIT: &str = "300/m";
pub const CLIENT_CONNECTIONS: &str = "256";
pub const TRACE_SAMPLING: &str = "0.01";

/// Parts of a long help.
const SHAPE: &str = "What it is made of";
const PURCHASES: &str = "Purchases";
const NODES: &str = "Other nodes";
const CACHE: &str = "Cache";
const MASTER: &str = "Of a master";
const REPLICA: &str = "Of a replica";
const ADMISSION: &str = "Who is let in";
const TEACHING: &str = "To compare and to teach";

/// A distributed bookstore whose reads come from a cache and are never stale
#[derive(Debug, Parser)]
#[command(name = "bazar", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "bazar COMMAND --help tells about a command, with examples. Every flag can also be given as an \
                        environment variable: --search-ttl is BAZAR_SEARCH_TTL. RUST_LOG chooses what is logged: \
                        RUST_LOG=bazar=debug shows every cache decision.\n\n\
                        Example:\n  bazar up\n  bazar buy 9"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole store in one process on this machine
    #[command(
        after_help = "Examples:\n  bazar up\n  bazar up --replicas 2 --frontends 2 --data /var/lib/bazar\n  \
                            bazar up --demo --replicas 2 --frontends 2"
    )]
    Up(UpArgs),
    /// Run a frontend: the public entry, with the cache
    #[command(after_help = "Example:\n  bazar frontend --master http://127.0.0.1:3000 \\\n    \
                            --replica http://127.0.0.1:3001 --order http://127.0.0.1:3006 \\\n    \
                            --redis redis://127.0.0.1:6379")]
    Frontend(FrontendArgs),
    /// Run a catalog node: the write master or a read replica
    #[command(after_help = "Examples:\n  bazar catalog --master --data master-data\n  \
                            bazar catalog --replica --data replica-data --listen 127.0.0.1:3001 \\\n    \
                            --master-url http://127.0.0.1:3000")]
    Catalog(CatalogArgs),
    /// Run an order node: stateless purchase processing
    #[command(after_help = "Example:\n  bazar order --master http://127.0.0.1:3000")]
    Order(OrderArgs),
    /// Let the write master hand over to a replica
    #[command(
        after_help = "The master finishes what is queued, seals its log for the replica and ends. That one is \
                            then started with --master on its data, and the old master, if it is to stay, with \
                            --replica.\n\nExample:\n  \
                            bazar handover --to http://127.0.0.1:3001 --master http://127.0.0.1:3000"
    )]
    Handover(HandoverArgs),
    /// Ask a role what only other roles may ask, in a signed request
    #[command(after_help = CALL_HELP)]
    Call(CallArgs),
    /// Search the store: by topic, or by words in titles
    Search(shopping::SearchArgs),
    /// Look at a book
    Info(shopping::InfoArgs),
    /// Buy a book
    Buy(shopping::BuyArgs),
    /// Look an order up
    Orders(shopping::OrdersArgs),
    /// Load a running store, measure it, and check every answer
    Load(shopping::LoadArgs),
    /// Measure what the store claims, judge it, and write a report
    Experiment(shopping::ExperimentArgs),
    /// Bring books from a file into a running store
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Write all books of one moment to a file
    #[command(after_help = "Examples:\n  bazar export --output books.csv\n  \
                            bazar export --format jsonl --node http://127.0.0.1:3001 > books.jsonl")]
    Export(ExportArgs),
    /// Write a made-up, plausible catalog of any size
    #[command(after_help = "Examples:\n  bazar generate --books 1000000 --seed 7 --output books.csv\n  \
                            bazar generate --books 1000 | bazar import -")]
    Generate(GenerateArgs),
    /// Copy a running store into one file
    #[command(
        after_help = "The file can be restored, and read with SQLite. Only its owner can read it: there are orders \
                            in it. Without --node it finds the store that \"bazar up\" runs on --data.\n\nExamples:\n  \
                            bazar backup --output shop.bazar\n  \
                            bazar backup --output shop.bazar --node http://127.0.0.1:3001"
    )]
    Backup(BackupArgs),
    /// Make a data directory of what a backup holds
    #[command(
        after_help = "Without --as-master it is a replica's data: it follows the master of a store that runs, and \
                            takes what it lacks. With it the store goes on from the backup: WHAT WAS ACKNOWLEDGED \
                            AFTER THE BACKUP IS LOST, and nodes with that set it aside.\n\nExamples:\n  \
                            bazar restore shop.bazar --data data/replica\n  \
                            bazar restore shop.bazar --data bazar-data/master --as-master"
    )]
    Restore(RestoreArgs),
    /// Ask a node for its health: exit code 0 or 1
    #[command(after_help = "Example:\n  bazar healthcheck http://127.0.0.1:3005/readyz")]
    Healthcheck {
        /// The URL to get; any answer but 2xx within two seconds is a failure
        url: String,
    },
    /// Print the description of the public API, OpenAPI 3.1
    #[command(
        after_help = "A running store serves the same at /openapi.json, and a page to read and try it at /docs.\n\n\
                            Examples:\n  bazar openapi > bazar.json\n  bazar openapi | jq -r '.paths | keys[]'"
    )]
    Openapi,
    /// Run a program that ends with the process that started this one
    #[command(hide = true)]
    Leashed {
        parent: u32,
        program: PathBuf,
        #[arg(last = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  bazar completions bash > /etc/bash_completion.d/bazar\n  \
                            bazar completions zsh > /usr/local/share/zsh/site-functions/_bazar\n  \
                            bazar completions fish > ~/.config/fish/completions/bazar.fish")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the man page, or write one for each command
    #[command(after_help = "Examples:\n  bazar man | man -l -\n  bazar man --dir /usr/local/share/man/man1")]
    Man {
        /// Write bazar.1, bazar-up.1 and so on into this directory instead
        #[arg(long, value_name = "DIR", env = "BAZAR_DIR")]
        dir: Option<PathBuf>,
    },
}

const CALL_HELP: &str = "\
The internal routes of a role take signed requests only; this signs one. The answer is printed when it is proved to \
come from a member of the store; one that is no success is printed too, and ends in exit code 1.

Examples:
  bazar call GET http://127.0.0.1:3000/status
  bazar call POST http://127.0.0.1:3000/verify
  bazar call POST http://127.0.0.1:3000/edits --data edits.json";

const IMPORT_HELP: &str = "\
The first line of CSV names the columns: title, topic, stock, price (in dollars), and id if there is one; JSON Lines \
has members of these names. A line with an id takes the place of the book under that id, its stock included; a line \
without one is a new book. The input may be packed by gzip.

What was imported is known again for as long as a receipt (--keep-answers): after a kill, the same command goes on \
where it ended, and nothing is doubled. It is known by what was read up to there, so lines without an id that come \
again in a file that differs before them are new books. Lines that are no books lie in a file of their own: mend and \
import that one.

Without --master it finds the store that \"bazar up\" runs on --data.

Examples:
  bazar import books.csv
  bazar generate --books 1000 | bazar import -
  bazar import books.csv.gz --master http://127.0.0.1:3000 \\
    --internal-token-file token";

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How it is written: csv or jsonl [default: as the first line shows]
    #[arg(long, value_name = "FORMAT", env = "BAZAR_FORMAT")]
    pub format: Option<String>,
    /// Where lines go that are no books [default: FILE.rejected]
    #[arg(long, value_name = "PATH", env = "BAZAR_REJECTS")]
    pub rejects: Option<PathBuf>,
    /// End at the first line that is no book
    #[arg(long, env = "BAZAR_STRICT")]
    pub strict: bool,
    /// Read and check everything, and import nothing
    #[arg(long, env = "BAZAR_DRY_RUN")]
    pub dry_run: bool,
    /// Import anew what was imported before
    #[arg(long, env = "BAZAR_AGAIN")]
    pub again: bool,
    /// Candidates for the write master [default: the store that runs on --data]
    #[arg(long, value_name = "URL[,URL...]", env = "BAZAR_MASTER")]
    pub master: Option<String>,
    /// Data directory of a running "bazar up"
    #[arg(long, value_name = "DIR", default_value = "./bazar-data", env = "BAZAR_DATA")]
    pub data: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file; it appears when it is whole [default: standard output]
    #[arg(long, value_name = "FILE", env = "BAZAR_OUTPUT")]
    pub output: Option<PathBuf>,
    /// How it is written: csv or jsonl
    #[arg(long, value_name = "FORMAT", default_value = "csv", env = "BAZAR_FORMAT")]
    pub format: String,
    /// The catalog node to read from, master or replica [default: the store that runs on --data]
    #[arg(long, value_name = "URL", env = "BAZAR_NODE")]
    pub node: Option<String>,
    /// Data directory of a running "bazar up"
    #[arg(long, value_name = "DIR", default_value = "./bazar-data", env = "BAZAR_DATA")]
    pub data: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file; it appears when it is whole
    #[arg(long, value_name = "FILE", env = "BAZAR_OUTPUT")]
    pub output: Option<PathBuf>,
    /// Replace what is there under that name
    #[arg(long, env = "BAZAR_FORCE")]
    pub force: bool,
    /// Take what a replica has, also when the master cannot be asked whether that is everything
    #[arg(long, env = "BAZAR_STALE")]
    pub stale: bool,
    /// Catalog nodes, asked one after the other until one gives a backup; a replica spares the master the work
    /// [default: the store that runs on --data]
    #[arg(long, value_name = "URL[,URL...]", env = "BAZAR_NODE")]
    pub node: Option<String>,
    /// Data directory of a running "bazar up"
    #[arg(long, value_name = "DIR", default_value = "./bazar-data", env = "BAZAR_DATA")]
    pub data: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct CallArgs {
    /// GET or POST
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// The internal address of a role, with path and query
    #[arg(value_name = "URL")]
    pub url: String,
    /// File with the body, or - for standard input [default: no body]
    #[arg(long, value_name = "FILE", env = "BAZAR_DATA")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The directory, which is empty or not there; of "bazar up" it is the one of a node: DIR/master
    #[arg(long, value_name = "DIR", env = "BAZAR_DATA")]
    pub data: Option<PathBuf>,
    /// Let the store go on from here: the first start as a master needs no --force
    #[arg(long, env = "BAZAR_AS_MASTER")]
    pub as_master: bool,
    /// Take a file that does not end with its sum: the bazar.db of a node that was stopped
    #[arg(long, env = "BAZAR_NO_SUM")]
    pub no_sum: bool,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// How many books
    #[arg(long, value_name = "N", default_value = "1000", env = "BAZAR_BOOKS")]
    pub books: u64,
    /// Another seed gives another catalog
    #[arg(long, value_name = "S", default_value = "1", env = "BAZAR_SEED")]
    pub seed: u64,
    /// The id of the first book; the shop's own first books have 1 to 11
    #[arg(long, value_name = "ID", default_value = "12", env = "BAZAR_FIRST_ID")]
    pub first_id: u64,
    /// The file [default: standard output]
    #[arg(long, value_name = "FILE", env = "BAZAR_OUTPUT")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Every role")]
pub struct Common {
    /// File with the secret that the roles of one store share (or BAZAR_INTERNAL_TOKEN); or two, one a line, while
    /// it is being changed: the first signs, both are accepted, and the file is read again when it changes
    #[arg(long, value_name = "PATH", env = "BAZAR_INTERNAL_TOKEN_FILE")]
    pub internal_token_file: Option<PathBuf>,
    /// How logs are written: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "BAZAR_LOG_FORMAT")]
    pub log_format: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Traces")]
pub struct TracingArgs {
    /// Where traces are sent: the base URL of an OpenTelemetry collector, such as http://127.0.0.1:4318 (OTLP over
    /// HTTP, at /v1/traces below it) [default: nowhere]
    #[arg(long, value_name = "URL", env = "BAZAR_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Which part of the customers' requests is traced, 0 (none) to 1 (all)
    #[arg(long, value_name = "RATIO", default_value = TRACE_SAMPLING, env = "BAZAR_TRACE_SAMPLING")]
    pub trace_sampling: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Traces")]
pub struct ClientTracingArgs {
    /// Trace a request also because its client says so (in its traceparent header): only where all clients are
    /// your own, since then each of them can have everything traced
    #[arg(long, env = "BAZAR_TRUST_TRACEPARENT")]
    pub trust_traceparent: bool,
}

#[derive(Debug, Args)]
pub struct AdminArgs {
    /// File with the secret that lets a keeper change the catalog, by /admin and its API (or BAZAR_ADMIN_TOKEN)
    /// [default: nobody can, and there is no /admin]
    #[arg(long, value_name = "PATH", env = "BAZAR_ADMIN_TOKEN_FILE")]
    pub admin_token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Every role")]
pub struct MetricsArgs {
    /// File with the secret that lets a scraper read /metrics, or two of them, one a line, while it is being changed
    /// (or BAZAR_METRICS_TOKEN) [default: nobody can, and there is no /metrics]
    #[arg(long, value_name = "PATH", env = "BAZAR_METRICS_TOKEN_FILE")]
    pub metrics_token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct AdmissionArgs {
    /// Requests of one client: so many at once, and as many flow in within a second, a minute or an hour (N/s, N/m or
    /// N/h); or off
    #[arg(long, help_heading = ADMISSION, value_name = "RATE", default_value = RATE_LIMIT, env = "BAZAR_RATE_LIMIT")]
    pub rate_limit: String,
    /// The same for purchases alone
    #[arg(long, help_heading = ADMISSION, value_name = "RATE", default_value = PURCHASE_RATE_LIMIT, env = "BAZAR_PURCHASE_RATE_LIMIT")]
    pub purchase_rate_limit: String,
    /// Connections of one client at a time, or off
    #[arg(long, help_heading = ADMISSION, value_name = "N", default_value = CLIENT_CONNECTIONS, env = "BAZAR_CLIENT_CONNECTIONS")]
    pub client_connections: String,
    /// Clients without limits: addresses, networks such as 10.0.0.0/8, and the words loopback, private and none
    #[arg(long, help_heading = ADMISSION, value_name = "NET[,...]", default_value = "loopback", env = "BAZAR_UNLIMITED_CLIENT")]
    pub unlimited_client: String,
    /// Proxies whose X-Forwarded-For says who the client is, in the same words
    #[arg(long, help_heading = ADMISSION, value_name = "NET[,...]", default_value = "none", env = "BAZAR_TRUSTED_PROXY")]
    pub trusted_proxy: String,
    /// Host names under which the store may be asked, beside addresses and localhost; any, or local for no other
    /// [default: any, but local for "up" on the loopback]
    #[arg(long, help_heading = ADMISSION, value_name = "NAME[,...]", env = "BAZAR_ALLOWED_HOST")]
    pub allowed_host: Option<String>,
    // A help text, which shows the address as it is typed.
    #[allow(rustdoc::bare_urls)]
    /// Origins such as https://shop.example whose pages may use the API [default: none]
    #[arg(long, help_heading = ADMISSION, value_name = "ORIGIN[,...]", env = "BAZAR_CORS_ORIGIN")]
    pub cors_origin: Option<String>,
}

#[derive(Debug, Args)]
pub struct UpArgs {
    /// Public address of the first frontend; the others get the next ports
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8083", env = "BAZAR_LISTEN")]
    pub listen: String,
    /// Directory of the data; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "./bazar-data", env = "BAZAR_DATA")]
    pub data: PathBuf,
    /// Read replicas
    #[arg(long, help_heading = SHAPE, value_name = "N", default_value = "1", env = "BAZAR_REPLICAS")]
    pub replicas: String,
    /// Order nodes
    #[arg(long, help_heading = SHAPE, value_name = "N", default_value = "2", env = "BAZAR_ORDERS")]
    pub orders: String,
    /// Frontends
    #[arg(long, help_heading = SHAPE, value_name = "N", default_value = "1", env = "BAZAR_FRONTENDS")]
    pub frontends: String,
    /// Redis as a second cache level (or BAZAR_REDIS_FILE) [default: none]
    #[arg(long, help_heading = SHAPE, value_name = "URL", env = "BAZAR_REDIS", hide_env_values = true)]
    pub redis: Option<String>,
    /// How the next node is chosen among those that are well: round-robin (each in its turn),
    /// least-connections (the one with the fewest calls under way) or p2c (the less busy of two that are
    /// drawn)
    #[arg(long, value_name = "POLICY", default_value = BALANCE, env = "BAZAR_BALANCE")]
    pub balance: String,
    /// What is read into the cache before the store says that it is ready: the first pages of these
    /// topics, or all [default: nothing]
    #[arg(long, value_name = "TOPIC[,...]|all", env = "BAZAR_WARM")]
    pub warm: Option<String>,
    /// Whom a purchase waits for: sync (every replica in sync) or async (no replica)
    #[arg(long, help_heading = PURCHASES, value_name = "MODE", default_value = "sync", env = "BAZAR_ACK")]
    pub ack: String,
    /// How long the receipt of a purchase is kept under its Idempotency-Key, at least 1m; a key that was
    /// forgotten buys again
    #[arg(long, help_heading = PURCHASES, value_name = "TIME", default_value = KEEP_ANSWERS, env = "BAZAR_KEEP_ANSWERS")]
    pub keep_answers: String,
    /// The same of a refusal, at least 1m and at most --keep-answers
    #[arg(long, help_heading = PURCHASES, value_name = "TIME", default_value = KEEP_REFUSALS, env = "BAZAR_KEEP_REFUSALS")]
    pub keep_refusals: String,
    /// Run a well-known recipe instead of the coherence protocol, to compare and to teach, on the loopback
    /// only: ttl, delete-then-write, write-then-delete or none. ANSWERS MAY BE STALE [default: the protocol]
    #[arg(long, help_heading = TEACHING, value_name = "RECIPE", env = "BAZAR_UNSAFE_COHERENCE")]
    pub unsafe_coherence: Option<String>,
    /// Run the roles as processes of their own, with buttons on the dashboard to kill, pause and cut them off;
    /// the frontends get the ports behind --listen, which is on the loopback
    #[arg(long, env = "BAZAR_DEMO")]
    pub demo: bool,
    #[command(flatten)]
    pub admin: AdminArgs,
    #[command(flatten)]
    pub admission: AdmissionArgs,
    #[command(flatten)]
    pub tracing: TracingArgs,
    #[command(flatten)]
    pub client_tracing: ClientTracingArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct FrontendArgs {
    /// Public address
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:3005", env = "BAZAR_LISTEN")]
    pub listen: String,
    /// Internal address, for the master's fences
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:3105", env = "BAZAR_INTERNAL_LISTEN")]
    pub internal_listen: String,
    /// How the master reaches the internal address [default: as it sees us, with that port]
    #[arg(long, value_name = "URL", env = "BAZAR_ADVERTISE")]
    pub advertise: Option<String>,
    /// Candidates for the write master
    #[arg(long, help_heading = NODES, value_name = "URL[,URL...]", env = "BAZAR_MASTER")]
    pub master: Option<String>,
    /// Read replicas; a host name stands for all its addresses [default: none]
    #[arg(long, help_heading = NODES, value_name = "URL[,URL...]", env = "BAZAR_REPLICA")]
    pub replica: Option<String>,
    /// Order nodes; a host name stands for all its addresses
    #[arg(long, help_heading = NODES, value_name = "URL[,URL...]", env = "BAZAR_ORDER")]
    pub order: Option<String>,
    /// Redis as a second cache level (or BAZAR_REDIS_FILE) [default: none]
    #[arg(long, help_heading = CACHE, value_name = "URL", env = "BAZAR_REDIS", hide_env_values = true)]
    pub redis: Option<String>,
    /// How the next node is chosen among those that are well: round-robin (each in its turn),
    /// least-connections (the one with the fewest calls under way) or p2c (the less busy of two that are
    /// drawn)
    #[arg(long, value_name = "POLICY", default_value = BALANCE, env = "BAZAR_BALANCE")]
    pub balance: String,
    /// What is read into the cache before /readyz turns green: the first pages of these topics, or all
    /// [default: nothing]
    #[arg(long, value_name = "TOPIC[,...]|all", env = "BAZAR_WARM")]
    pub warm: Option<String>,
    /// How long lists are kept
    #[arg(long, help_heading = CACHE, value_name = "TIME", default_value = SEARCH_TTL, env = "BAZAR_SEARCH_TTL")]
    pub search_ttl: String,
    /// How long single books are kept
    #[arg(long, help_heading = CACHE, value_name = "TIME", default_value = INFO_TTL, env = "BAZAR_INFO_TTL")]
    pub info_ttl: String,
    /// Memory for cached answers
    #[arg(long, help_heading = CACHE, value_name = "SIZE", default_value = CACHE_BYTES, env = "BAZAR_CACHE_BYTES")]
    pub cache_bytes: String,
    /// Run a well-known recipe instead of the coherence protocol, to compare and to teach, on the loopback
    /// only: ttl, delete-then-write, write-then-delete or none. ANSWERS MAY BE STALE [default: the protocol]
    #[arg(long, help_heading = TEACHING, value_name = "RECIPE", env = "BAZAR_UNSAFE_COHERENCE")]
    pub unsafe_coherence: Option<String>,
    #[command(flatten)]
    pub admin: AdminArgs,
    #[command(flatten)]
    pub admission: AdmissionArgs,
    #[command(flatten)]
    pub tracing: TracingArgs,
    #[command(flatten)]
    pub client_tracing: ClientTracingArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CatalogArgs {
    #[command(subcommand)]
    pub command: Option<CatalogCommand>,
    /// Be the write master
    #[arg(long, env = "BAZAR_MASTER", value_parser = switch)]
    pub master: bool,
    /// Be a read replica
    #[arg(long, env = "BAZAR_REPLICA")]
    pub replica: bool,
    /// Internal address
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:3000", env = "BAZAR_LISTEN")]
    pub listen: String,
    /// Directory of this node's data; made if it is not there
    #[arg(long, value_name = "DIR", env = "BAZAR_DATA")]
    pub data: Option<PathBuf>,
    /// Whom a purchase waits for, sync (every replica in sync) or async (no replica) [default: sync]
    #[arg(long, help_heading = MASTER, value_name = "MODE", env = "BAZAR_ACK")]
    pub ack: Option<String>,
    /// How long a frontend's lease runs, 100ms to 5s [default: 1000ms]
    #[arg(long, help_heading = MASTER, value_name = "TIME", env = "BAZAR_LEASE")]
    pub lease: Option<String>,
    /// Start although the data says that another node is master, because that one is gone for good;
    /// orders that were acknowledged without this node are lost
    #[arg(long, help_heading = MASTER, env = "BAZAR_FORCE")]
    pub force: bool,
    /// How long the receipt of a purchase is kept under its Idempotency-Key, at least 1m; a key that
    /// was forgotten buys again [default: 24h]
    #[arg(long, help_heading = MASTER, value_name = "TIME", env = "BAZAR_KEEP_ANSWERS")]
    pub keep_answers: Option<String>,
    /// The same of a refusal, at least 1m and at most --keep-answers [default: 1h]
    #[arg(long, help_heading = MASTER, value_name = "TIME", env = "BAZAR_KEEP_REFUSALS")]
    pub keep_refusals: Option<String>,
    /// Candidates for the write master
    #[arg(long, help_heading = REPLICA, value_name = "URL[,URL...]", env = "BAZAR_MASTER_URL")]
    pub master_url: Option<String>,
    /// How the master reaches this node [default: as it sees us, with our port]
    #[arg(long, help_heading = REPLICA, value_name = "URL", env = "BAZAR_ADVERTISE")]
    pub advertise: Option<String>,
    /// Run a well-known recipe instead of the coherence protocol, to compare and to teach, on the loopback
    /// only: ttl, delete-then-write, write-then-delete or none. ANSWERS MAY BE STALE [default: the protocol]
    #[arg(long, help_heading = TEACHING, value_name = "RECIPE", env = "BAZAR_UNSAFE_COHERENCE")]
    pub unsafe_coherence: Option<String>,
    #[command(flatten)]
    pub tracing: TracingArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    #[command(flatten)]
    pub common: Common,
}

/// The value of `BAZAR_MASTER` for a node, which is or is not the master. For `verify` the same variable holds
/// URLs: here they turn nothing on.
fn switch(text: &str) -> Result<bool, std::convert::Infallible> {
    Ok(text == "true")
}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Compare every row of the replicas with the master's; exit code 0 if all are equal
    #[command(after_help = "A replica whose rows differ takes a snapshot of the master's by itself.\n\n\
                            Example:\n  bazar catalog verify --master http://127.0.0.1:3000")]
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Candidates for the write master
    #[arg(long, value_name = "URL[,URL...]", env = "BAZAR_MASTER")]
    pub master: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Internal address
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:3006", env = "BAZAR_LISTEN")]
    pub listen: String,
    /// Candidates for the write master
    #[arg(long, value_name = "URL[,URL...]", env = "BAZAR_MASTER")]
    pub master: Option<String>,
    #[command(flatten)]
    pub tracing: TracingArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct HandoverArgs {
    /// The replica that takes over, as the master reaches it
    #[arg(long, value_name = "URL", env = "BAZAR_TO")]
    pub to: String,
    /// Candidates for the write master [default: the one that the heir follows]
    #[arg(long, value_name = "URL[,URL...]", env = "BAZAR_MASTER")]
    pub master: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_of_its_name() {
        let cli = Cli::command();
        let below = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in cli.get_subcommands().chain(below) {
            for flag in command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg))) {
                let (name, arg) = flag;
                if matches!(name, "help" | "version") {
                    continue;
                }
                let variable = format!("BAZAR_{}", name.to_uppercase().replace('-', "_"));
                assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(variable.as_str()), "--{name}");
            }
        }
    }

    #[test]
    fn the_readme_has_every_flag_of_every_command() {
        // One row for each flag, behind the commands that have it; an empty cell repeats the one above.
        let mut listed: Vec<(String, String)> = Vec::new();
        for row in include_str!("../README.md").lines().filter(|line| line.starts_with('|')) {
            let row = row.replace("\\|", " ");
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let commands = match (cells[1], listed.last()) {
                ("", Some((commands, _))) => commands.clone(),
                (commands, _) => commands.to_owned(),
            };
            listed.push((commands, cells[2].replace('`', " ")));
        }
        let cli = Cli::command();
        let catalog = cli.find_subcommand("catalog").unwrap();
        let commands = cli.get_subcommands().map(|command| (command.get_name().to_owned(), command));
        let below = catalog.get_subcommands();
        let below = below.map(|command| (format!("catalog {}", command.get_name()), command));
        for (name, command) in commands.chain(below) {
            let of_it =
                |commands: &str| commands.contains(&format!("`{name}`")) || commands.starts_with("all roles");
            if command.is_hide_set() {
                continue;
            }
            assert!(listed.iter().any(|(commands, _)| commands.contains(&format!("`{name}`"))), "{name}");
            for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
                let flag = format!("--{flag}");
                let has = |flags: &str| flags.split([' ', ',']).any(|word| word == flag);
                let found = listed.iter().any(|(commands, flags)| of_it(commands) && has(flags));
                assert!(found || flag == "--help", "{name} {flag}");
            }
        }
    }
}
