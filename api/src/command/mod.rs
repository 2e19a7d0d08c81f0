//! The command line: `tocsin [--config FILE] serve | check | config | client new NAME | token new --role ROLE |
//! keys list | keys rotate | openapi DOOR | audit verify | backup [FOLDER] | reload | verify FOLDER | restore FOLDER`.

mod backup;
mod check;
mod client;
mod config;
mod keys;
mod remote;
mod token;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use tocsin_config::{Config, Loaded, process_environment};
use tocsin_model::{ClientId, OperatorName};

use self::remote::OpsDoor;
use crate::door::DoorName;
use crate::{Exit, openapi, serve};

/// A push-authentication dispatcher: portals start transactions, phones answer them with signatures.
#[derive(Debug, Parser)]
#[command(name = "tocsin", version, disable_help_subcommand = true)]
pub struct Arguments {
    /// The configuration file; without one the built-in defaults and TOCSIN_ variables count.
    #[arg(long, value_name = "FILE", env = "TOCSIN_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGTERM or SIGINT; a second signal ends it at once.
    Serve {
        /// Write the bound addresses to this file as JSON once the doors are open.
        #[arg(long, value_name = "PATH")]
        ready_file: Option<PathBuf>,
    },
    /// Check the configuration and the credential files it names; print every fault.
    Check,
    /// Print the effective configuration with the source of each value.
    Config,
    /// Commands about clients of the portal door.
    Client {
        #[command(subcommand)]
        command: ClientCommand,
    },
    /// Commands about the audit trail.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Make a backup: of a server that does not run into FOLDER, or with --url of a running one, in its own place.
    Backup {
        /// The folder to make; it must not exist.
        #[arg(required_unless_present = "url", conflicts_with = "url")]
        folder: Option<PathBuf>,
        #[command(flatten)]
        door: OpsDoor,
    },
    /// Have a running server take its configuration over anew: whole, or not at all.
    Reload {
        #[command(flatten)]
        door: OpsDoor,
    },
    /// Hold a backup against its manifest.
    Verify {
        /// The backup.
        folder: PathBuf,
    },
    /// Restore a backup into the empty data folder, or confirm a restored one.
    Restore {
        /// The backup.
        #[arg(required_unless_present = "confirm")]
        folder: Option<PathBuf>,
        /// Confirm that the phones of the restored database may be used.
        #[arg(long, conflicts_with = "folder")]
        confirm: bool,
        /// A file with the ids of phones to be removed again, one a line.
        #[arg(long, requires = "confirm", conflicts_with = "folder", value_name = "FILE")]
        revoke: Option<PathBuf>,
    },
    /// Commands about the keys that sign challenges; a running server follows within seconds.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Print what a door says of itself: its document in OpenAPI 3.1.
    Openapi {
        /// Which door.
        door: DoorWord,
    },
    /// Commands about tokens of the ops door.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Print the block for the configuration file, and on standard error the secret, which is shown only now.
    New {
        /// The client's id: a-z, 0-9, '-', '_' and '.', 64 characters at most.
        name: ClientId,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that every row of the audit trail is what was stored: of a server that does not run, or with --url of a
    /// running one.
    Verify {
        #[command(flatten)]
        door: OpsDoor,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Print the block for the configuration file, and on standard error the token, which is shown only now.
    New {
        /// The name in the configuration and in the audit trail: a-z, 0-9, '-', '_' and '.', 64 characters at most.
        name: Option<OperatorName>,
        /// What it may do.
        #[arg(long)]
        role: token::RoleWord,
    },
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Print the keys, one a line: name, what it does, since when, until when.
    List,
    /// Make the next key, which signs after the overlap.
    Rotate {
        /// Drop a key at once because it may be known: the one that signs, or the one of this name. Phones that know
        /// no other key must enrol again.
        #[arg(long, value_name = "KID", num_args = 0..=1)]
        compromised: Option<Option<String>>,
    },
}

/// A door.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DoorWord {
    Portal,
    Device,
    Ops,
}

impl DoorWord {
    const fn name(self) -> DoorName {
        match self {
            Self::Portal => DoorName::Portal,
            Self::Device => DoorName::Device,
            Self::Ops => DoorName::Ops,
        }
    }
}

impl Arguments {
    /// Does what was asked.
    pub fn run(self) -> Exit {
        let Self { config, command } = self;
        match command {
            Command::Client { command: ClientCommand::New { name } } => client::new(&name),
            Command::Token { command: TokenCommand::New { name, role } } => token::new(name, role),
            Command::Audit { command: AuditCommand::Verify { door } } if door.url.is_some() => {
                remote::check_audit(&door)
            }
            Command::Audit { command: AuditCommand::Verify { .. } } => {
                with_config(config, |loaded| backup::check_audit(&loaded))
            }
            Command::Backup { folder: Some(folder), .. } => {
                with_config(config, |loaded| backup::make(&loaded, &folder))
            }
            Command::Backup { folder: None, door } => remote::backup(&door),
            Command::Reload { door } => remote::reload(&door),
            Command::Verify { folder } => backup::verify(&folder),
            Command::Restore { folder: Some(folder), .. } => {
                with_config(config, |loaded| backup::restore(&loaded, &folder))
            }
            Command::Restore { folder: None, revoke, .. } => {
                with_config(config, |loaded| backup::confirm(&loaded, revoke.as_deref()))
            }
            Command::Serve { ready_file } => {
                with_config(config.clone(), |loaded| serve::run(loaded, config, ready_file.as_deref()))
            }
            Command::Keys { command: KeysCommand::List } => with_config(config, |loaded| keys::list(&loaded)),
            Command::Keys { command: KeysCommand::Rotate { compromised } } => {
                let compromised = match compromised {
                    None => keys::Compromised::No,
                    Some(None) => keys::Compromised::Signing,
                    Some(Some(kid)) => keys::Compromised::Named(kid),
                };
                with_config(config, |loaded| keys::rotate(&loaded, &compromised))
            }
            Command::Openapi { door } => print(&openapi::text(door.name())),
            Command::Check => with_config(config, |loaded| check::check(&loaded)),
            Command::Config => with_config(config, |loaded| config::print(&loaded)),
        }
    }
}

/// Writes to standard output. A pipe that nobody reads any more ends nothing that was done, but is told by the exit.
fn print(text: &str) -> Exit {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("cannot print: {error}");
            Exit::Failed
        }
    }
}

/// Loads the configuration; tells every fault, one a line.
fn with_config(file: Option<PathBuf>, then: impl FnOnce(Loaded) -> Exit) -> Exit {
    match Config::load(file.as_deref(), process_environment()) {
        Ok(loaded) => then(loaded),
        Err(faults) => {
            eprintln!("{faults}");
            Exit::Configuration
        }
    }
}
