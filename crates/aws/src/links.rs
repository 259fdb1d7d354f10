//! Where a job run and its logs are to be looked at.
//!
//! Owns no state. Pure: templates, in which `{submissionId}` stands for the run. Consoles have no address for a single run
//! of EMR on EKS: its web UI, live and persistent, is opened from the page of its virtual cluster.

use spark_router_api::job::emr::{EmrCloudWatchLogs, EmrJob, EmrParts, EmrSwitch};
use spark_router_member::links::Links;

use crate::EmrSettings;

/// What is shown beside a job on a virtual cluster.
pub fn links(settings: &EmrSettings, job: Option<&EmrJob>) -> Links {
    let own = job.map(EmrJob::parts).unwrap_or_default();
    let layers = [&settings.fixed, &own, &settings.defaults];
    let (region, id) = (&settings.region, &settings.virtual_cluster_id);
    let console = console(region);
    let page = format!("{console}/emr/home?region={region}#/eks/clusters/{id}");
    let is_off = first(layers, |parts| parts.persistent_app_ui) == Some(EmrSwitch::Disabled);
    let s3 = first(layers, |parts| parts.monitoring.s3.as_ref());
    let streams = first(layers, |parts| parts.monitoring.cloud_watch.as_ref());
    // Below the place that was named, the run's own folder:
    // https://docs.aws.amazon.com/emr/latest/EMR-on-EKS-DevelopmentGuide/emr-eks-jobs-s3.html
    let folder = format!("{id}/jobs/{{submissionId}}/");
    let in_s3 = s3.map(|s3| format!("{}/{folder}", s3.log_uri.trim_end_matches('/')));
    let in_streams = streams.map(|logs| stream(logs, &folder));
    let logs = match (&in_streams, &in_s3) {
        (Some((group, stream)), _) => Some(format!(
            "{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{}$3FlogStreamNameFilter$3D{}",
            twice_escaped(group),
            twice_escaped(stream)
        )),
        (None, Some(uri)) => {
            uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).map(|(bucket, key)| {
                format!("{console}/s3/buckets/{bucket}?region={region}&prefix={}", escaped(key))
            })
        }
        (None, None) => None,
    };
    let in_streams = in_streams.map(|(group, stream)| format!("cloudwatch:{group}:{stream}"));
    Links {
        ui: Some(page.clone()),
        history: (!is_off).then_some(page),
        logs,
        log_locations: in_streams.into_iter().chain(in_s3).collect(),
    }
}

fn first<'a, T>(layers: [&'a EmrParts; 3], get: impl Fn(&'a EmrParts) -> Option<T>) -> Option<T> {
    layers.into_iter().find_map(get)
}

/// The console of a region's partition.
fn console(region: &str) -> String {
    let domain = match region.split('-').next() {
        Some("cn") => "console.amazonaws.cn",
        _ if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!("https://{region}.{domain}")
}

/// The group, and what the names of a run's streams begin with.
fn stream(logs: &EmrCloudWatchLogs, folder: &str) -> (String, String) {
    let EmrCloudWatchLogs { log_group_name, log_stream_name_prefix } = logs;
    let prefix = log_stream_name_prefix.as_deref().map(|prefix| format!("{}/", prefix.trim_end_matches('/')));
    (log_group_name.clone(), format!("{}{folder}", prefix.unwrap_or_default()))
}

/// For the query of an address. Braces stay: they are filled in later.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b'{' | b'}' => {
                all.push(char::from(byte));
            }
            other => all.push_str(&format!("%{other:02X}")),
        }
        all
    })
}

/// For the part of CloudWatch's addresses behind `#`, which is escaped once more, with `$` for `%`.
fn twice_escaped(text: &str) -> String {
    escaped(text).replace('/', "%2F").replace('%', "$25")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(region: &str, patch: &Value) -> EmrSettings {
        let mut backend = json!({"virtualClusterId": "0a1b", "region": region});
        for (field, value) in patch.as_object().into_iter().flatten() {
            backend[field] = value.clone();
        }
        EmrSettings::new(&serde_json::from_value(backend).unwrap()).unwrap()
    }

    fn job(patch: Value) -> EmrJob {
        serde_json::from_value(patch).unwrap()
    }

    #[test]
    fn a_run_is_looked_at_from_the_page_of_its_virtual_cluster() {
        for (region, page) in [
            (
                "eu-central-1",
                "https://eu-central-1.console.aws.amazon.com/emr/home?region=eu-central-1#/eks/clusters/0a1b",
            ),
            (
                "cn-north-1",
                "https://cn-north-1.console.amazonaws.cn/emr/home?region=cn-north-1#/eks/clusters/0a1b",
            ),
            (
                "us-gov-west-1",
                "https://us-gov-west-1.console.amazonaws-us-gov.com/emr/home?region=us-gov-west-1#/eks/clusters/0a1b",
            ),
        ] {
            let shown = links(&settings(region, &json!({})), None);
            assert_eq!(shown.ui.as_deref(), Some(page));
            assert_eq!(
                (shown.history.as_deref(), shown.logs, shown.log_locations.len()),
                (Some(page), None, 0)
            );
        }
        let off = job(json!({"persistentAppUi": "Disabled"}));
        let shown = links(&settings("eu-central-1", &json!({})), Some(&off));
        assert!(shown.ui.is_some() && shown.history.is_none(), "nothing is kept after the end");
    }

    #[test]
    fn logs_are_where_the_strongest_says() {
        let member = settings(
            "eu-central-1",
            &json!({"defaults": {"monitoring": {"s3": {"logUri": "s3://logs/spark team/"}}}}),
        );
        let shown = links(&member, None);
        assert_eq!(shown.log_locations, ["s3://logs/spark team/0a1b/jobs/{submissionId}/"]);
        assert_eq!(
            shown.logs.unwrap(),
            "https://eu-central-1.console.aws.amazon.com/s3/buckets/logs?region=eu-central-1&prefix=spark%20team/0a1b/jobs/{submissionId}/"
        );
        let both = job(json!({"monitoring": {
            "s3": {"logUri": "s3://own"}, "cloudWatch": {"logGroupName": "/spark/a", "logStreamNamePrefix": "x"},
        }}));
        let shown = links(&member, Some(&both));
        assert_eq!(
            shown.log_locations,
            ["cloudwatch:/spark/a:x/0a1b/jobs/{submissionId}/", "s3://own/0a1b/jobs/{submissionId}/"]
        );
        assert!(shown.logs.unwrap().ends_with(
            "log-group/$252Fspark$252Fa$3FlogStreamNameFilter$3Dx$252F0a1b$252Fjobs$252F{submissionId}$252F"
        ));
    }
}
