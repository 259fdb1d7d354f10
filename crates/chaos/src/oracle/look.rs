//! What one look at an object of a member shows: its state, and whether it is on its way out.
//!
//! Owns no state. Reads bodies as API servers log them, which may be no more than a change.

use serde_json::Value;

use super::life::Kind;
use super::names;

/// Whether it is a remote application or a driver's pod; which of both, its resource has said.
pub(crate) fn is_of(kind: Kind, object: &Value) -> bool {
    kind == Kind::Application || names::label(object, names::ROLE).is_some_and(|role| role == "driver")
}

/// State and error that an object or a write of its status shows.
pub(crate) fn state_in(kind: Kind, object: &Value) -> Option<(&str, &str)> {
    match kind {
        Kind::Application | Kind::Run => {
            let text = |path: &str| object.pointer(path).and_then(Value::as_str);
            if let Some(state) = text("/status/currentState/currentStateSummary") {
                return Some((state, text("/status/currentState/message").unwrap_or_default()));
            }
            let state = text("/status/applicationState/state")?;
            Some((state, text("/status/applicationState/errorMessage").unwrap_or_default()))
        }
        Kind::Driver => {
            let phase = object.pointer("/status/phase")?.as_str()?;
            let reason = object.pointer("/status/reason").and_then(Value::as_str);
            Some((phase, reason.unwrap_or_default()))
        }
    }
}

/// Whether its deletion was asked for.
pub(crate) fn is_being_deleted(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string)
}

/// Whether nothing keeps an object that is being deleted: this is how it looked when it went.
pub(crate) fn is_last_look(kind: Kind, object: &Value) -> bool {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    let grace = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    finalizers.is_none_or(Vec::is_empty) && (kind == Kind::Application || grace == Some(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_goes_when_nothing_keeps_it() {
        let look = |finalizers: Value, grace: Value| {
            json!({"metadata": {
                "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers, "deletionGracePeriodSeconds": grace,
            }})
        };
        assert!(is_being_deleted(&look(json!([]), json!(0))) && !is_being_deleted(&json!({"metadata": {}})));
        assert!(is_last_look(Kind::Application, &look(Value::Null, Value::Null)));
        assert!(!is_last_look(Kind::Application, &look(json!(["foregroundDeletion"]), json!(0))));
        assert!(is_last_look(Kind::Driver, &look(json!([]), json!(0))));
        assert!(!is_last_look(Kind::Driver, &look(json!([]), json!(30))), "it is given time to end");
    }

    #[test]
    fn a_change_that_says_nothing_of_the_state_is_told_apart() {
        let state = json!({"status": {"applicationState": {"state": "FAILED", "errorMessage": "why"}}});
        assert_eq!(state_in(Kind::Application, &state), Some(("FAILED", "why")));
        let apache = json!({"status": {"currentState": {"currentStateSummary": "Failed", "message": "why"}}});
        assert_eq!(state_in(Kind::Application, &apache), Some(("Failed", "why")));
        assert_eq!(state_in(Kind::Driver, &json!({"status": {"phase": "Running"}})), Some(("Running", "")));
        assert_eq!(state_in(Kind::Driver, &json!({"status": {"conditions": []}})), None);
        assert_eq!(state_in(Kind::Application, &json!([{"op": "test"}])), None);
    }
}
