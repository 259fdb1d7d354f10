//! The manifests in README and docs are taken as they are printed.

use super::*;

/// Every YAML block of a page that holds objects.
fn manifests(page: &str) -> Vec<String> {
    page.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("\n```").map(|(block, _)| block.to_owned()))
        .filter(|block| block.contains("apiVersion:"))
        .collect()
}

#[test]
fn manifests_in_the_documentation_are_taken() {
    run(async {
        let hub = hub().await;
        kubectl(hub, &["create", "namespace", "team-a"]).await;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (page, at_least) in
            [("README.md", 1), ("docs/queues.md", 2), ("docs/jobs.md", 1), ("docs/emr.md", 1)]
        {
            let manifests = manifests(&std::fs::read_to_string(root.join(page)).unwrap());
            assert!(manifests.len() >= at_least, "{page} has {} manifests", manifests.len());
            for (number, manifest) in manifests.iter().enumerate() {
                let file = hub.folder().join(format!("documented-{number}.yaml"));
                std::fs::write(&file, manifest).unwrap();
                let arguments =
                    ["create", "--dry-run=server", "--validate=strict", "-f", &file.to_string_lossy()];
                let answer = hub.kubectl(&arguments).await;
                assert!(answer.is_ok(), "{page}: {}\n{manifest}", chain(&answer.unwrap_err()));
            }
        }
    });
}
