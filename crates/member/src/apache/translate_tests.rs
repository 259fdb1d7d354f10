//! What applications become, as whole specs and field by field.

use serde_json::{Value, json};
use spark_router_api::application::{APACHE_API_VERSION, SPARK_APPLICATION_API_VERSION};

use super::{fields::tests::SCHEMA, *};
use crate::apache::meant;

fn template(spec: &Value) -> Value {
    json!({"apiVersion": SPARK_APPLICATION_API_VERSION, "spec": spec})
}

/// The spec that a Kubeflow template becomes.
fn translated(spec: &Value) -> Result<Value, Vec<String>> {
    let made = super::spec(&meant(&template(spec)), &Marks::default());
    made.map_err(|all| all.into_iter().map(|one| format!("{}: {}", one.field, one.why)).collect())
}

/// The property that one more field becomes.
fn property(spec: &Value, name: &str) -> Value {
    translated(spec).unwrap()["sparkConf"][name].clone()
}

#[test]
fn a_python_job_as_a_whole() {
    let spec = json!({
        "type": "Python", "mode": "cluster", "sparkVersion": "4.0.1", "image": "spark:4.0.1",
        "imagePullSecrets": ["a", "b"],
        "mainApplicationFile": "local:///opt/job.py", "arguments": ["--day", "1"],
        "deps": {"pyFiles": ["local:///a.zip", "local:///b.zip"], "jars": ["local:///c.jar"], "packages": ["g:a:1"]},
        "sparkConf": {"spark.eventLog.enabled": "true", "spark.driver.memory": "9g", "spark.driver.extraJavaOptions": "-Da=1"},
        "hadoopConf": {"fs.s3a.path.style.access": "true"},
        "timeToLiveSeconds": 60, "nodeSelector": {"pool": "spark"},
        "restartPolicy": {"type": "OnFailure", "onFailureRetries": 2, "onFailureRetryInterval": 10},
        "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "unused", "emptyDir": {}}],
        "driver": {
            "cores": 2, "memory": "2g", "serviceAccount": "spark", "labels": {"team": "a"}, "javaOptions": "-Db=2",
            "envVars": {"A": "b"}, "envSecretKeyRefs": {"PASSWORD": {"name": "s", "key": "k"}},
            "secrets": [{"name": "keys", "path": "/keys", "secretType": "Generic"}],
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        },
        "executor": {"cores": 4, "memory": "8g", "memoryOverhead": "1g", "instances": 3, "coreRequest": "3500m",
            "gpu": {"name": "nvidia.com/gpu", "quantity": 1}, "sidecars": [{"name": "proxy", "image": "p"}]},
    });
    assert_eq!(
        translated(&spec).unwrap(),
        json!({
            "pyFiles": "local:///opt/job.py", "mainClass": "org.apache.spark.deploy.PythonRunner",
            "driverArgs": ["--day", "1"], "runtimeVersions": {"sparkVersion": "4.0.1"},
            "sparkConf": {
                "spark.eventLog.enabled": "true", "spark.hadoop.fs.s3a.path.style.access": "true",
                "spark.kubernetes.container.image": "spark:4.0.1", "spark.kubernetes.container.image.pullSecrets": "a,b",
                "spark.submit.pyFiles": "local:///a.zip,local:///b.zip", "spark.jars.packages": "g:a:1", "spark.jars": "local:///c.jar",
                "spark.kubernetes.node.selector.pool": "spark",
                "spark.driver.cores": "2", "spark.driver.memory": "2g",
                "spark.driver.extraJavaOptions": "-Da=1 -Db=2",
                "spark.kubernetes.authenticate.driver.serviceAccountName": "spark",
                "spark.kubernetes.driver.label.team": "a", "spark.kubernetes.driverEnv.A": "b",
                "spark.kubernetes.driver.secretKeyRef.PASSWORD": "s:k", "spark.kubernetes.driver.secrets.keys": "/keys",
                "spark.executor.cores": "4", "spark.executor.memory": "8g", "spark.executor.memoryOverhead": "1g",
                "spark.executor.instances": "3", "spark.kubernetes.executor.request.cores": "3500m",
                "spark.kubernetes.executor.podTemplateContainerName": "spark-kubernetes-executor",
            },
            "driverSpec": {"podTemplateSpec": {"spec": {
                "containers": [{
                    "name": "spark-kubernetes-driver", "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                }],
                "tolerations": [{"key": "spot", "operator": "Exists"}],
                "volumes": [{"name": "scratch", "emptyDir": {}}],
            }}},
            "executorSpec": {"podTemplateSpec": {"spec": {"containers": [
                {"name": "spark-kubernetes-executor", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
                {"name": "proxy", "image": "p"},
            ]}}},
            "applicationTolerations": {
                "resourceRetainPolicy": "Never",
                "restartConfig": {
                    "restartPolicy": "OnFailure", "maxRestartAttempts": 2, "maxRestartOnFailure": 2,
                    "maxRestartOnSchedulingFailure": 0, "restartBackoffMillis": 10_000,
                    "restartBackoffMillisForFailure": 10_000, "restartBackoffMillisForSchedulingFailure": 5_000,
                },
            },
        })
    );
}

#[test]
fn a_small_job_asks_for_what_it_would_ask_for_elsewhere() {
    let spec = json!({
        "type": "Scala", "sparkVersion": "4.0.1", "mainClass": "org.example.Main",
        "mainApplicationFile": "local:///a.jar", "deps": {"jars": ["local:///b.jar"]},
    });
    assert_eq!(
        translated(&spec).unwrap(),
        json!({
            "jars": "local:///a.jar", "mainClass": "org.example.Main", "runtimeVersions": {"sparkVersion": "4.0.1"},
            "sparkConf": {
                "spark.jars": "local:///b.jar,local:///a.jar",
                "spark.driver.cores": "1", "spark.driver.memory": "1g",
                "spark.executor.cores": "1", "spark.executor.memory": "1g", "spark.executor.instances": "1",
            },
            "applicationTolerations": {"resourceRetainPolicy": "Never"},
        })
    );
    let r = json!({"type": "R", "sparkVersion": "4.0.1", "mainApplicationFile": "local:///a.R"});
    let r = translated(&r).unwrap();
    assert_eq!(
        (&r["sparkRFiles"], &r["mainClass"]),
        (&json!("local:///a.R"), &json!("org.apache.spark.deploy.RRunner"))
    );
}

#[test]
fn what_cannot_be_done_is_named_with_its_path() {
    for (spec, start) in [
        (json!({"sparkConfigMap": "m"}), "spec.template.spec.sparkConfigMap: "),
        (json!({"monitoring": {"exposeDriverMetrics": true}}), "spec.template.spec.monitoring: "),
        (json!({"sparkUIOptions": {"servicePort": 80}}), "spec.template.spec.sparkUIOptions: "),
        (json!({"driverIngressOptions": [{"servicePort": 80}]}), "spec.template.spec.driverIngressOptions: "),
        (json!({"driver": {"memoryLimit": "2g"}}), "spec.template.spec.driver.memoryLimit: "),
        (
            json!({"executor": {"fieldOfTomorrow": 1}}),
            "spec.template.spec.executor.fieldOfTomorrow: nothing is known",
        ),
        (json!({"fieldOfTomorrow": {"a": 1}}), "spec.template.spec.fieldOfTomorrow: nothing is known"),
        (
            json!({"dynamicAllocation": {"odd": 1}}),
            "spec.template.spec.dynamicAllocation.odd: nothing is known",
        ),
        (json!({"batchScheduler": "coscheduling"}), "spec.template.spec.batchScheduler: "),
        (
            json!({"batchSchedulerOptions": {"queue": "q"}}),
            "spec.template.spec.batchSchedulerOptions.queue: ",
        ),
        (
            json!({"driver": {"secrets": [{"name": "a", "path": "/a", "secretType": "GCPServiceAccount"}]}}),
            "spec.template.spec.driver.secrets[0].secretType: ",
        ),
        (json!({"sparkConf": {"spark.app.id": "x"}}), "spec.template.spec.sparkConf[spark.app.id]: "),
        (
            json!({
                "sparkConf": {"spark.kubernetes.driver.podTemplateFile": "x"}, "driver": {"env": [{"name": "a", "value": "b"}]},
            }),
            "spec.template.spec.sparkConf[spark.kubernetes.driver.podTemplateFile]: ",
        ),
    ] {
        let cannot = translated(&spec).unwrap_err();
        assert!(cannot.len() == 1 && cannot[0].starts_with(start), "{spec}: {cannot:?}");
    }
    let both = json!({"sparkConfigMap": "m", "driver": {"memoryLimit": "2g"}});
    assert_eq!(translated(&both).unwrap_err().len(), 2);
}

/// A value that a field of the schema may have.
fn sample(path: &str) -> Value {
    match path.rsplit('.').next().unwrap_or_default() {
        "labels" | "annotations" | "envVars" | "nodeSelector" | "serviceLabels" | "serviceAnnotations"
        | "hadoopConf" | "sparkConf" => json!({"a.b": "c"}),
        "envSecretKeyRefs" => json!({"A": {"name": "s", "key": "k"}}),
        "affinity" | "dnsConfig" | "lifecycle" | "podSecurityContext" | "securityContext" => {
            json!({"field": {"x": 1}})
        }
        "template" => json!({"spec": {"field": {"x": 1}}}),
        "env" | "envFrom" | "hostAliases" | "initContainers" | "sidecars" | "tolerations"
        | "volumeMounts" | "volumes" => {
            json!([{"name": "x", "field": 1}])
        }
        "arguments" | "jars" | "files" | "pyFiles" | "archives" | "packages" | "excludePackages"
        | "repositories" | "imagePullSecrets" => json!(["x", "y"]),
        "hostNetwork"
        | "shareProcessNamespace"
        | "suspend"
        | "enabled"
        | "shuffleTrackingEnabled"
        | "deleteOnTermination" => {
            json!(true)
        }
        "type" => json!("Scala"),
        "batchScheduler" => json!("yunikorn"),
        _ => json!("7"),
    }
}

/// The spec of an application in which one field of the schema has its sample.
fn with(path: &str) -> Value {
    let steps: Vec<_> = path.split('.').collect();
    match steps.as_slice() {
        [field] => json!({*field: sample(path)}),
        [role, list @ ("configMaps" | "secrets" | "ports"), _] => {
            let item = match *list {
                "configMaps" => json!({"name": "m", "path": "/m"}),
                "secrets" => json!({"name": "s", "path": "/s", "secretType": "Generic"}),
                _ => json!({"name": "p", "containerPort": 7, "protocol": "TCP"}),
            };
            json!({*role: {*list: [item]}})
        }
        [role, "gpu", _] => json!({*role: {"gpu": {"name": "nvidia.com/gpu", "quantity": 2}}}),
        ["batchSchedulerOptions", "queue"] => {
            json!({"batchScheduler": "yunikorn", "batchSchedulerOptions": {"queue": "root.a"}})
        }
        ["restartPolicy", field] => json!({"restartPolicy": {
            "type": "OnFailure", "onFailureRetries": 1, "onSubmissionFailureRetries": 1, *field: 3,
        }}),
        ["driverIngressOptions", ..] => json!({"driverIngressOptions": [{"servicePort": 7}]}),
        [outer, field] => json!({*outer: {*field: sample(path)}}),
        [outer, middle, field] => json!({*outer: {*middle: {*field: sample(path)}}}),
        _ => panic!("{path}"),
    }
}

#[test]
fn every_field_of_the_schema_leaves_a_trace_or_is_refused() {
    // Without effect by what they are.
    const SILENT: [&str; 7] =
        ["failureRetries", "mode", "retryInterval", "suspend", "timeToLiveSeconds", "volumes", "type"];
    let plain = translated(&json!({})).unwrap();
    for path in SCHEMA.lines() {
        let spec = with(path);
        let mut fixed = spec.clone();
        if path == "restartPolicy.type" {
            fixed = json!({"restartPolicy": {"type": "OnFailure", "onFailureRetries": 3}});
        }
        match translated(&fixed) {
            Ok(made) if SILENT.contains(&path) => assert_eq!(made, plain, "{path}"),
            Ok(made) => assert_ne!(made, plain, "{path} is lost"),
            Err(cannot) => {
                let field = path.split('.').next().unwrap();
                assert!(cannot[0].starts_with(&format!("spec.template.spec.{field}")), "{path}: {cannot:?}");
            }
        }
    }
}

#[test]
fn typed_fields_beat_properties_but_for_the_one_that_comes_before_them() {
    let conf = json!({
        "spark.executor.memory": "1g", "spark.kubernetes.memoryOverheadFactor": "0.3",
        "spark.kubernetes.driver.label.team": "conf",
    });
    let spec = json!({
        "sparkConf": conf, "memoryOverheadFactor": "0.2", "executor": {"memory": "4g"}, "driver": {"labels": {"team": "typed"}},
    });
    assert_eq!(property(&spec, "spark.executor.memory"), "4g");
    assert_eq!(property(&spec, "spark.kubernetes.memoryOverheadFactor"), "0.3");
    assert_eq!(property(&spec, "spark.kubernetes.driver.label.team"), "typed");
}

#[test]
fn pods_carry_the_labels_of_their_application_and_a_roles_own_beat_them() {
    let marks = Marks::of(&json!({"labels": {
        "sparkrouter.dev/attempt": "2", "team": "a", "kueue.x-k8s.io/queue-name": "q",
    }}));
    let root = meant(&template(&json!({"executor": {"labels": {"team": "b"}}})));
    let made = super::spec(&root, &marks).unwrap();
    let label =
        |role: &str, key: &str| made["sparkConf"][format!("spark.kubernetes.{role}.label.{key}")].clone();
    for role in ["driver", "executor"] {
        assert_eq!(label(role, "sparkrouter.dev/attempt"), "2");
        assert_eq!(label(role, "kueue.x-k8s.io/queue-name"), Value::Null, "it would be queued a second time");
    }
    assert_eq!((label("driver", "team"), label("executor", "team")), (json!("a"), json!("b")));
}

#[test]
fn a_queue_of_a_batch_scheduler_is_properties_only() {
    let spec = json!({"batchScheduler": "yunikorn", "batchSchedulerOptions": {"queue": "root.a"}});
    for (name, value) in [
        ("spark.kubernetes.scheduler.name", "yunikorn"),
        ("spark.kubernetes.driver.label.queue", "root.a"),
        ("spark.kubernetes.executor.label.queue", "root.a"),
    ] {
        assert_eq!(property(&spec, name), value);
    }
    let spec = json!({"batchScheduler": "volcano", "batchSchedulerOptions": {"queue": "a"}});
    assert_eq!(property(&spec, "spark.kubernetes.driver.annotation.scheduling.volcano.sh/queue-name"), "a");
}

#[test]
fn what_is_written_for_it_passes_through() {
    let spec = json!({
        "mainClass": "a.B", "jars": "local:///x.jar", "driverArgs": ["1"],
        "sparkConf": {"spark.executor.instances": "2"},
        "runtimeVersions": {"sparkVersion": "4.0.1", "scalaVersion": "2.13"},
        "driverSpec": {"podTemplateSpec": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}},
        "driverServiceIngressList": [{"serviceMetadata": {}}],
        "applicationTolerations": {
            "instanceConfig": {"minExecutors": 1}, "ttlAfterStopMillis": 5, "resourceRetainPolicy": "Always",
            "resourceRetainDurationMillis": 7,
            "restartConfig": {"restartPolicy": "OnInfrastructureFailure"},
        },
    });
    let root = native::lifted(&json!({"apiVersion": APACHE_API_VERSION, "spec": spec})).into_owned();
    let mut expected = spec;
    // Its end is read by the router before anything of it goes, and proves that its pods have gone.
    expected["applicationTolerations"] = json!({
        "instanceConfig": {"minExecutors": 1}, "resourceRetainPolicy": "Never",
        "restartConfig": {"restartPolicy": "OnInfrastructureFailure"},
    });
    assert_eq!(super::spec(&meant(&root), &Marks::default()).unwrap(), expected);
}
