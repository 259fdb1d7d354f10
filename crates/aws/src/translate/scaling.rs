//! EMR's vertical autoscaling, as labels and annotations of the driver.
//!
//! Owns no state. Runs with the same signature learn from each other, so the signature must stay the same over the runs of
//! a recurring job: it is made of the job's name, never of its uid.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use spark_router_api::job::emr::{EmrScale, EmrVerticalAutoscaling};
use spark_router_core::id::JobKey;

use super::layers::JOB;

const LABEL: &str = "spark.kubernetes.driver.label.emr-containers.amazonaws.com/dynamic.sizing";
const ANNOTATION: &str = "spark.kubernetes.driver.annotation.emr-containers.amazonaws.com/dynamic.sizing.";
/// Longest value of a label.
const LONGEST: usize = 63;

/// The properties, each with the field that asks for it.
pub(super) fn properties(wanted: &EmrVerticalAutoscaling, key: &JobKey) -> Vec<(String, String, String)> {
    let at = |field: &str| format!("{JOB}.verticalAutoscaling{field}");
    let annotation =
        |name: &str, value: String, field: &str| (format!("{ANNOTATION}{name}"), value, at(field));
    let signature = wanted.signature.clone().unwrap_or_else(|| signature(key));
    let mut all =
        vec![(LABEL.to_owned(), "true".to_owned(), at("")), annotation("signature", signature, ".signature")];
    all.extend(wanted.mode.map(|mode| annotation("mode", mode.as_str().to_owned(), ".mode")));
    for (name, scale) in [("memory", &wanted.memory), ("cpu", &wanted.cpu)] {
        let Some(EmrScale { scale, min, max }) = scale else { continue };
        all.push(annotation(&format!("scale.{name}"), scale.to_string(), &format!(".{name}.scale")));
        for (bound, value) in [("min", min), ("max", max)] {
            all.extend(value.iter().map(|value| {
                annotation(&format!("scale.{name}.{bound}"), value.clone(), &format!(".{name}.{bound}"))
            }));
        }
    }
    all
}

/// `<namespace>-<name>` as the value of a label. What is too long ends in a hash of all of it.
pub(super) fn signature(key: &JobKey) -> String {
    let full = format!("{}-{}", key.namespace, key.name);
    let safe: String =
        full.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let trimmed = safe.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if trimmed.len() <= LONGEST && !trimmed.is_empty() {
        return trimmed.to_owned();
    }
    let mut hash = HEXLOWER.encode(&Sha256::digest(&full));
    hash.truncate(8);
    let head: String = trimmed.chars().take(LONGEST - 1 - hash.len()).collect();
    format!("{}-{hash}", head.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
        .trim_start_matches('-')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spark_router_core::id::Namespace;

    use super::*;

    fn key(namespace: &str, name: &str) -> JobKey {
        JobKey { namespace: Namespace::from(namespace), name: name.to_owned() }
    }

    #[test]
    fn the_signature_is_namespace_and_name() {
        assert_eq!(signature(&key("team-a", "daily.report")), "team-a-daily.report");
        let long = signature(&key("team-a", &"x".repeat(200)));
        assert_eq!(long.len(), 63);
        assert_ne!(long, signature(&key("team-a", &"x".repeat(199))), "told apart by the hash");
    }

    #[test]
    fn everything_asked_for_is_said() {
        let wanted: EmrVerticalAutoscaling = serde_json::from_value(serde_json::json!({
            "mode": "Auto", "memory": { "scale": true, "min": "2Gi", "max": "16Gi" }, "cpu": { "scale": false },
        }))
        .unwrap();
        let said: Vec<_> = properties(&wanted, &key("team-a", "daily"))
            .into_iter()
            .map(|(key, value, at)| {
                let key =
                    key.replace("spark.kubernetes.driver.", "").replace("emr-containers.amazonaws.com/", "");
                format!("{key}={value} ({at})")
            })
            .collect();
        assert_eq!(
            said,
            [
                "label.dynamic.sizing=true (spec.emr.verticalAutoscaling)",
                "annotation.dynamic.sizing.signature=team-a-daily (spec.emr.verticalAutoscaling.signature)",
                "annotation.dynamic.sizing.mode=Auto (spec.emr.verticalAutoscaling.mode)",
                "annotation.dynamic.sizing.scale.memory=true (spec.emr.verticalAutoscaling.memory.scale)",
                "annotation.dynamic.sizing.scale.memory.min=2Gi (spec.emr.verticalAutoscaling.memory.min)",
                "annotation.dynamic.sizing.scale.memory.max=16Gi (spec.emr.verticalAutoscaling.memory.max)",
                "annotation.dynamic.sizing.scale.cpu=false (spec.emr.verticalAutoscaling.cpu.scale)",
            ]
        );
    }

    proptest! {
        #[test]
        fn it_is_the_value_of_a_label(namespace in ".{0,70}", name in ".{0,220}") {
            let text = signature(&key(&namespace, &name));
            prop_assert!(!text.is_empty() && text.len() <= LONGEST, "{text}");
            prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{text}");
            let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            prop_assert!(is_end(text.chars().next()) && is_end(text.chars().last()), "{text}");
            prop_assert_eq!(&text, &signature(&key(&namespace, &name)));
        }
    }
}
