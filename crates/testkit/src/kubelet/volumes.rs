//! Volumes as folders.
//!
//! Purpose: make emptyDir and ConfigMap volumes, and say where each mount path is. Owns the pod's `volumes` folder. It
//! must never start a pod before its ConfigMaps exist: Spark creates the driver pod first and them after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, Container, PodSpec};
use kube::{Api, Client};

use super::rewrite::Paths;

/// Between two looks for a ConfigMap that is not there yet.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the container's paths are. The error is for the pod's status.
pub(super) async fn mount(
    client: &Client,
    namespace: &str,
    spec: &PodSpec,
    container: &Container,
    folder: &Path,
    paths: &mut Paths,
) -> Result<(), String> {
    let mut maps = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        let place = folder.join(&volume.name);
        fs::create_dir_all(&place).map_err(|error| format!("can't create a folder for a volume: {error}"))?;
        match (&volume.empty_dir, &volume.config_map) {
            (Some(_), None) => {}
            (None, Some(source)) => maps.push((source, place)),
            _ => return Err(format!("volume {} is neither an emptyDir nor a ConfigMap", volume.name)),
        }
    }
    for mount in container.volume_mounts.iter().flatten() {
        if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
            return Err(format!("the mount of volume {} has a subPath", mount.name));
        }
        paths.add(&mount.mount_path, &folder.join(&mount.name).to_string_lossy());
    }
    let api = Api::namespaced(client.clone(), namespace);
    for (source, place) in maps {
        for (file, text) in texts(&api, source).await? {
            let written = fs::write(place.join(&file), paths.apply(&text));
            written.map_err(|error| format!("can't write {file} of ConfigMap {}: {error}", source.name))?;
        }
    }
    Ok(())
}

async fn texts(
    api: &Api<ConfigMap>,
    source: &ConfigMapVolumeSource,
) -> Result<BTreeMap<String, String>, String> {
    let data = loop {
        match api.get_opt(&source.name).await {
            Ok(Some(map)) => break map.data.unwrap_or_default(),
            Ok(None) if source.optional == Some(true) => return Ok(BTreeMap::new()),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "reading a ConfigMap is tried again"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let Some(items) = &source.items else { return Ok(data) };
    let item = |key: &String, path: &String| {
        let text = data.get(key).ok_or_else(|| format!("ConfigMap {} has no key {key}", source.name))?;
        Ok((path.clone(), text.clone()))
    };
    items.iter().map(|it| item(&it.key, &it.path)).collect()
}
