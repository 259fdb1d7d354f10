//! What keeps jobs away from a member, and what jobs put up with.
//!
//! Owns no state. Jobs and members both speak of it, so it belongs to neither.

/// Keeps jobs away from a member unless they tolerate it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    /// Its name.
    pub key: String,
    /// Its value, often empty.
    pub value: String,
}

/// A taint, or many, that a job puts up with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Toleration {
    /// The taint's key; `None` means every key.
    pub key: Option<String>,
    /// The taint's value; `None` means every value.
    pub value: Option<String>,
}

impl Toleration {
    /// Whether it covers a taint.
    pub fn covers(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_covers_a_key_a_pair_or_everything() {
        let taint = Taint { key: "phi".into(), value: "yes".into() };
        let covers = |key: Option<&str>, value: Option<&str>| {
            Toleration { key: key.map(Into::into), value: value.map(Into::into) }.covers(&taint)
        };
        assert!(covers(Some("phi"), Some("yes")) && covers(Some("phi"), None) && covers(None, None));
        assert!(!covers(Some("phi"), Some("no")) && !covers(Some("gpu"), None));
    }
}
