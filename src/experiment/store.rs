//! Stores of an experiment's own: started on free ports, with temporary data, and gone with their value.
//!
//! [`Up`] is `bazar up`; [`Roles`] has each role in a process of its own, to be killed, replaced, and listened
//! to. Both sell the same made-up catalog ([`Shelf`]), small enough to be hot, with enough copies for a run.

use super::process::{Launch, Process, errand};
use super::relay::Relay;
use super::{Lab, Trouble};
use crate::client::BaseUrl;
use crate::recipe::Recipe;
use crate::shopper::Connection;
use crate::token::InternalToken;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The store brings its own first books, with these ids; a shelf of at least as many takes their place.
const OWN_BOOKS: u64 = 11;

/// For leases, probes and catch-ups after a start.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
const ASKED_WITHIN: Duration = Duration::from_secs(5);

/// What a store sells: books 1 to `books`, spread over the topics.
#[derive(Debug, Clone, Copy)]
pub struct Shelf {
    pub books: u64,
    pub topics: u64,
    /// Of each book.
    pub copies: u64,
}

impl Shelf {
    /// Few books that everybody wants: the hardest case for a cache.
    pub const HOT: Shelf = Shelf { books: 20, topics: 4, copies: 10_000 };

    fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        writeln!(file, "id,title,topic,stock,price")?;
        for id in 1..=self.books.max(OWN_BOOKS) {
            let topic = 1 + id % self.topics;
            writeln!(file, "{id},Volume {id},shelf-{topic},{},{}", self.copies, 5 + id % 40)?;
        }
        file.flush()
    }
}

/// `bazar up` in one process.
pub struct Up {
    /// Of each frontend.
    pub urls: Vec<BaseUrl>,
    // The process ends before its data goes.
    _process: Process,
    _data: TempDir,
}

impl Up {
    pub async fn start(
        lab: &Lab,
        frontends: usize,
        recipe: Option<Recipe>,
        shelf: Shelf,
    ) -> Result<Self, Trouble> {
        let data = lab.data()?;
        let dir = text(data.path());
        let launch = Launch { bazar: &lab.bazar, dir: data.path(), token: None };
        let mut args = args(&["up", "--listen", "127.0.0.1:0", "--data", &dir]);
        args.extend(["--frontends".into(), frontends.to_string()]);
        if let Some(recipe) = recipe {
            args.extend(["--unsafe-coherence".into(), recipe.to_string()]);
        }
        let process = Process::start(&launch, "up", &args).await?;
        stock(&launch, shelf, &["--data", &dir]).await?;
        Ok(Self { urls: base_urls(&process)?, _process: process, _data: data })
    }
}

/// How many of each role there are.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub replicas: usize,
    pub orders: usize,
    pub frontends: usize,
    /// Whether the frontends reach catalog and order nodes through relays that count.
    pub counted: bool,
}

/// Each role in a process of its own.
pub struct Roles {
    pub urls: Vec<BaseUrl>,
    /// By the name of the node behind each: catalog nodes, order nodes.
    pub catalog_relays: Vec<(String, Relay)>,
    pub order_relays: Vec<(String, Relay)>,
    bazar: PathBuf,
    token: String,
    master: CatalogNode,
    replicas: Vec<CatalogNode>,
    _others: Vec<Process>,
    data: TempDir,
}

struct CatalogNode {
    process: Process,
    data: String,
}

impl CatalogNode {
    fn url(&self) -> &str {
        self.process.urls().first().map_or("", String::as_str)
    }
}

impl Roles {
    pub async fn start(lab: &Lab, spread: Spread, shelf: Shelf) -> Result<Self, Trouble> {
        let (data, token) = (lab.data()?, InternalToken::random().text());
        let launch = Launch { bazar: &lab.bazar, dir: data.path(), token: Some(&token) };
        let node = |name: &str| text(&data.path().join(format!("{name}-data")));
        let master = start_master(&launch, "master", node("master"), ANY_PORT).await?;
        let mut replicas = Vec::new();
        for number in 1..=spread.replicas {
            let name = format!("replica-{number}");
            replicas.push(start_replica(&launch, &name, node(&name), ANY_PORT, master.url()).await?);
        }
        let masters: Vec<&str> = std::iter::once(&master).chain(&replicas).map(CatalogNode::url).collect();
        let masters = masters.join(",");
        let mut others = Vec::new();
        let mut orders = Vec::new();
        for number in 1..=spread.orders {
            let args = args(&["order", "--listen", ANY_PORT, "--master", &masters]);
            let order = Process::start(&launch, &format!("order-{number}"), &args).await?;
            orders.push((format!("order {number}"), first_url(&order)));
            others.push(order);
        }
        let mut catalogs = vec![("master".to_owned(), master.url().to_owned())];
        let numbered = replicas.iter().enumerate();
        catalogs.extend(
            numbered.map(|(number, node)| (format!("replica {}", number + 1), node.url().to_owned())),
        );
        let (mut catalog_relays, mut order_relays) = (Vec::new(), Vec::new());
        if spread.counted {
            catalog_relays = relayed(&mut catalogs).await?;
            order_relays = relayed(&mut orders).await?;
        }
        let joined = |nodes: &[(String, String)]| {
            nodes.iter().map(|(_, url)| url.as_str()).collect::<Vec<_>>().join(",")
        };
        let (candidates, orders) = (joined(&catalogs), joined(&orders));
        let mut urls = Vec::new();
        for number in 1..=spread.frontends {
            let args = args(&["frontend", "--listen", ANY_PORT, "--internal-listen", ANY_PORT]);
            // Every catalog node may be the master some day.
            let nodes = ["--master".into(), candidates.clone(), "--replica".into(), candidates.clone()];
            let args = [args, nodes.to_vec(), vec!["--order".into(), orders.clone()]].concat();
            let frontend = Process::start(&launch, &format!("frontend-{number}"), &args).await?;
            urls.push(base_url(&first_url(&frontend))?);
            others.push(frontend);
        }
        stock(&launch, shelf, &["--master", master.url()]).await?;
        let bazar = lab.bazar.clone();
        let roles = Self {
            urls,
            catalog_relays,
            order_relays,
            bazar,
            token,
            master,
            replicas,
            _others: others,
            data,
        };
        roles.settled(spread).await?;
        Ok(roles)
    }

