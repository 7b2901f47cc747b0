//! `bailiwick backup` and `bailiwick restore`.

use std::path::Path;

use serde_json::json;
use tokio::net::UnixStream;

use super::{config, door};
use crate::{
    arguments::Arguments,
    exit::{Exit, Failure},
    output::{Output, text},
};

/// Writes a consistent copy. Keys are not in it: keep them elsewhere.
pub(crate) async fn backup(arguments: &Arguments, file: &Path, output: &Output) -> Result<Exit, Failure> {
    if file.exists() {
        return Err(Failure::new(format!("`{}` exists already", file.display())).hint("name a new file"));
    }
    let path = std::path::absolute(file).map_err(|error| Failure::file(file, &error))?;
    let answer = door(arguments).await?.change("/api/v1/backup", &json!({"path": path})).await?;
    output.document(&answer, |answer| format!("wrote {}", text(answer, "/path")));
    output.note("the keys' folder is not in it; without those keys a backup opens nothing, so keep a copy apart");
    Ok(Exit::Done)
}

/// Puts a backup in the place of the database, and keeps what was there.
pub(crate) async fn restore(arguments: &Arguments, file: &Path, output: &Output) -> Result<Exit, Failure> {
    let config = config(arguments)?;
    if UnixStream::connect(&config.socket).await.is_ok() {
        return Err(Failure::new("the broker is running").hint("stop it first"));
    }
    let connection = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| Failure::file(file, &error))?;
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| Failure::file(file, &error))?;
    drop(connection);
    if sound != "ok" {
        return Err(Failure::new(format!("`{}` is damaged: {sound}", file.display())).exit(Exit::IntegrityFailed));
    }
    let folder = config.store.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
    let stamp = jiff::Timestamp::now().as_second();
    let kept =
        bailiwick_server::care::restore(&config, file, stamp).map_err(|error| Failure::new(error.to_string()))?;
    let kept: Vec<String> = kept.iter().map(|path| path.display().to_string()).collect();
    output.document(&json!({"restored": config.store, "kept": kept}), |_| {
        format!("{} is in place; what was there is kept: {}", file.display(), kept.join(", "))
    });
    output.note("now `bailiwick doctor`: no broker continues a log that is shorter than its newest checkpoint says");
    Ok(Exit::Done)
}
