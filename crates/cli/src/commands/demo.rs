//! `bailiwick demo`: the whole story in a minute, with a real broker, a real system and a real agent on loopback.

mod agent;
mod scenes;
mod stage;
mod story;

use crate::{
    arguments::{Arguments, Demo},
    exit::{Exit, Failure},
    output::Output,
};

/// Sets the stage, plays every scene, clears up.
pub(crate) async fn run(arguments: &Arguments, ask: &Demo, output: &Output) -> Result<Exit, Failure> {
    let story = story::Story::new(output, arguments.no_input);
    story.opening();
    // The system finds its data from wherever a command that needs it runs later.
    let keep =
        ask.keep.as_deref().map(std::path::absolute).transpose().map_err(|error| Failure::new(error.to_string()))?;
    let stage = stage::Stage::set(keep.as_deref()).await?;
    let played = scenes::play(&stage, &story).await;
    stage.clear().await;
    played?;
    story.closing(keep.as_deref());
    Ok(Exit::Done)
}
