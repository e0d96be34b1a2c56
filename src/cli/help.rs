//! How the help reads, on the terminal and as man pages.
//!
//! Commands stand in groups, in the order in which somebody meets them. That each flag has a variable is said
//! once, and not again at each of them.

use super::Cli;
use clap::{Command, CommandFactory, FromArgMatches};
use std::fmt::Write;
use std::io;
use std::path::Path;

/// What is in no group is shown behind them.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run a store", &["up", "frontend", "catalog", "order"]),
    ("Shop in it", &["search", "info", "buy", "orders"]),
    ("Keep its books", &["generate", "import", "export"]),
    ("Put it to the test", &["load", "experiment"]),
    ("Look after it", &["backup", "restore", "handover", "call", "healthcheck"]),
];

const THE_OTHERS: &str = "About this program";

/// The command line, with its help as it is shown.
pub fn command() -> Command {
    let plain = without_variables(Cli::command());
    let overview = overview(&plain);
    plain.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{overview}\n{{options}}{{after-help}}"
    ))
}

/// What the user typed, or the end of the process with a help or a mistake.
pub fn parse() -> Cli {
    Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

/// Writes `bazar.1`, `bazar-up.1` and so on into `dir`, which is made if it is not there.
pub fn man_pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(without_variables(Cli::command()).disable_help_subcommand(true), dir)
}

/// The man page of the program as a whole.
pub fn man_page(out: &mut dyn io::Write) -> io::Result<()> {
    clap_mangen::Man::new(without_variables(Cli::command())).render(out)
}

fn without_variables(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env(true)).mut_subcommands(without_variables)
}

/// A line for each command, group by group.
fn overview(command: &Command) -> String {
    let header = command.get_styles().get_header();
    let shown: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let width = shown.iter().map(|command| command.get_name().len()).max().unwrap_or_default();
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let others: Vec<&str> =
        shown.iter().map(|command| command.get_name()).filter(|name| !grouped(name)).collect();
    let mut text = String::new();
    for (title, names) in GROUPS.into_iter().chain([(THE_OTHERS, others.as_slice())]) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n{header}{title}:{header:#}");
        for name in names {
            let Some(command) = shown.iter().find(|command| command.get_name() == *name) else { continue };
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {name:width$}  {about}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command with what is typed to get to it.
    fn commands() -> Vec<(String, Command)> {
        fn below(path: &str, command: &Command, found: &mut Vec<(String, Command)>) {
            for inner in
                command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
            {
                let path = format!("{path} {}", inner.get_name());
                below(&path, inner, found);
                found.push((path, inner.clone()));
            }
        }
        let mut command = command();
        command.build();
        let mut found = Vec::new();
        below("bazar", &command, &mut found);
        found
    }

    fn help(command: &Command) -> String {
        command.clone().term_width(80).render_long_help().to_string()
    }

    #[test]
    fn every_command_has_an_example_that_fits_a_line() {
        for (path, command) in commands() {
            let help = help(&command);
            let (_, examples) =
                help.split_once("\nExample").unwrap_or_else(|| panic!("{path} has no example"));
            assert!(examples.contains(&path), "{path}: {examples}");
            // A line that the terminal breaks cannot be copied; a shell goes on behind a backslash.
            for line in examples.lines().filter(|line| line.starts_with("  ")) {
                let whole =
                    line.starts_with("  bazar") || line.starts_with("    ") || line.contains("bazar ");
                assert!(whole && line.len() <= 80, "{path}: {line}");
            }
        }
    }

    #[test]
    fn every_flag_and_argument_says_what_it_is() {
        for (path, command) in commands() {
            for argument in command.get_arguments() {
                let told = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(told.len() >= 5, "{path} {}", argument.get_id());
                assert!(!told.ends_with('.'), "{path} {}: a text ends without a point", argument.get_id());
            }
            assert!(command.get_about().is_some(), "{path}");
        }
    }

    #[test]
    fn the_overview_has_every_command_once_in_a_line_of_its_own() {
        let help = help(&command());
        for (path, _) in commands() {
            let name = path.trim_start_matches("bazar ");
            let lines = help.lines().filter(|line| line.starts_with(&format!("  {name} "))).count();
            assert_eq!(lines, usize::from(!name.contains(' ')), "{name}: {help}");
        }
        assert!(help.lines().all(|line| line.len() <= 80), "{help}");
        assert!(!help.contains('{'), "{help}");
    }

    #[test]
    fn a_man_page_is_made_for_every_command() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("man1");
        man_pages(&inner).unwrap();
        for (path, _) in commands().into_iter().chain([("bazar".into(), command())]) {
            let file = inner.join(format!("{}.1", path.replace(' ', "-")));
            let page = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
        }
    }
}