    /// `kill -9` of the master, and its start on the same data.
    pub async fn kill_and_restart_master(&mut self) -> Result<(), Trouble> {
        self.master.process.kill()?;
        let (listen, data) = (listen(self.master.url()), self.master.data.clone());
        self.master = start_master(&self.launch(), "master", data, &listen).await?;
        Ok(())
    }

    /// The master hands over to the first replica and becomes a replica of it.
    pub async fn hand_over(&mut self) -> Result<(), Trouble> {
        let mut heir = self.replicas.remove(0);
        let heir_url = heir.url().to_owned();
        errand(&self.launch(), &args(&["handover", "--to", &heir_url, "--master", self.master.url()]))
            .await?;
        self.master.process.ended().await?;
        heir.process.stop().await?;
        let new = start_master(&self.launch(), "heir", heir.data.clone(), &listen(&heir_url)).await?;
        let old = std::mem::replace(&mut self.master, new);
        let listen = listen(old.url());
        let demoted =
            start_replica(&self.launch(), "demoted", old.data.clone(), &listen, self.master.url()).await?;
        self.replicas.insert(0, demoted);
        Ok(())
    }

    fn launch(&self) -> Launch<'_> {
        Launch { bazar: &self.bazar, dir: self.data.path(), token: Some(&self.token) }
    }

    /// Waits until every frontend has its lease and meets every node.
    async fn settled(&self, spread: Spread) -> Result<(), Trouble> {
        let wanted = [
            "lease: held".to_owned(),
            format!("order: {0} of {0}", spread.orders),
            format!("catalog: {0} of {0}", 1 + spread.replicas),
        ];
        for url in &self.urls {
            until_ready(url, &wanted).await?;
        }
        Ok(())
    }
}

const ANY_PORT: &str = "127.0.0.1:0";

async fn start_master(
    launch: &Launch<'_>,
    name: &str,
    data: String,
    listen: &str,
) -> Result<CatalogNode, Trouble> {
    let args = args(&["catalog", "--master", "--listen", listen, "--data", &data]);
    Ok(CatalogNode { process: Process::start(launch, name, &args).await?, data })
}

async fn start_replica(
    launch: &Launch<'_>,
    name: &str,
    data: String,
    listen: &str,
    master: &str,
) -> Result<CatalogNode, Trouble> {
    let flags = ["catalog", "--replica", "--listen", listen, "--data", &data, "--master-url", master];
    Ok(CatalogNode { process: Process::start(launch, name, &args(&flags)).await?, data })
}

/// Puts a relay before each of `nodes`, whose addresses become those of the relays.
async fn relayed(nodes: &mut [(String, String)]) -> Result<Vec<(String, Relay)>, Trouble> {
    let mut relays = Vec::new();
    for (name, url) in nodes {
        let relay = Relay::before(&base_url(url)?).await?;
        *url = relay.url().to_string();
        relays.push((name.clone(), relay));
    }
    Ok(relays)
}

/// Imports the shelf through the master that `place` names.
async fn stock(launch: &Launch<'_>, shelf: Shelf, place: &[&str]) -> Result<(), Trouble> {
    let path = launch.dir.join("shelf.csv");
    shelf.write(&path)?;
    errand(launch, &[args(&["import", &text(&path)]), args(place)].concat()).await
}

/// Waits until `/readyz` of `url` has all of `lines`.
async fn until_ready(url: &BaseUrl, lines: &[String]) -> Result<(), Trouble> {
    let mut connection = Connection::new(url.clone(), ASKED_WITHIN);
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        let seen = connection.get("/readyz").await.map_or_else(
            |failure| failure.to_string(),
            |answer| String::from_utf8_lossy(&answer.body).into_owned(),
        );
        if lines.iter().all(|line| seen.contains(line)) {
            return Ok(());
        }
        if Instant::now() >= until {
            let what = format!("{url} was not ready within {SETTLED_WITHIN:?}: {}", seen.replace('\n', "; "));
            return Err(Trouble::Process(what));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn args(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.into()).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn listen(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

fn first_url(process: &Process) -> String {
    process.urls().first().cloned().unwrap_or_default()
}

fn base_url(url: &str) -> Result<BaseUrl, Trouble> {
    BaseUrl::parse(url).map_err(|cause| Trouble::Process(format!("{url}: {cause}")))
}

fn base_urls(process: &Process) -> Result<Vec<BaseUrl>, Trouble> {
    process.urls().iter().map(|url| base_url(url)).collect()
}
