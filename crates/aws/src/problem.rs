//! What cannot be done, and what is done otherwise than it was said: a place and words.
//!
//! Owns no state. A place is a field as its author knows it, never one of AWS. Values are shown only as far as they must
//! be: they may hold secrets.

use std::fmt;

/// Why something cannot be run on EMR on EKS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The field, like `spec.template.spec.driver.podName` of the job or `spec.backend.emrContainers.tags` of the member.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl Problem {
    /// See the fields.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// Something that is run, but otherwise than it was said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The field.
    pub path: String,
    /// What becomes of it.
    pub text: String,
}

impl Note {
    /// See the fields.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}
