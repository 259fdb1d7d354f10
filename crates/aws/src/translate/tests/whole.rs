//! Whole translations: what a template, a job and a member become together.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Case, ETL,
    case::{ANY, classified, options, properties},
};
use crate::request::JobDriver;

/// The request as AWS would get it.
fn request(case: &Case) -> Value {
    serde_json::from_str(&case.taken().request.canonical()).unwrap()
}

#[test]
fn a_python_application_with_nothing_special() {
    let case = Case::new(json!({}));
    insta::assert_yaml_snapshot!(request(&case));
    assert!(case.taken().notes.is_empty(), "{:?}", case.taken().notes);
}

/// Something of every kind that is taken.
fn everything() -> Case {
    let mut case = Case::new(json!({
        "type": "Scala",
        "mode": "cluster",
        "mainClass": "org.example.Main",
        "mainApplicationFile": "s3://jobs/daily.jar",
        "arguments": ["--day", "2026-11-26", "a b", "100%"],
        "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/spark:7",
        "memoryOverheadFactor": "0.2",
        "sparkConf": { "spark.sql.adaptive.enabled": "true", "spark.executor.pyspark.memory": "512" },
        "hadoopConf": { "fs.s3a.endpoint": "https://s3.eu-central-1.amazonaws.com" },
        "deps": { "jars": ["s3://jars/a.jar", "s3://jars/b.jar"], "packages": ["org.x:y:1.0"], "files": ["s3://f"] },
        "nodeSelector": { "pool": "spark" },
        "dynamicAllocation": { "enabled": true, "minExecutors": 1, "maxExecutors": 20 },
        "restartPolicy": { "type": "OnFailure", "onFailureRetries": 3 },
        "timeToLiveSeconds": 60,
        "driver": {
            "cores": 2, "memory": "4G", "memoryOverhead": "512", "coreLimit": "2500m", "serviceAccount": "spark",
            "javaOptions": "-Dx=1 -Dy=2",
            "labels": { "role": "head" },
            "annotations": { "prometheus.io/scrape": "true" },
            "env": [
                { "name": "STAGE", "value": "prod" },
                { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "api", "key": "token" } } },
            ],
            "serviceLabels": { "team": "a" },
        },
        "executor": {
            "cores": 4, "coreRequest": "3500m", "memory": "16g", "labels": { "role": "hand" },
            "envVars": { "STAGE": "prod" },
            "envSecretKeyRefs": { "TOKEN": { "name": "api", "key": "token" } },
            "nodeSelector": { "disk": "nvme" },
            "deleteOnTermination": false,
            "secrets": [{ "name": "keys", "path": "/etc/keys", "secretType": "Generic" }],
        },
    }))
    .metadata(json!({
        "labels": { "team": "a", "cost-centre": "4711", "argocd.argoproj.io/instance": "x" },
        "annotations": { "note": "for people" },
    }))
    .emr(json!({
        "persistentAppUi": "Enabled",
        "maxAttempts": 2,
        "monitoring": { "s3": { "logUri": "s3://team-a-logs/" } },
        "applicationConfiguration": [
            { "classification": "spark-log4j", "properties": { "rootLogger.level": "warn" } },
        ],
        "verticalAutoscaling": { "mode": "Initial", "memory": { "scale": true, "max": "32Gi" } },
        "tags": { "project": "x" },
    }))
    .backend(json!({
        "tagLabels": ["team", "cost-centre", "absent"],
        "defaults": {
            "monitoring": { "cloudWatch": { "logGroupName": "/emr/spark" } },
            "tags": { "team": "unknown", "env": "prod" },
        },
        "fixed": {
            "persistentAppUi": "Disabled",
            "applicationConfiguration": [
                { "classification": "emr-job-submitter", "properties": { "jobsubmitter.gracefulTermination": "true" } },
            ],
        },
    }));
    case.start_deadline = Some(Duration::from_mins(10));
    case
}

#[test]
fn a_scala_application_with_everything() {
    let case = everything();
    insta::assert_yaml_snapshot!(request(&case));
    let notes: Vec<_> = case.taken().notes.iter().map(ToString::to_string).collect();
    insta::assert_yaml_snapshot!(notes);
}

