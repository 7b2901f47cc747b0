//! `bailiwick init`: a new installation.

use bailiwick_server::init::{InitError, init};
use serde_json::json;

use crate::{
    arguments::Init,
    exit::{Exit, Failure},
    output::Output,
};

/// Makes it and says what to type next.
pub(crate) async fn run(ask: &Init, output: &Output) -> Result<Exit, Failure> {
    let made = init(&ask.dir).await.map_err(|error| {
        let hint = match &error {
            InitError::Exists(_) => Some("use it as it is, or choose another folder with `--dir`"),
            InitError::Config(error) => error.hint.as_deref(),
            _ => None,
        };
        let failure = Failure::new(error.to_string());
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    let folder = made.folder.display();
    output.document(
        &json!({
            "folder": folder.to_string(),
            "bundle": made.revision.to_string(),
            "written": made.written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        }),
        |_| format!("made {folder} with bundle {}", made.revision.short()),
    );
    output.note(&format!(
        "\nnext:\n  cd {folder}\n  \
         bailiwick systems add files --env \"PATH=$PATH\" \\\n    \
         --stdio \"npx -y @modelcontextprotocol/server-filesystem /some/folder\"\n  \
         bailiwick policy publish\n  \
         bailiwick agents register my-agent --owner you@example.org --purpose \"Try it\" \\\n    \
         --role reader --generate-key my-agent.pem\n  \
         bailiwick serve"
    ));
    Ok(Exit::Done)
}
