//! The program of the benches: `echo` and `memory` are what they measure in processes of their own, `results` writes the
//! table of ratios.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tocsin_bench::results::{Machine, Measured, Table, replace_section};
use tocsin_bench::{MemoryOf, serve_echo};

#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve JSON that comes back as it was sent; print the address first.
    Echo,
    /// Print how many bytes each of COUNT takes that stay pending.
    Memory {
        /// `engine`, `store` or `actix`.
        what: String,
        /// How many.
        count: u64,
    },
    /// Print the table of what was measured, and write it into the page.
    Results {
        /// Cargo's target folder.
        target: PathBuf,
        /// The page; only what is between its marks is replaced.
        page: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Echo => serve_echo().map_err(|error| error.to_string()),
        Command::Memory { what, count } => {
            let what = MemoryOf::named(&what).ok_or("engine, store or actix")?;
            println!("{}", what.bytes_each(count));
            Ok(())
        }
        Command::Results { target, page } => write_results(&target, &page),
    }
}

fn write_results(target: &Path, page: &Path) -> Result<(), String> {
    let table = Table::of(&Measured::in_target(target), &Machine::present());
    println!("{}", table.as_str());
    let present = match std::fs::read_to_string(page) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
        present => present.unwrap_or_else(|_| "# Results\n".to_owned()),
    };
    std::fs::write(page, replace_section(&present, &table)).map_err(|error| error.to_string())
}
