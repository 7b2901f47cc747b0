//! `bailiwick scim`: what is typed.

use clap::Subcommand;

/// `scim`.
#[derive(Debug, Subcommand)]
pub(crate) enum Scim {
    /// Credentials of directories that can send nothing but a static token, such as Okta and Entra.
    #[command(subcommand)]
    Token(ScimToken),
}

/// `scim token`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScimToken {
    /// Make a credential and print it, this one time, with the address to give to the directory.
    Create {
        /// What to call it in the evidence: lower-case letters, digits and `-`.
        name: String,
        /// Days that it lives; 366 at most.
        #[arg(long, default_value_t = 180)]
        days: u16,
    },
    /// List credentials: name, since when, until when.
    List,
    /// End a credential at once.
    Revoke {
        /// Its name.
        name: String,
    },
}
