//! Integration tests of the decision point: one binary.

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod seeded_errors;
#[cfg(test)]
mod seeded_lint;
