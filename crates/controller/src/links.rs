//! Links on a job, from the templates of its member.
//!
//! Owns no state. A link whose placeholder has no value yet is left out rather than shown broken.

use spark_router_api::{job::ApplicationLinks, member::LinkTemplates};
use spark_router_core::{application::Application, id::JobKey, job::Placement};

/// Fills a member's templates for one application.
pub fn fill(
    templates: Option<&LinkTemplates>,
    job: &JobKey,
    placement: &Placement,
    application: &Application,
) -> ApplicationLinks {
    let Some(LinkTemplates { ui, history, logs }) = templates else { return ApplicationLinks::default() };
    let values = [
        ("{namespace}", Some(placement.namespace.as_str())),
        ("{name}", Some(placement.name.as_str())),
        ("{applicationId}", application.id.as_deref()),
        ("{submissionId}", application.submission_id.as_deref()),
        ("{driverPod}", application.driver_pod.as_deref()),
        ("{jobNamespace}", Some(job.namespace.as_str())),
        ("{jobName}", Some(job.name.as_str())),
        ("{cluster}", Some(placement.cluster.as_str())),
    ];
    let fill = |template: &Option<String>| {
        let mut link = template.clone()?;
        for (placeholder, value) in values {
            if link.contains(placeholder) {
                link = link.replace(placeholder, value?);
            }
        }
        Some(link)
    };
    ApplicationLinks { ui: fill(ui), history: fill(history), logs: fill(logs) }
}

#[cfg(test)]
mod tests {
    use spark_router_api::Demand;

    use super::*;

    #[test]
    fn a_link_without_its_value_is_left_out() {
        let templates = LinkTemplates {
            ui: Some("https://ui/{cluster}/{namespace}/{name}".into()),
            history: Some("https://history/{applicationId}".into()),
            logs: None,
        };
        let record = spark_router_api::job::PlacementRecord {
            cluster: "eu-1".into(),
            member_identity: String::new(),
            attempt: 1,
            namespace: "spark".into(),
            remote_name: "daily-abc".into(),
            remote_uid: None,
            queue: "etl".into(),
            remote_queue: None,
            tier: None,
            seq: 1,
            excluded: Vec::new(),
            at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            demand: Demand::default(),
            render_hash: None,
            claims: None,
            why: None,
        };
        let placement = crate::convert::placement(&record);
        let job = JobKey { namespace: "team-a".into(), name: "daily".into() };
        let mut application = Application::default();
        let links = fill(Some(&templates), &job, &placement, &application);
        assert_eq!((links.ui.as_deref(), links.history), (Some("https://ui/eu-1/spark/daily-abc"), None));
        application.id = Some("spark-1".into());
        let links = fill(Some(&templates), &job, &placement, &application);
        assert_eq!(links.history.as_deref(), Some("https://history/spark-1"));
    }
}
