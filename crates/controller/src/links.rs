//! Links on a job, from the templates of its member.
//!
//! Owns no state. A link whose placeholder has no value yet is left out rather than shown broken.

use spark_router_api::job::ApplicationLinks;
use spark_router_core::{application::Application, id::JobKey, job::Placement};
use spark_router_member::links::Links;

/// Fills a member's templates for one application.
pub fn fill(
    templates: &Links,
    job: &JobKey,
    placement: &Placement,
    application: &Application,
) -> ApplicationLinks {
    let Links { ui, history, logs, log_locations } = templates;
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
    let fill = |template: &str| {
        let mut link = template.to_owned();
        for (placeholder, value) in values {
            if link.contains(placeholder) {
                link = link.replace(placeholder, value?);
            }
        }
        Some(link)
    };
    let filled = |template: &Option<String>| template.as_deref().and_then(fill);
    ApplicationLinks {
        ui: filled(ui),
        history: filled(history),
        logs: filled(logs),
        log_locations: log_locations.iter().filter_map(|location| fill(location)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use spark_router_api::Demand;

    use super::*;

    #[test]
    fn a_link_without_its_value_is_left_out() {
        let templates = Links {
            ui: Some("https://ui/{cluster}/{namespace}/{name}".into()),
            history: Some("https://history/{applicationId}".into()),
            logs: None,
            log_locations: vec!["s3://logs/{submissionId}/".into()],
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
        let links = fill(&templates, &job, &placement, &application);
        assert_eq!((links.ui.as_deref(), links.history), (Some("https://ui/eu-1/spark/daily-abc"), None));
        assert!(links.log_locations.is_empty());
        application.id = Some("spark-1".into());
        application.submission_id = Some("run-1".into());
        let links = fill(&templates, &job, &placement, &application);
        assert_eq!(links.history.as_deref(), Some("https://history/spark-1"));
        assert_eq!(links.log_locations, ["s3://logs/run-1/"]);
    }
}
