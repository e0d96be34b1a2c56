//! The commands that use a store from outside: a customer's, the load generator, the experiments.

use crate::shopper;
use clap::Args;
use std::path::PathBuf;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 not reachable, failed, or (buy) outcome unknown; 2 wrong usage; 3 not \
                          found; 4 refused (buy: sold out, underpaid, the key was used for another purchase).";

#[derive(Debug, Args)]
pub struct Store {
    /// Public address of the store
    #[arg(long, value_name = "URL", default_value = shopper::NEXT_DOOR, env = "BAZAR_URL")]
    pub url: String,
    /// Print the answer as it came
    #[arg(long, env = "BAZAR_JSON")]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:\n  bazar search education\n  bazar search --query 'project time'\n  \
                                bazar search fiction --all --json | jq -r '.items[].bookTitle'\n\n{EXIT_CODES} \
                                A topic without books is not found."))]
pub struct SearchArgs {
    /// The topic, spelled as the store spells it
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Search the titles for these words instead
    #[arg(long, value_name = "WORDS", env = "BAZAR_QUERY")]
    pub query: Option<String>,
    /// Follow all pages (with --json: one line for each)
    #[arg(long, env = "BAZAR_ALL")]
    pub all: bool,
    /// Books on a page, 1 to 1000 [default: the store's, 100]
    #[arg(long, value_name = "N", env = "BAZAR_LIMIT")]
    pub limit: Option<String>,
    /// Go on behind this place, as the page before named it
    #[arg(long, value_name = "PLACE", env = "BAZAR_AFTER")]
    pub after: Option<String>,
    #[command(flatten)]
    pub store: Store,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:\n  bazar info 9\n  bazar info 9 --json | jq .numberOfItems\n\n{EXIT_CODES}"))]
pub struct InfoArgs {
    /// Number of the book
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub store: Store,
}

#[derive(Debug, Args)]
#[command(after_help = format!("A purchase has a key: what is bought again under the same key is not bought twice. While \
                                the outcome is unknown (503, connection lost) it is repeated under its key, for 15 s at \
                                most; if it still is unknown the key is printed, to repeat it later.\n\nExamples:\n  \
                                bazar buy 9\n  bazar buy 9 --quantity 2 --offer 56\n  bazar buy 9 --key order-of-monday \
                                --json | jq -r .orderId\n\n{EXIT_CODES}"))]
pub struct BuyArgs {
    /// Number of the book
    #[arg(value_name = "ID")]
    pub id: String,
    /// Copies, 1 to 100
    #[arg(long, value_name = "N", default_value = "1", env = "BAZAR_QUANTITY")]
    pub quantity: String,
    /// What is offered for all copies together; below the price the store refuses [default: the listed price]
    #[arg(long, value_name = "DOLLARS", env = "BAZAR_OFFER")]
    pub offer: Option<String>,
    /// Name of this purchase (Idempotency-Key) [default: a new one]
    #[arg(long, value_name = "KEY", env = "BAZAR_KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    pub store: Store,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Example:\n  bazar orders c1f04e97dfd63cda6219b2c20072c8d2\n\n{EXIT_CODES}"))]
pub struct OrdersArgs {
    /// Number of the order, as the purchase answered it
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub store: Store,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Closed loop (default): each connection sends its next request when the last is answered. Open \
                        loop (--rate): requests are due at fixed times, and their latency counts from then, so that a \
                        store that stalls is not spared the requests that it held up.\n\nIt really buys. While it \
                        loads it checks every answer: no stock rises, none is above what a purchase or a read that \
                        was answered before proved, and at the end the acknowledged orders are looked \
                        up (all, or a random sample of 10,000).\n\n\
                        Examples:\n  bazar load http://127.0.0.1:8083\n  bazar load http://127.0.0.1:8083 --rate 5000 \
                        --buy 0.02 --duration 1m\n  bazar load http://127.0.0.1:8083,http://127.0.0.1:8084 \\\n    --buy 0.2 --json > load.json\n\nExit codes: 0 clean; 1 a promise was broken, an order could not be \
                        looked up, or nothing was answered; 2 wrong usage."
)]
pub struct LoadArgs {
    /// Public addresses of the store's frontends; the connections are spread over them
    #[arg(value_name = "URL[,URL...]")]
    pub url: String,
    /// Connections, 1 to 1024: as many requests are under way at most
    #[arg(long, value_name = "N", default_value = "32", env = "BAZAR_CONNECTIONS")]
    pub connections: String,
    /// Open loop: requests due in a second [default: closed loop]
    #[arg(long, value_name = "N", env = "BAZAR_RATE")]
    pub rate: Option<String>,
    /// Share of the requests that buy a copy, 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0.05", env = "BAZAR_BUY")]
    pub buy: String,
    /// Share of the reads that search a topic; the others look at one book
    #[arg(long, value_name = "SHARE", default_value = "0.5", env = "BAZAR_SEARCHES")]
    pub searches: String,
    /// Exponent of the Zipf popularity of topics and books, 0 (all alike) to 10
    #[arg(long, value_name = "S", default_value = "1", env = "BAZAR_ZIPF")]
    pub zipf: String,
    /// How long is measured
    #[arg(long, value_name = "TIME", default_value = "10s", env = "BAZAR_DURATION")]
    pub duration: String,
    /// How long it loads before that; 0s for not at all
    #[arg(long, value_name = "TIME", default_value = "2s", env = "BAZAR_WARM_UP")]
    pub warm_up: String,
    /// Somebody else may restock or change books meanwhile: stock may rise, versions still must not fall
    #[arg(long, env = "BAZAR_ALLOW_RESTOCK")]
    pub allow_restock: bool,
    /// What is drawn (books, reads or purchases) follows from this number [default: drawn]
    #[arg(long, value_name = "N", env = "BAZAR_SEED")]
    pub seed: Option<String>,
    /// Print the report as JSON
    #[arg(long, env = "BAZAR_JSON")]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Each experiment asserts something and says PASS or FAIL, with what it saw. Without --url it starts \
                        stores of its own, as child processes with temporary data (below --out, so on its disk), and \
                        ends them. All experiments together take about a minute with the default --seconds.\n\n\
                        With --url it uses a store that runs, and really buys there: cache up to 40 \
                        copies, freshness like bazar load, and oversell sells one book out that has at most 100 copies \
                        left. The other experiments \
                        need stores of their own, and say why.\n\n\
                        It writes report.html (self-contained: open it in a browser), experiments.csv, \
                        experiments.json, and each picture as SVG.\n\n\
                        Examples:\n  bazar experiment\n  bazar experiment recipes --seconds 5\n  bazar experiment --list\n  \
                        bazar experiment freshness --url http://127.0.0.1:8083,http://127.0.0.1:8084\n\n\
                        Exit codes: 0 every claim holds; 1 one does not, or an experiment could not be done; 2 wrong \
                        usage."
)]
pub struct ExperimentArgs {
    /// Which experiments [default: all that can be done]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Say which experiments there are, and end
    #[arg(long, env = "BAZAR_LIST")]
    pub list: bool,
    /// Frontends of a store that runs [default: stores of its own]
    #[arg(long, value_name = "URL[,URL...]", env = "BAZAR_URL")]
    pub url: Option<String>,
    /// Directory for the report; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "./bazar-experiment", env = "BAZAR_OUT")]
    pub out: PathBuf,
    /// Length of each measurement in seconds, 0.1 to 60
    #[arg(long, value_name = "N", default_value = "3", env = "BAZAR_SECONDS")]
    pub seconds: String,
    /// What is drawn (books, reads or purchases) follows from this number
    #[arg(long, value_name = "N", default_value = "1", env = "BAZAR_SEED")]
    pub seed: String,
    /// Print experiments.json instead of tables
    #[arg(long, env = "BAZAR_JSON")]
    pub json: bool,
}