#[test]
fn a_file_of_sql_statements() {
    let case = Case::new(json!({
        "mainApplicationFile": "s3://jobs/report.sql",
        "sparkConf": { "spark.sql.shuffle.partitions": " 8" },
    }))
    .emr(json!({ "driver": "SparkSql" }));
    insta::assert_yaml_snapshot!(request(&case)["jobDriver"]);
    let mut with_more = case;
    with_more.template["spec"]["arguments"] = json!(["a"]);
    with_more.template["spec"]["mainClass"] = json!("org.X");
    let problems = with_more.problems();
    assert!(problems[0].starts_with("spec.template.spec.arguments[0]: a file of SQL"), "{problems:?}");
    assert!(problems[1].starts_with("spec.template.spec.mainClass: a file of SQL"), "{problems:?}");
}

#[test]
fn sixty_jars_are_one_bare_option() {
    let jars: Vec<_> = (0..60)
        .map(|n| format!("s3://{:a<49}/{n:0>2}", ""))
        .map(|uri| {
            assert_eq!(uri.len(), 57);
            uri[..55].to_owned()
        })
        .collect();
    let case = Case::new(json!({ "type": "Scala", "mainClass": "org.X", "deps": { "jars": jars.clone() } }));
    let taken = case.taken();
    let Some(JobDriver::SparkSubmitJobDriver { spark_submit_parameters: Some(text), .. }) =
        &taken.request.parts().job_driver
    else {
        panic!("{:?}", taken.request)
    };
    assert_eq!(text.len(), 3391);
    assert_eq!(*text, format!("--class org.X --conf spark.jars={}", jars.join(",")));
    assert!(!classified(taken.request.parts(), "spark-defaults").contains_key("spark.jars"));
}

