//! `grants` and `tokens`: what is out there, and its end.

use clap::Subcommand;

/// `grants`.
#[derive(Debug, Subcommand)]
pub(crate) enum Grants {
    /// Active grants: who allowed which client what, since when, until when.
    List,
    /// One grant, active or ended.
    Show {
        /// `grant_…`.
        id: String,
    },
    /// End a grant with all that came from it; its tokens are refused from the next call on.
    End {
        /// `grant_…`.
        id: String,
        /// Why; recorded.
        #[arg(long)]
        reason: String,
    },
}

/// `tokens`.
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Access tokens that have not expired: whose, why, for what, and whether they still hold.
    List {
        /// Only of this agent.
        #[arg(long)]
        agent: Option<String>,
        /// Only of this grant.
        #[arg(long, value_name = "ID")]
        grant: Option<String>,
    },
    /// Revoke one access token; it is refused from the next call on, and its open streams end.
    Revoke {
        /// Its `jti`: `tok_…`, as `tokens list` and the evidence tell it.
        id: String,
    },
}
