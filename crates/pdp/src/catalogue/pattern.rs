//! Dotted paths that the catalogue writes: into arguments, and into results.
//! They name places; they never match by guess.

use std::{fmt, str::FromStr};

/// Steps of one dotted path.
pub(crate) const PATH_STEPS_MAX: usize = 16;

/// A dotted path that is no path; says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a dotted path: write names separated by `.`, {PATH_STEPS_MAX} at most")]
pub struct PathError(String);

fn steps(text: &str) -> Result<Vec<&str>, PathError> {
    let steps: Vec<&str> = text.split('.').collect();
    if steps.iter().any(|step| step.is_empty()) || steps.len() > PATH_STEPS_MAX {
        return Err(PathError(text.chars().take(80).collect()));
    }
    Ok(steps)
}

/// Where a value stands in a call's arguments: `path`, `edits.path`. An array
/// on the way means each of its elements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArgumentPath(Vec<String>);

impl ArgumentPath {
    /// Its names, outermost first; never empty.
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// The argument that it starts at.
    pub fn argument(&self) -> &str {
        self.0.first().map(String::as_str).unwrap_or_default()
    }
}

impl FromStr for ArgumentPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let steps = steps(text)?;
        if steps.contains(&"*") {
            return Err(PathError(text.chars().take(80).collect()));
        }
        Ok(Self(steps.into_iter().map(str::to_owned).collect()))
    }
}

impl fmt::Display for ArgumentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Which fields of a result belong to a class: `email`, `contacts.*.email`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<FieldStep>);

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldStep {
    /// The member of that name.
    Name(String),
    /// Every element of an array and every member of an object: `*`.
    Every,
}

impl FieldPath {
    /// Its steps, outermost first; never empty.
    pub fn steps(&self) -> &[FieldStep] {
        &self.0
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let step = |step: &str| if step == "*" { FieldStep::Every } else { FieldStep::Name(step.to_owned()) };
        Ok(Self(steps(text)?.into_iter().map(step).collect()))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            match step {
                FieldStep::Name(name) => f.write_str(name)?,
                FieldStep::Every => f.write_str("*")?,
            }
        }
        Ok(())
    }
}