#[test]
fn a_hundred_and_forty_properties_are_a_hundred_in_the_map_and_the_rest_in_quotes() {
    let conf: serde_json::Map<_, _> =
        (0..140).map(|n| (format!("spark.x.{n}"), json!(format!("v {n}")))).collect();
    let taken = Case::new(json!({ "sparkConf": conf })).taken();
    let parts = taken.request.parts();
    let map = classified(parts, "spark-defaults");
    assert_eq!(map.len(), 100);
    let Some(JobDriver::SparkSubmitJobDriver { spark_submit_parameters: Some(text), .. }) = &parts.job_driver
    else {
        panic!("{parts:?}")
    };
    assert!(text.contains(r#"--conf "spark.x.55=v 55""#), "{text}");
    let all = properties(parts);
    assert!((0..140).all(|n| all.get(&format!("spark.x.{n}")) == Some(&format!("v {n}"))));
    let last = map.keys().next_back().unwrap();
    assert!(all.keys().filter(|key| !map.contains_key(*key)).all(|key| key > last), "in the order of keys");
}

#[test]
fn jobs_get_the_first_role_of_their_namespace_and_may_name_another() {
    let role = |case: &Case| request(case)["executionRoleArn"].clone();
    let case = Case::new(json!({}));
    assert_eq!(role(&case), ETL);
    assert_eq!(role(&Case { namespace: "team-b", ..case.clone() }), ANY);
    let named = case.clone().emr(json!({ "executionRoleArn": ANY }));
    assert_eq!(role(&named), ANY);
    let stolen = Case { namespace: "team-b", ..case.clone().emr(json!({ "executionRoleArn": ETL })) };
    assert_eq!(
        stolen.problem(),
        format!(
            "spec.emr.executionRoleArn: jobs of namespace team-b may not have {ETL} on this member: it may have {ANY}"
        )
    );
    let none = case.backend(json!({ "executionRoles": [{ "arn": ETL, "namespaces": ["other"] }] }));
    assert!(
        none.problem().starts_with("spec.backend.emrContainers.executionRoles: is missing"),
        "{}",
        none.problem()
    );
}

#[test]
fn the_release_is_never_guessed() {
    let release = |case: &Case| request(case)["releaseLabel"].clone();
    assert_eq!(release(&Case::new(json!({ "sparkVersion": "4.0.2" }))), "emr-spark-8.0.0-latest");
    let unknown = Case::new(json!({ "sparkVersion": "3.4.1" }));
    assert_eq!(
        unknown.problem(),
        "spec.template.spec.sparkVersion: this member has no release for \"3.4.1\", only for 3.5, 4; ask its administrator \
         for one in spec.backend.emrContainers.releases, or name one in spec.emr.releaseLabel"
    );
    assert_eq!(release(&unknown.emr(json!({ "releaseLabel": "emr-6.15.0-latest" }))), "emr-6.15.0-latest");
    let missing = Case::new(json!({ "sparkVersion": null }));
    assert!(
        missing.problem().starts_with("spec.template.spec.sparkVersion: is missing"),
        "{}",
        missing.problem()
    );
}

#[test]
fn fixed_beats_job_beats_template_beats_defaults() {
    let class = |value: &str| json!([{ "classification": "c", "properties": { "k": value } }]);
    let timeout = |value: &str| json!([{ "classification": "emr-containers-defaults", "properties": { "job-start-timeout": value } }]);
    let k = |case: &Case| classified(case.taken().request.parts(), "c").get("k").cloned();
    let case = Case::new(json!({}));
    let all = case
        .clone()
        .backend(json!({ "defaults": { "applicationConfiguration": class("default") } }))
        .backend(json!({ "fixed": { "applicationConfiguration": class("fixed") } }))
        .emr(json!({ "applicationConfiguration": class("job") }));
    assert_eq!(k(&all).as_deref(), Some("fixed"));
    let without = all.clone().backend(json!({ "fixed": { "applicationConfiguration": [] } }));
    assert_eq!(k(&without).as_deref(), Some("job"));
    assert_eq!(k(&without.emr(Value::Null)).as_deref(), Some("default"));
    // The job's own deadline stands where the template stands.
    let seconds = |case: &Case| {
        classified(case.taken().request.parts(), "emr-containers-defaults").get("job-start-timeout").cloned()
    };
    let mut timed =
        case.clone().backend(json!({ "defaults": { "applicationConfiguration": timeout("900") } }));
    assert_eq!(seconds(&timed).as_deref(), Some("900"));
    timed.start_deadline = Some(Duration::from_mins(10));
    assert_eq!(seconds(&timed).as_deref(), Some("660"));
    assert_eq!(
        seconds(&timed.emr(json!({ "applicationConfiguration": timeout("60") }))).as_deref(),
        Some("60")
    );
    // Logs of one kind are taken as a whole.
    let logs = case
        .emr(json!({ "monitoring": { "s3": { "logUri": "s3://job/" } } }))
        .backend(json!({ "defaults": { "monitoring": {
            "s3": { "logUri": "s3://default/", "encryptionKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1" },
            "cloudWatch": { "logGroupName": "g" },
        } } }));
    assert_eq!(
        request(&logs)["configurationOverrides"]["monitoringConfiguration"],
        json!({
            "s3MonitoringConfiguration": { "logUri": "s3://job/" },
            "cloudWatchMonitoringConfiguration": { "logGroupName": "g" },
        })
    );
}

#[test]
fn tags_come_from_the_strongest_who_says_them() {
    let case = Case::new(json!({ "driver": { "labels": { "a": "driver" } } }))
        .metadata(json!({ "labels": { "b": "label", "c": "label", "d": "label" } }))
        .emr(json!({ "tags": { "c": "job", "d": "job" } }))
        .backend(json!({
            "tagLabels": ["a", "b", "c", "d"],
            "fixed": { "tags": { "d": "fixed" } },
            "defaults": { "tags": { "a": "default", "e": "default" } },
        }));
    let tags = request(&case)["tags"].clone();
    for (key, value) in [("a", "driver"), ("b", "label"), ("c", "job"), ("d", "fixed"), ("e", "default")] {
        assert_eq!(tags[key], value, "{key}");
    }
    let taken = case.taken();
    for (key, value) in [
        ("origin", "hub-1"),
        ("job-uid", "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"),
        ("attempt", "2"),
        ("queue", "etl"),
        ("team", "team-a"),
        ("job-namespace", "team-a"),
        ("job-name", "daily"),
        ("seq", "7"),
        ("render-hash", taken.hash.as_str()),
    ] {
        assert_eq!(tags[format!("sparkrouter.dev/{key}")], value, "{key}");
    }
    assert_eq!(taken.request.hash(), taken.hash);
    let forged = case.emr(json!({ "tags": { "sparkrouter.dev/origin": "x", "aws:x": "y" } }));
    assert_eq!(
        forged.problems(),
        [
            "spec.emr.tags[aws:x]: begins with aws:, which belongs to AWS; rename it",
            "spec.emr.tags[sparkrouter.dev/origin]: belongs to the router; rename it",
        ]
    );
}

#[test]
fn what_jobs_may_not_say_beside_their_template() {
    let class = |name: &str, key: &str| json!({ "applicationConfiguration": [{ "classification": name, "properties": { key: "x" } }] });
    for (emr, expected) in [
        (
            class("spark-defaults", "spark.a"),
            "spec.emr.applicationConfiguration[spark-defaults]: belongs to the translation",
        ),
        (
            class("emr-job-submitter", "jobsubmitter.label.sparkrouter.dev/queue"),
            "spec.emr.applicationConfiguration[emr-job-submitter].properties[jobsubmitter.label.sparkrouter.dev/queue]: \
             belongs to the router",
        ),
        (
            class("emr-job-submitter", "jobsubmitter.container.image"),
            "spec.emr.applicationConfiguration[emr-job-submitter].properties[jobsubmitter.container.image]: jobs may not",
        ),
        (
            json!({ "podTemplates": { "driver": "s3://a/b" } }),
            "spec.emr.podTemplates.driver: this queue does not allow pod template files",
        ),
        (
            json!({ "jobTemplate": { "id": "0a" } }),
            "spec.emr.jobTemplate.id: jobs of namespace team-a may not use",
        ),
        (
            json!({ "verticalAutoscaling": { "memory": { "scale": true, "min": " " } } }),
            "spec.emr.verticalAutoscaling.memory.min: is blank",
        ),
    ] {
        let problem = Case::new(json!({})).emr(emr).problem();
        assert!(problem.starts_with(expected), "{expected}: {problem}");
    }
    let image = class("emr-job-submitter", "jobsubmitter.container.image");
    assert!(Case::new(json!({})).backend(json!({ "fixed": image })).translate().is_ok(), "the member may");
}

#[test]
fn pod_templates_go_by_the_strongest_address() {
    let file = |case: &Case| {
        properties(case.taken().request.parts()).get("spark.kubernetes.driver.podTemplateFile").cloned()
    };
    let templates = |uri: &str| json!({ "podTemplates": { "driver": uri } });
    let mut case = Case::new(json!({}));
    case.pod_templates_allowed = true;
    assert_eq!(file(&case), None);
    let case = case.backend(json!({ "defaults": templates("s3://default") }));
    assert_eq!(file(&case).as_deref(), Some("s3://default"));
    let mut case = case;
    case.template["spec"]["sparkConf"] =
        json!({ "spark.kubernetes.driver.podTemplateFile": "s3://template" });
    assert_eq!(file(&case).as_deref(), Some("s3://template"));
    let case = case.emr(templates("s3://job"));
    assert_eq!(file(&case).as_deref(), Some("s3://job"));
    let case = case.backend(json!({ "fixed": templates("s3://fixed") }));
    assert_eq!(file(&case).as_deref(), Some("s3://fixed"));
}

#[test]
fn a_job_template_gives_what_the_member_says_that_it_gives() {
    let template = json!({ "jobTemplate": { "id": "0a", "parameters": { "Day": "monday" } } });
    let allowed = |gives: Value| json!({ "jobTemplates": [{ "id": "0a", "gives": gives }] });
    let case = Case::new(json!({ "arguments": ["x"] })).emr(template.clone());
    let added = request(&case.clone().backend(allowed(json!([]))));
    assert_eq!(
        (&added["jobTemplateId"], &added["jobTemplateParameters"]["Day"]),
        (&json!("0a"), &json!("monday"))
    );
    assert!(added["jobDriver"].is_object() && added["executionRoleArn"].is_string());
    let all = case.backend(allowed(json!(["Driver", "ReleaseLabel", "ExecutionRole"])));
    let given = request(&all);
    for field in ["jobDriver", "releaseLabel", "executionRoleArn"] {
        assert_eq!(given[field], Value::Null, "{field}");
    }
    assert!(
        given["configurationOverrides"]["applicationConfiguration"].is_array(),
        "labels are said all the same"
    );
    let notes: Vec<_> = all.taken().notes.into_iter().map(|note| note.path).collect();
    assert_eq!(notes, ["spec.template.spec.arguments[0]", "spec.template.spec.mainApplicationFile"]);
    let mut long = all.clone();
    long.template["spec"]["sparkConf"] = json!({ "spark.x": "v".repeat(1025) });
    assert!(
        long.problem().starts_with("spec.template.spec.sparkConf[spark.x]: has no room"),
        "{}",
        long.problem()
    );
    let mut both = template;
    both["executionRoleArn"] = json!(ETL);
    both["releaseLabel"] = json!("emr-7");
    let problems = all.emr(both).problems();
    assert!(problems[0].starts_with("spec.emr.executionRoleArn: the job template gives"), "{problems:?}");
    assert!(problems[1].starts_with("spec.emr.releaseLabel: the job template gives"), "{problems:?}");
}

#[test]
fn images_are_used_or_passed_over_as_the_member_says() {
    let case = Case::new(json!({
        "image": "spark:4", "driver": { "image": "spark:d" },
        "sparkConf": { "spark.kubernetes.executor.container.image": "spark:e" },
    }));
    let images = |case: &Case| {
        let all = properties(case.taken().request.parts());
        all.into_iter()
            .filter(|(key, _)| key.ends_with("container.image"))
            .map(|(_, v)| v)
            .collect::<Vec<_>>()
    };
    assert_eq!(images(&case), ["spark:4", "spark:d", "spark:e"]);
    let ignoring = case.backend(json!({ "images": "Ignore" }));
    assert!(images(&ignoring).is_empty());
    assert_eq!(ignoring.taken().notes.len(), 3);
}

#[test]
fn a_service_account_gives_way_and_is_told_so() {
    let case = Case::new(json!({ "driver": { "serviceAccount": "spark" } }));
    let notes: Vec<_> = case.taken().notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "spec.template.spec.driver.serviceAccount: gives way to the execution role: EMR on EKS has service accounts of its \
          own for it"
        ]
    );
    assert!(!case.taken().request.canonical().contains("serviceAccount"));
}

