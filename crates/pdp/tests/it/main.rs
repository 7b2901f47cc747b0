//! Integration tests of the decision point: one binary.

#[cfg(test)]
mod scenarios;
