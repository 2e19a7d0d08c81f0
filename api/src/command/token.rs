//! `tocsin token new [NAME] --role read|operate`

use std::io::Write as _;

use aws_lc_rs::rand;
use clap::ValueEnum;
use tocsin_config::{NewToken, Role};
use tocsin_model::OperatorName;

use crate::Exit;

/// The role, as the command line spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RoleWord {
    /// Sees everything that the ops door shows.
    Read,
    /// May change the running server, too.
    Operate,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Read => Self::Read,
            RoleWord::Operate => Self::Operate,
        }
    }
}

/// Prints the block to standard output, where it can be appended to the file, and the token to standard error, so
/// that it does not end up there.
pub(super) fn new(name: Option<OperatorName>, role: RoleWord) -> Exit {
    let role = Role::from(role);
    let made = name.or_else(|| new_name(role)).and_then(|name| {
        let token = NewToken::generate(&name, role).ok()?;
        Some((name, token))
    });
    let Some((name, made)) = made else {
        eprintln!("the system gave no random numbers, so no token was made");
        return Exit::Failed;
    };
    if let Err(error) = write!(std::io::stdout(), "{}", made.block) {
        eprintln!("cannot print the block, so the token is of no use: {error}");
        return Exit::Failed;
    }
    eprintln!("The token of {name}, shown only now:\n{}", made.token.expose());
    Exit::Done
}

/// A name that hardly any other token has, for an operator who gives none.
fn new_name(role: Role) -> Option<OperatorName> {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes).ok()?;
    format!("{}-{:08x}", role.as_str(), u32::from_be_bytes(bytes)).parse().ok()
}