#[test]
fn the_routers_labels_are_on_every_pod() {
    let taken = everything().taken();
    let parts = taken.request.parts();
    let (all, submitter) = (properties(parts), classified(parts, "emr-job-submitter"));
    for (label, value) in [
        ("origin", "hub-1"),
        ("job-uid", "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"),
        ("attempt", "2"),
        ("queue", "etl"),
        ("team", "team-a"),
    ] {
        let label = format!("sparkrouter.dev/{label}");
        assert_eq!(submitter[&format!("jobsubmitter.label.{label}")], value);
        for role in ["driver", "executor"] {
            assert_eq!(all[&format!("spark.kubernetes.{role}.label.{label}")], value);
        }
    }
    assert_eq!(submitter["jobsubmitter.gracefulTermination"], "true");
}

#[test]
fn every_problem_is_told_at_once() {
    let case = Case::new(json!({
        "mainApplicationFile": "s3://".to_owned() + &"a".repeat(300),
        "arguments": ["{\"json\": 1}"],
        "proxyUser": "x",
        "driver": { "podName": "x", "newField": 1 },
    }))
    .backend(json!({ "executionRoles": [] }));
    let problems = case.problems();
    let paths: Vec<_> = problems.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "spec.backend.emrContainers.executionRoles",
            "spec.template.spec.arguments[0]",
            "spec.template.spec.driver.newField",
            "spec.template.spec.driver.podName",
            "spec.template.spec.mainApplicationFile",
            "spec.template.spec.proxyUser",
        ]
    );
    assert!(options(everything().taken().request.parts()).starts_with(&["--class".to_owned()]));
}
