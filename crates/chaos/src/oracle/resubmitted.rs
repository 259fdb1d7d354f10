//! Which applications a real operator submitted twice, by its member's audit log.
//!
//! Owns no state. A driver whose create is refused because there is one of its name was submitted once more: nobody else
//! creates drivers. It must never count anything that the router could have caused.

use std::collections::BTreeSet;
use std::path::Path;

use super::audit::Reader;
use super::life::Kind;
use super::{look, names};
use crate::error::Error;

const WORDS: [&str; 1] = ["\"resource\":\"pods\""];

/// The uids of these applications.
pub(crate) fn doubled_in(log: &Path) -> Result<BTreeSet<String>, Error> {
    let mut reader = Reader::open(log, &WORDS)?;
    let mut doubled = BTreeSet::new();
    while let Some(line) = reader.next_line()? {
        let is_refused = line.verb == "create" && line.subresource.is_empty() && line.code == 409;
        let pod = line.request.as_ref().filter(|pod| is_refused && look::is_of(Kind::Driver, pod));
        doubled.extend(pod.and_then(names::owner));
    }
    Ok(doubled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::story::Story;
    use super::*;

    #[test]
    fn a_second_driver_of_the_same_name_is_a_second_submission() {
        let mut story = Story::new();
        story.succeeds(0, "pi");
        let pod = |role: &str, owner: &str| {
            json!({"requestObject": {"metadata": {
                "name": "x", "labels": {"spark-role": role}, "ownerReferences": [{"controller": true, "uid": owner}],
            }}})
        };
        story.log("m1", 3, ("create", "pods", "a"), 409, pod("driver", "twice"));
        story.log("m1", 3, ("create", "pods", "b"), 403, pod("driver", "over-quota"));
        story.log("m1", 3, ("create", "pods", "c"), 409, pod("executor", "driver"));
        let log = story.close().members[0].audit.clone();
        assert_eq!(doubled_in(&log).unwrap(), ["twice".to_owned()].into());
    }
}
