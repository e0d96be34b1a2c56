//! Parse, check, run, exit code.

use bazar::catalog::CatalogError;
use bazar::cli::{CatalogArgs, CatalogCommand, Command, GenerateArgs, help};
use bazar::client::BaseUrl;
use bazar::config::{self, Checked, Mistakes};
use bazar::demo::DemoError;
use bazar::experiment;
use bazar::generate;
use bazar::leash;
use bazar::server;
use bazar::shutdown::{self, Shutdown};
use bazar::telemetry;
use bazar::terminal;
use bazar::token::InternalToken;
use bazar::up::UpError;
use mimalloc::MiMalloc;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

/// A full cache takes half the memory that it takes with the C library's allocator, and hits are a tenth
/// faster (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    match help::parse().command {
        Command::Up(args) if args.demo => start(config::demo(args), async |config, token, stop| {
            let app = config.build(token).await?;
            Ok(app.run(stop, |addrs| ready("up", addrs)).await?)
        }),
        Command::Up(args) => start(config::up(args), async |config, token, stop| {
            let app = config.build(token).await?;
            let addrs = app.addrs();
            Ok(app.run(stop, move || ready("up", &addrs)).await?)
        }),
        Command::Frontend(args) => start(config::frontend(args), async |config, token, stop| {
            let app = config.build(token).await?;
            ready("frontend", &[app.addr(), app.internal_addr()]);
            Ok(app.run(stop).await?)
        }),
        Command::Catalog(CatalogArgs { command: Some(CatalogCommand::Verify(args)), .. }) => {
            start(config::verify(args), async |config, token, _| {
                Ok(config.run(token, |line| println!("{line}")).await?)
            })
        }
        Command::Catalog(args) => start(config::catalog(args), async |config, token, stop| {
            let app = config.build(token).await?;
            ready(app.name(), &[app.addr()]);
            Ok(app.run(stop).await?)
        }),
        Command::Order(args) => start(config::order(args), async |config, token, stop| {
            let app = config.build(token).await?;
            ready("order", &[app.addr()]);
            Ok(app.run(stop).await?)
        }),
        Command::Handover(args) => start(config::handover(args), async |config, token, _| {
            println!("{}", config.run(token).await?);
            Ok(())
        }),
        Command::Call(args) => start(config::call(args), async |config, token, _| {
            let called = config.run(token, std::io::stdout().lock()).await;
            Ok(called?)
        }),
        Command::Search(args) => shop(config::search(args)),
        Command::Info(args) => shop(config::info(args)),
        Command::Buy(args) => shop(config::buy(args)),
        Command::Orders(args) => shop(config::orders(args)),
        Command::Load(args) => judge(config::load(args), async |config, stop| {
            let json = config.json;
            let report = config.run(stop).await?;
            let text = if json { serde_json::to_string_pretty(&report)? } else { report.to_string() };
            Ok((text, report.complaint()))
        }),
        Command::Experiment(args) if args.list => exit_code(print(experiment::list().as_bytes())),
        Command::Experiment(args) => judge(config::experiment(args), async |config, stop| {
            let json = config.json;
            let report = config.run(stop).await?;
            Ok((if json { report.json()? } else { report.to_string() }, report.complaint()))
        }),
        Command::Import(args) => start(config::import(args), async |config, token, stop| {
            eprintln!("{}", config.run(token, stop).await?);
            Ok(())
        }),
        Command::Export(args) => start(config::export(args), async |config, token, _| {
            match config.run(token).await {
                Err(error) if error.is_closed_pipe() => {}
                done => eprintln!("{}", done?),
            }
            Ok(())
        }),
        Command::Backup(args) => start(config::backup(args), async |config, token, stop| {
            println!("{}", config.run(token, stop).await?);
            Ok(())
        }),
        Command::Restore(args) => {
            judge(config::restore(args), async |config, stop| Ok((config.run(stop).await?, None)))
        }
        Command::Generate(GenerateArgs { books, seed, first_id, output }) => {
            exit_code(generate::write(generate::Config { books, seed, first_id }, output.as_deref()))
        }
        Command::Healthcheck { url } => {
            exit_code(actix_web::rt::System::new().block_on(bazar::client::healthcheck(&url)))
        }
        Command::Openapi => exit_code(
            bazar::frontend::description()
                .to_pretty_json()
                .map_err(Into::into)
                .and_then(|json| print(format!("{json}\n").as_bytes())),
        ),
        Command::Leashed { parent, program, args } => exit_code(leash::run(parent, program, args)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut help::command(), "bazar", &mut script);
            exit_code(print(&script))
        }
        Command::Man { dir: Some(dir) } => exit_code(
            help::man_pages(&dir)
                .map_err(|error| format!("--dir: {} cannot be written: {error}", dir.display()).into()),
        ),
        Command::Man { dir: None } => {
            let mut page = Vec::new();
            exit_code(help::man_page(&mut page).map_err(Into::into).and_then(|()| print(&page)))
        }
    }
}

