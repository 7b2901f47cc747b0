//! `bailiwick users`: what is typed.

use clap::{Args, Subcommand};

/// `users`.
#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// List users: state, groups.
    List,
    /// Show one user.
    Show {
        /// Their id.
        id: String,
    },
    /// Make a user known under an id that says nothing about them: it is in the evidence for good.
    Add {
        /// The id.
        id: String,
        /// What people call them.
        #[arg(long)]
        name: String,
        /// Where to reach them.
        #[arg(long)]
        email: Option<String>,
        /// A group that policy may rely on; repeat for several.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Print a one-time link with which a user adds a passkey, the first one or one after all were lost.
    Invite {
        /// Their id; who is not known yet is made known.
        id: String,
        /// Also make them an administrator of the broker.
        #[arg(long)]
        administrator: bool,
    },
    /// Give a user these groups and no others, from the next decision on.
    Groups {
        /// Their id.
        id: String,
        /// A group; repeat for several, none takes all away.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Make a user an administrator of the broker, or end that.
    Administrator {
        /// Their id.
        id: String,
        /// End it.
        #[arg(long)]
        no: bool,
    },
    /// List the accounts of other providers by which a user signs in, and how each came to be theirs.
    Accounts {
        /// Their id.
        id: String,
    },
    /// Let an account of another provider sign a user in: the one way for administrators, and for an account of who left.
    AddAccount(UserAndAccount),
    /// Take an account of another provider away from a user; their sessions end with it.
    RemoveAccount(UserAndAccount),
    /// Stop a user until they are resumed; nobody acts for them, and their sessions end.
    Suspend(UserAndWhy),
    /// Let a user go on.
    Resume {
        /// Their id.
        id: String,
    },
    /// List the accounts that a user connected at systems that hold their own users, or end one.
    Connections {
        /// Their id.
        id: String,
        /// End the one at this system: no call is made with it any more, and its tokens are taken back.
        #[arg(long, value_name = "SYSTEM")]
        end: Option<String>,
    },
    /// A user left for good: what they granted, their sessions and passkeys end.
    Leave(UserAndWhy),
}

/// A user and an account of another provider.
#[derive(Debug, Args)]
pub(crate) struct UserAndAccount {
    /// Their id.
    pub(crate) id: String,
    /// The provider's issuer, as `[[sign_in.oidc]]` has it.
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: String,
    /// The `sub` of their account there.
    #[arg(long)]
    pub(crate) subject: String,
}

/// A user and why.
#[derive(Debug, Args)]
pub(crate) struct UserAndWhy {
    /// Their id.
    pub(crate) id: String,
    /// Why, for whoever looks back.
    #[arg(long)]
    pub(crate) reason: String,
}
