//! Makes a new installation: files, keys, database, first bundle. Overwrites nothing.

use std::{
    collections::BTreeMap,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use bailiwick_engine::bundles::{self, PublishRefusal};
use bailiwick_keys::secret_file;
use bailiwick_model::{
    bundle::{BundleFiles, BundleRevision},
    name::OperatorName,
    principal::Principal,
};

use crate::{
    config::{Config, ConfigError},
    starter,
    wiring::{self, Patience, WiringError},
};

/// Folders whose files form the bundle.
pub const BUNDLE_FOLDERS: [&str; 6] = ["clients", "issuers", "policies", "roles", "systems", "templates"];

/// What was made.
#[derive(Debug)]
pub struct Initialised {
    /// The folder.
    pub folder: PathBuf,
    /// The files that were written.
    pub written: Vec<PathBuf>,
    /// The first bundle.
    pub revision: BundleRevision,
}

/// Why an installation was not made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error("`{0}` holds an installation already")]
    Exists(PathBuf),
    /// A file or folder cannot be made or read.
    #[error("`{path}`: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The configuration that was written does not hold together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Keys or database cannot be made.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The first bundle cannot be published.
    #[error("the first bundle cannot be published: {0}")]
    Publish(String),
}

/// Makes an installation in `folder`, which may exist if it holds no `bailiwick.toml`.
pub async fn init(folder: &Path) -> Result<Initialised, InitError> {
    let configuration = folder.join("bailiwick.toml");
    if configuration.exists() {
        return Err(InitError::Exists(folder.to_owned()));
    }
    private_folder(folder)?;
    private_folder(&folder.join("systems"))?;
    // The configuration gets its name last: until then this is no installation, and `init` begins again.
    let draft = folder.join("bailiwick.toml.new");
    let mut written = Vec::new();
    for file in starter::FILES {
        let path = folder.join(file.path);
        if path == configuration {
            secret_file::replace(&draft, file.text.as_bytes()).map_err(WiringError::from)?;
            written.push(path);
            continue;
        }
        if let Some(parent) = path.parent() {
            private_folder(parent)?;
        }
        if !path.exists() {
            secret_file::create(&path, file.text.as_bytes()).map_err(WiringError::from)?;
            written.push(path);
        }
    }
    let config = Config::read(&draft, None)?;
    let files = read_bundle(folder)?;
    let wired = wiring::wire_keys_and_store(&config, Patience::None).await?;
    let by = Principal::Operator(operator_name());
    let activated = bundles::publish(&wired.broker, &by, files, true).await.map_err(|refusal| {
        InitError::Publish(match refusal {
            PublishRefusal::Findings(findings) => {
                findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            }
            PublishRefusal::Tests(report) => format!("{} of its tests fail", report.failed()),
            PublishRefusal::BoundaryChanged => "its boundary differs".to_owned(),
            PublishRefusal::Refused(refusal) => refusal.to_string(),
        })
    })?;
    wired.broker.store().integrate(wired.checkpoint.clone()).await.map_err(WiringError::from)?;
    std::fs::rename(&draft, &configuration).map_err(|error| refuse(&configuration, &error))?;
    secret_file::sync_folder(&configuration).map_err(WiringError::from)?;
    Ok(Initialised { folder: folder.to_owned(), written, revision: activated.revision })
}

/// The operator of a command that runs without a server: this Unix account.
pub fn operator_name() -> OperatorName {
    OperatorName::of_uid(rustix::process::geteuid().as_raw())
}

/// Reads the bundle's files from an installation's folder. Hidden files and links are left out.
pub fn read_bundle(folder: &Path) -> Result<BundleFiles, InitError> {
    let mut files = BTreeMap::new();
    for name in BUNDLE_FOLDERS {
        collect(folder, &folder.join(name), &mut files)?;
    }
    BundleFiles::new(files).map_err(|error| InitError::Publish(error.to_string()))
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), InitError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refuse(folder, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| refuse(folder, &error))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| refuse(&path, &error))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file()
            && let Ok(relative) = path.strip_prefix(root)
        {
            let bytes = std::fs::read(&path).map_err(|error| refuse(&path, &error))?;
            files.insert(relative.to_string_lossy().into_owned(), bytes);
        }
    }
    Ok(())
}

fn private_folder(path: &Path) -> Result<(), InitError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| refuse(path, &error))
}

fn refuse(path: &Path, error: &std::io::Error) -> InitError {
    InitError::File { path: path.to_owned(), reason: error.to_string() }
}