/// Runs one role until it is asked to stop. Exit code 2: the configuration is wrong, nothing was bound.
fn start<T>(
    checked: Result<Checked<T>, Mistakes>,
    run: impl AsyncFnOnce(T, InternalToken, Shutdown) -> Outcome,
) -> ExitCode {
    let Checked { config, token, log_format, tracing } = match checked {
        Ok(checked) => checked,
        Err(mistakes) => return wrong(&mistakes),
    };
    // Until the end, when it sends what is left.
    let _telemetry = telemetry::init(log_format, tracing);
    server::raise_connection_limit();
    exit_code(actix_web::rt::System::new().block_on(async move {
        let stop = shutdown::on_signals()?;
        actix_web::rt::spawn(token.clone().follow(stop.clone()));
        run(config, token, stop).await
    }))
}

/// One errand at the store.
fn shop(checked: Result<terminal::Config, Mistakes>) -> ExitCode {
    let config = match checked {
        Ok(config) => config,
        Err(mistakes) => return wrong(&mistakes),
    };
    match actix_web::rt::System::new().block_on(config.run(&mut std::io::stdout())) {
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// Runs what ends in a report and perhaps a complaint: a broken promise, a claim that does not hold. Exit code 1
/// then.
fn judge<T>(
    checked: Result<T, Mistakes>,
    run: impl AsyncFnOnce(T, Shutdown) -> Result<(String, Option<String>), Box<dyn Error>>,
) -> ExitCode {
    let config = match checked {
        Ok(config) => config,
        Err(mistakes) => return wrong(&mistakes),
    };
    server::raise_connection_limit();
    exit_code(actix_web::rt::System::new().block_on(async move {
        let (report, complaint) = run(config, shutdown::on_signals()?).await?;
        print(format!("{report}\n").as_bytes())?;
        complaint.map_or(Ok(()), |complaint| Err(complaint.into()))
    }))
}

/// Writes to standard output.
fn print(text: &[u8]) -> Outcome {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

fn wrong(mistakes: &Mistakes) -> ExitCode {
    eprint!("{mistakes}");
    ExitCode::from(2)
}

fn ready(role: &str, addrs: &[SocketAddr]) {
    let urls: Vec<String> = addrs.iter().map(|&addr| BaseUrl::from_addr(addr).to_string()).collect();
    println!("bazar {role} is ready at {}", urls.join(" "));
}

fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            // Started as what its data forbids: a mistake of the caller, like a wrong flag.
            let of_catalog = error.downcast_ref::<CatalogError>().or(match error.downcast_ref::<UpError>() {
                Some(UpError::Catalog(error)) => Some(error),
                _ => None,
            });
            let of_demo = error.downcast_ref::<DemoError>();
            match of_catalog {
                Some(CatalogError::Refused(_)) => ExitCode::from(2),
                _ if of_demo.is_some_and(DemoError::is_refusal) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
