//! The files that a new installation starts with: a configuration with its reasons, a boundary, two roles.

/// One file of a new installation.
#[derive(Debug, Clone, Copy)]
pub struct StarterFile {
    /// Its path in the installation's folder.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// All of them.
pub const FILES: &[StarterFile] = &[
    StarterFile { path: "bailiwick.toml", text: include_str!("../starter/bailiwick.toml") },
    StarterFile { path: ".gitignore", text: include_str!("../starter/gitignore") },
    StarterFile {
        path: "policies/boundary/no-permission-changes.cedar",
        text: include_str!("../starter/no-permission-changes.cedar"),
    },
    StarterFile {
        path: "policies/organisation/billing-and-bulk.cedar",
        text: include_str!("../starter/billing-and-bulk.cedar"),
    },
    StarterFile { path: "policies/roles/reader.cedar", text: include_str!("../starter/reader.cedar") },
    StarterFile { path: "policies/roles/worker.cedar", text: include_str!("../starter/worker.cedar") },
    StarterFile { path: "policies/calendar.toml", text: include_str!("../starter/calendar.toml") },
    StarterFile { path: "roles/reader.toml", text: include_str!("../starter/reader.toml") },
    StarterFile { path: "roles/worker.toml", text: include_str!("../starter/worker.toml") },
];
