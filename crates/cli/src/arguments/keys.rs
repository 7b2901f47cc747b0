//! `bailiwick keys`: what is typed.

use clap::Subcommand;

/// `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// List the keys that sign tokens, did, or will.
    List,
    /// Publish a next key now, instead of after 90 days: it signs ten minutes later, and every token works on.
    Rotate {
        /// Why; recorded.
        #[arg(long)]
        reason: String,
    },
    /// After a compromise: a new key signs at once, the others are destroyed, and every access token stops working.
    #[command(after_help = "Agents get new tokens by themselves; users are not asked again, since grants stay. The \
                            active policy is signed anew. Earlier bundles are not, and cannot be rolled back to: whoever \
                            had the key could have signed them too.")]
    Replace {
        /// What happened; recorded.
        #[arg(long)]
        reason: String,
        /// Say that every agent may lose the call that it is making.
        #[arg(long)]
        danger_end_all_tokens: bool,
    },
}
