//! Checks what a system or a tool asks its users to have proved.

use bailiwick_model::authentication::StepUp;

use super::file::StepUpEntry;

/// Seconds at least: whoever has just signed in must get their token and make their call in the meantime.
const AGE_S_MIN: u32 = 60;
/// Seconds at most: no session lasts longer, so more would ask for nothing.
const AGE_S_MAX: u32 = 12 * 3_600;
/// Classes that one entry names.
const CLASSES_MAX: usize = 8;

/// What an entry means, or what is wrong with it and what to write.
pub(super) fn read(entry: StepUpEntry) -> Result<StepUp, (String, &'static str)> {
    let StepUpEntry { acr, max_age_s } = entry;
    if acr.0.is_empty() && max_age_s.is_none() {
        let message = "`step_up` asks for nothing".to_owned();
        return Err((message, "write `step_up = { acr = \"phr\", max_age_s = 300 }`, or one of both"));
    }
    if let Some(seconds) = max_age_s.filter(|seconds| !(AGE_S_MIN..=AGE_S_MAX).contains(seconds)) {
        let message = format!("`max_age_s` is {seconds}, and can be {AGE_S_MIN} to {AGE_S_MAX}");
        return Err((message, "five minutes is 300"));
    }
    if acr.0.len() > CLASSES_MAX {
        return Err((format!("`acr` names more than {CLASSES_MAX} classes"), "name those that are accepted"));
    }
    let acr = acr.0.iter().map(|text| text.parse()).collect::<Result<_, _>>();
    let acr = acr.map_err(|error| (format!("{error}"), "a passkey is of the class `phr`"))?;
    Ok(StepUp { acr, max_age_s })
}
