//! `bailiwick secrets`: upstream credentials, in and out of the vault, never shown.

use std::io::{IsTerminal as _, Read as _};

use bailiwick_model::{name::SecretName, secret::Secret};
use http::Method;
use serde_json::{Value, json};

use super::door;
use crate::{
    arguments::{Arguments, Secrets},
    exit::{Exit, Failure},
    output::{Output, table},
};

/// Bytes that are read of one secret.
const SECRET_BYTES_MAX: u64 = 64 * 1_024;

/// Runs one of them.
pub(crate) async fn run(arguments: &Arguments, ask: &Secrets, output: &Output) -> Result<Exit, Failure> {
    let door = door(arguments).await?;
    match ask {
        Secrets::Put { name, from_file } => {
            let name = secret_name(name)?;
            let value = read(from_file.as_deref(), output)?;
            let body = json!({"value": value.expose()});
            door.ask(Method::PUT, &format!("/api/v1/secrets/{name}"), Some(&body)).await?;
            let file = if name.as_str().starts_with("sign_in/") { "bailiwick.toml" } else { "systems/*.toml" };
            output.note(&format!("`{name}` is in the vault; name it in `{file}`, its value is never shown again"));
        }
        Secrets::List => {
            let listed = door.read("/api/v1/secrets").await?;
            output.document(&listed, |listed| {
                let names = listed.get("secrets").and_then(Value::as_array).cloned().unwrap_or_default();
                table(["secret"], names.iter().map(|name| [name.as_str().unwrap_or_default().to_owned()]))
            });
        }
        Secrets::Remove { name } => {
            let name = secret_name(name)?;
            door.ask(Method::DELETE, &format!("/api/v1/secrets/{name}"), None).await?;
            output.note(&format!("`{name}` is gone"));
        }
    }
    Ok(Exit::Done)
}

fn secret_name(name: &str) -> Result<SecretName, Failure> {
    name.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))
}

fn read(file: Option<&std::path::Path>, output: &Output) -> Result<Secret<String>, Failure> {
    let mut text = String::new();
    match file {
        Some(path) => {
            let opened = std::fs::File::open(path).map_err(|error| Failure::file(path, &error))?;
            opened.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(|error| Failure::file(path, &error))?;
        }
        None => {
            if std::io::stdin().is_terminal() {
                output.note("type the secret and end it with Ctrl-D (it shows as you type; `--from-file` does not)");
            }
            let stdin = std::io::stdin().lock();
            stdin
                .take(SECRET_BYTES_MAX)
                .read_to_string(&mut text)
                .map_err(|error| Failure::new(format!("standard input: {error}")))?;
        }
    }
    let text = Secret::new(text);
    Ok(Secret::new(text.expose().trim_end_matches(['\n', '\r']).to_owned()))
}
