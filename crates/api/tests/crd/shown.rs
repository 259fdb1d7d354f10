//! What kubectl shows and selects.

use super::*;

#[test]
fn kubectl_shows_what_is_promised() {
    run(async {
        create::<RoutedSparkJob>("shown", &job()).await.unwrap();
        let mut status = placed();
        merge(
            &mut status,
            &json!({ "reason": "Running", "message": "runs on eu-1",
                "application": { "id": "spark-1", "startedAt": "2026-01-01T00:00:00Z" } }),
        );
        set_status("shown", status).await;
        let hub = hub().await;
        let words = |text: &str, line: usize| -> Vec<String> {
            text.lines().nth(line).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let short = kubectl(hub, &["get", "rsj", "shown"]).await;
        assert_eq!(words(&short, 0), ["NAME", "QUEUE", "CLUSTER", "STATUS", "AGE"], "{short}");
        assert_eq!(words(&short, 1)[..4], ["shown", "etl", "eu-1", "Running"], "{short}");
        let wide = kubectl(hub, &["get", "rsj", "shown", "-o", "wide"]).await;
        let columns = "NAME QUEUE CLUSTER STATUS AGE REASON PRIORITY ATTEMPT APP-ID STARTED FINISHED MESSAGE";
        assert_eq!(words(&wide, 0).join(" "), columns, "{wide}");
        let row = words(&wide, 1);
        assert_eq!(row[5..9], ["Running", "0", "1", "spark-1"], "{wide}");
        assert!(wide.trim_end().ends_with("runs on eu-1"), "{wide}");
        for (what, header) in
            [("mc", "NAME READY STATE JOBS VERSION AGE"), ("sq", "NAME QUEUED ACTIVE READY AGE")]
        {
            let spec = if what == "mc" {
                create::<MemberCluster>("shown", &json!({ "connection": { "inCluster": {} } })).await
            } else {
                create::<SparkQueue>("shown", &json!({ "routes": [{ "clusters": { "names": ["a"] } }] }))
                    .await
            };
            spec.unwrap();
            let table = kubectl(hub, &["get", what, "shown"]).await;
            assert_eq!(words(&table, 0).join(" "), header, "{table}");
        }
        assert!(kubectl(hub, &["get", "all"]).await.contains("routedsparkjob.sparkrouter.dev/shown"));
        let ours = kubectl(hub, &["get", "sparkrouter", "-o", "name"]).await;
        for kind in ["routedsparkjob", "membercluster", "sparkqueue"] {
            assert!(ours.contains(&format!("{kind}.sparkrouter.dev/shown")), "{ours}");
        }
        let explained = kubectl(hub, &["explain", "rsj.spec.template.spec.sparkVersion"]).await;
        assert!(explained.contains("Only members that offer it"), "{explained}");
    });
}

#[test]
fn jobs_can_be_selected_by_queue_phase_and_cluster() {
    run(async {
        for (name, queue) in [("select-a", "select-1"), ("select-b", "select-2")] {
            let mut spec = job();
            merge(&mut spec, &json!({ "queue": queue }));
            create::<RoutedSparkJob>(name, &spec).await.unwrap();
        }
        let mut status = placed();
        merge(&mut status, &json!({ "phase": "SelectedPhase", "cluster": "selected-cluster" }));
        set_status("select-b", status).await;
        let api = api::<RoutedSparkJob>().await;
        for (selector, expected) in [
            ("spec.queue=select-1", "select-a"),
            ("status.phase=SelectedPhase", "select-b"),
            ("status.cluster=selected-cluster", "select-b"),
        ] {
            let found = api.list(&ListParams::default().fields(selector)).await.unwrap().items;
            let found: Vec<_> = found.iter().filter_map(|job| job.metadata.name.as_deref()).collect();
            assert_eq!(found, [expected], "{selector}");
        }
    });
}
