//! Parts of applications that a queue or a member sets: what they may not reach.

use super::*;

/// What is refused in `defaults` and in `fixed`, on a queue and on a member alike.
fn cases() -> Vec<(Value, Option<String>)> {
    let keys = |field: &str| {
        Some(format!(
            "{field} must not have keys that start with sparkrouter.dev/, nor any of spark-role, spark-app-selector, \
             spark-app-name, spark-version, spark-exec-id: they belong to the router or to Spark"
        ))
    };
    let conf = || {
        let words = "sparkConf must not set spark.kubernetes.driver.pod.name, spark.kubernetes.executor.podNamePrefix, \
                     spark.kubernetes.namespace, nor labels and annotations that belong to the router or to Spark";
        Some(words.to_owned())
    };
    let mut cases = vec![
        (json!({ "labels": { "team": "a", "spark-roles": "x", "example.com/sparkrouter.dev": "x" } }), None),
        (
            json!({ "sparkConf": { "spark.kubernetes.driver.label.team": "a", "spark.kubernetes.container.image": "x" } }),
            None,
        ),
        (json!({ "image": "" }), Some("image: Invalid value".to_owned())),
        (
            json!({ "driver": { "serviceAccount": "A" } }),
            Some("driver.serviceAccount: Invalid value".to_owned()),
        ),
        (json!({ "labels": { "long": "l".repeat(64) } }), Some("labels.long: Too long".to_owned())),
        (
            json!({ "executor": { "tolerations": vec![json!({}); 33] } }),
            Some("executor.tolerations: Too many: 33: must have at most 32 items".to_owned()),
        ),
    ];
    for key in ["sparkrouter.dev/attempt", "spark-role", "spark-app-selector", "spark-exec-id"] {
        for field in ["labels", "annotations"] {
            cases.push((json!({ field: { "team": "a", key: "x" } }), keys(field)));
            cases.push((json!({ "driver": { field: { key: "x" } } }), keys(field)));
            cases.push((json!({ "executor": { field: { key: "x" } } }), keys(field)));
        }
        for role in ["driver", "executor"] {
            for kind in ["label", "annotation"] {
                let property = format!("spark.kubernetes.{role}.{kind}.{key}");
                cases.push((json!({ "sparkConf": { property: "x" } }), conf()));
            }
        }
    }
    for property in [
        "spark.kubernetes.driver.pod.name",
        "spark.kubernetes.executor.podNamePrefix",
        "spark.kubernetes.namespace",
    ] {
        cases.push((json!({ "sparkConf": { property: "x" } }), conf()));
    }
    cases
}

#[test]
fn parts_of_queues_and_members_keep_off_what_is_the_routers_or_sparks() {
    run(async {
        for part in ["defaults", "fixed"] {
            let cases: Vec<_> =
                cases().into_iter().map(|(patch, words)| (json!({ part: patch }), words)).collect();
            let cases: Vec<_> =
                cases.iter().map(|(patch, words)| (patch.clone(), words.as_deref())).collect();
            let queue = json!({ "routes": [{ "clusters": { "names": ["eu-1"] } }] });
            judge::<SparkQueue>(&format!("parts-{part}"), &queue, &cases).await;
            let member = json!({ "connection": { "inCluster": {} } });
            judge::<MemberCluster>(&format!("parts-{part}"), &member, &cases).await;
        }
    });
}
