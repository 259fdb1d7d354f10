//! Statuses: written and read whole, and never over a newer one.

use super::*;

#[test]
fn the_types_write_and_read_what_the_server_keeps() {
    run(async {
        create::<RoutedSparkJob>("typed", &job()).await.unwrap();
        let api: Api<RoutedSparkJob> = Api::namespaced(hub().await.client(), "default");
        let job = api.get("typed").await.unwrap();
        assert_eq!(job.status.as_ref().unwrap().observed_generation, Some(spark_router_api::UNOBSERVED));
        let mut status = full_status();
        status.observed_generation = job.metadata.generation;
        let body = |version: &Option<String>, status: &RoutedSparkJobStatus| {
            json!({
                "apiVersion": spark_router_api::API_VERSION, "kind": "RoutedSparkJob",
                "metadata": { "name": "typed", "resourceVersion": version }, "status": status,
            })
        };
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let written = body(&job.metadata.resource_version, &status);
        let stored = api.patch_status("typed", &params, &Patch::Apply(&written)).await.unwrap();
        assert_eq!(stored.status.as_ref(), Some(&status));

        // The very same content again is no write; from an old version it is refused.
        let again = body(&stored.metadata.resource_version, &status);
        let same = api.patch_status("typed", &params, &Patch::Apply(&again)).await.unwrap();
        assert_eq!(same.metadata.resource_version, stored.metadata.resource_version);
        status.phase = Some("Succeeded".to_owned());
        let stale = body(&job.metadata.resource_version, &status);
        match api.patch_status("typed", &params, &Patch::Apply(&stale)).await.unwrap_err() {
            kube::Error::Api(status) => assert!(status.is_conflict(), "{status:?}"),
            other => panic!("{other}"),
        }
        kubectl(hub().await, &["wait", "--for=condition=Finished", "--timeout=10s", "rsj/typed"]).await;
    });
}

/// Writes a status as the router does and expects every field of it back.
async fn round_trip<K>(name: &str, status: Value)
where
    K: kube::Resource<DynamicType = ()>,
{
    let api = api::<K>().await;
    let body = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": name }, "status": status,
    });
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let stored = api.patch_status(name, &params, &Patch::Apply(&body)).await.unwrap();
    assert_eq!(stored.data["status"], status);
}

#[test]
fn the_statuses_of_members_and_queues_are_kept_whole() {
    run(async {
        let ready = json!({
            "type": condition::READY, "status": "True", "reason": "Ready", "message": "takes jobs",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        });
        let member = json!({
            "observedGeneration": 1, "conditions": [ready], "identity": "id", "state": "Suspect",
            "unansweredSince": "2026-01-01T00:00:00Z", "lastProbeTime": "2026-01-01T00:00:00Z",
            "serverVersion": "v1.36.3", "operatorVersion": "2.5.2", "activeJobs": 3,
            "ledger": { "jobs": 3, "pods": 9, "cpuMilli": 9000, "memoryBytes": 1 },
            "queues": [
                { "name": "etl", "placed": { "jobs": 1, "pods": 3, "cpuMilli": 3000, "memoryBytes": 1 }, "signals": [{
                    "source": "YuniKorn", "name": "root.etl", "freeCpuMilli": 500, "freeMemoryBytes": 2, "freePods": 3, "freeJobs": 4,
                    "observedAt": "2026-01-01T00:00:00Z", "stale": true, "message": "503",
                }] },
                { "name": "adhoc", "placed": { "jobs": 2, "pods": 6, "cpuMilli": 6000, "memoryBytes": 0 } },
            ],
            "abandoned": [{ "jobUid": "u", "attempt": 1, "namespace": "n", "remoteName": "r", "at": "2026-01-01T00:00:00Z" }],
        });
        let typed: MemberClusterStatus = serde_json::from_value(member.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), member);
        create::<MemberCluster>("whole", &json!({ "connection": { "inCluster": {} } })).await.unwrap();
        round_trip::<MemberCluster>("whole", member).await;

        let queue = json!({
            "observedGeneration": 1, "conditions": [ready], "queued": 1, "active": 2, "seq": 7,
            "credits": [{ "cluster": "a", "credit": "-1/3" }, { "cluster": "b", "credit": "1/3" }], "creditsSeq": 5,
            "clusters": [{ "name": "a", "weight": 2, "placed": 5, "expected": "4.67" }],
            "restored": { "before": "2026-01-01T00:00:00Z", "knownSeq": 7, "seq": 9, "signs": [{
                "cluster": "a", "namespace": "n", "remoteName": "r", "jobNamespace": "team", "jobName": "j", "jobUid": "u",
                "attempt": 1, "seq": 9, "jobExists": true, "over": false,
            }] },
        });
        let typed: SparkQueueStatus = serde_json::from_value(queue.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), queue);
        create::<SparkQueue>("whole", &json!({ "routes": [{ "clusters": { "names": ["a"] } }] }))
            .await
            .unwrap();
        round_trip::<SparkQueue>("whole", queue).await;
    });
}

/// A status with every field set.
fn full_status() -> RoutedSparkJobStatus {
    let status: RoutedSparkJobStatus = serde_json::from_value(json!({
        "observedGeneration": 1, "phase": "Failed", "reason": "JobFailed", "message": "it failed", "conditions": [{
            "type": condition::FINISHED, "status": "True", "reason": "JobFailed", "message": "it failed",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        }],
        "specHash": "abc", "cluster": "eu-1", "attempt": 2,
        "placement": {
            "cluster": "eu-1", "memberIdentity": "id", "attempt": 2, "namespace": "default", "remoteName": "r", "remoteUid": "u",
            "queue": "etl", "remoteQueue": "root.etl", "tier": 1, "seq": 9_007_199_254_740_993_i64, "excluded": ["us-1"], "at": "2026-01-01T00:00:00Z",
            "demand": { "jobs": 1, "pods": 3, "cpuMilli": 3000, "memoryBytes": 1_099_511_627_776_i64 },
            "renderHash": "def", "claims": 1, "why": "least served",
        },
        "retries": 1, "notBefore": "2026-01-01T00:00:03Z", "waitingSince": "2026-01-01T00:00:02Z",
        "stopping": { "reason": "Cancelled", "message": "asked for", "at": "2026-01-01T00:00:02Z" },
        "refusals": [{ "cluster": "us-1", "reason": "RejectedByMember", "message": "no", "at": "2026-01-01T00:00:00Z" }],
        "application": {
            "state": "FAILED", "id": "spark-1", "submissionId": "s", "submittedAt": "2026-01-01T00:00:00Z",
            "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:02Z", "attempts": 1,
            "executors": { "pending": 1, "running": 2, "completed": 3, "failed": 4 }, "driverPod": "r-driver",
            "links": { "ui": "https://a", "history": "https://b", "logs": "https://c" }, "error": "boom",
        },
        "history": [{
            "attempt": 1, "cluster": "us-1", "memberIdentity": "id", "namespace": "spark", "remoteName": "q", "remoteUid": "u",
            "left": "MayRun", "outcome": "Withdrawn", "reason": "QuotaExceeded",
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z",
        }],
    }))
    .unwrap();
    status
}
