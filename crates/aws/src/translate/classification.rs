//! The classifications of applicationConfiguration that the router knows by name.
//!
//! Owns no state. Says which of their properties are whose: what the router's own care of a run hangs on, nobody else may
//! say.

use spark_router_api::names;

/// Properties of Spark: the translation's own.
pub(crate) const SPARK_DEFAULTS: &str = "spark-defaults";
/// The pod that submits.
pub(super) const JOB_SUBMITTER: &str = "emr-job-submitter";
/// EMR's own settings.
pub(super) const EMR_DEFAULTS: &str = "emr-containers-defaults";
/// Seconds that a run may be SUBMITTED, of [`EMR_DEFAULTS`].
pub(super) const START_TIMEOUT: &str = "job-start-timeout";
/// Labels of the pod that submits.
pub(super) const SUBMITTER_LABEL: &str = "jobsubmitter.label.";

/// Whether nobody but the router may set it.
pub(crate) fn is_ours(classification: &str, key: &str) -> bool {
    classification == JOB_SUBMITTER
        && key.strip_prefix(SUBMITTER_LABEL).is_some_and(|label| label.starts_with(names::PREFIX))
}

/// Why a job may not set it, although its member may: the pod that submits has rights of its own.
pub(super) fn not_for_jobs(classification: &str, key: &str) -> Option<&'static str> {
    let is_submitters_code = key.starts_with("jobsubmitter.container.image");
    (classification == JOB_SUBMITTER && is_submitters_code).then_some(
        "jobs may not choose the image of the pod that submits them: it has rights that jobs do not have; remove it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_the_router_are_its_own_and_the_submitters_image_is_the_members() {
        assert!(is_ours(JOB_SUBMITTER, "jobsubmitter.label.sparkrouter.dev/origin"));
        assert!(
            !is_ours(JOB_SUBMITTER, "jobsubmitter.label.team")
                && !is_ours("x", "jobsubmitter.label.sparkrouter.dev/a")
        );
        for key in ["jobsubmitter.container.image", "jobsubmitter.container.image.pullPolicy"] {
            assert!(not_for_jobs(JOB_SUBMITTER, key).is_some() && !is_ours(JOB_SUBMITTER, key), "{key}");
        }
        assert_eq!(not_for_jobs(JOB_SUBMITTER, "jobsubmitter.label.team"), None);
    }
}
