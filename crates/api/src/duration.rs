//! Durations as users write them.
//!
//! Owns no state. Kept exactly as written, for the same reason as quantities.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration as written, in Go's form: `30s`, `24h`, `1h30m`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(String);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError(String);

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a duration; write it like 90s, 24h or 1h30m", self.0)
    }
}

impl std::error::Error for DurationError {}

impl DurationText {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its length.
    pub fn get(&self) -> Result<Duration, DurationError> {
        let bad = || DurationError(self.0.clone());
        // Go's parser, and kube's after it, read an empty text as zero.
        if self.0.is_empty() {
            return Err(bad());
        }
        let parsed: kube::core::Duration = self.0.parse().map_err(|_| bad())?;
        if parsed.is_negative() { Err(bad()) } else { Ok(Duration::from(parsed)) }
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h))+$",
            "maxLength": 32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_style_text_is_read() {
        assert_eq!(DurationText::new("1h30m").get(), Ok(Duration::from_mins(90)));
        assert_eq!(DurationText::new("500ms").get(), Ok(Duration::from_millis(500)));
        for bad in ["", "1d", "-5s", "5"] {
            assert!(DurationText::new(bad).get().is_err(), "{bad}");
        }
    }
}
