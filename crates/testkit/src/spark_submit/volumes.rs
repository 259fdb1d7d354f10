//! The volumes that Spark gives its pods.
//!
//! Purpose: the folder for shuffle files, and the ConfigMaps by their names. Owns no state. It must never make the
//! ConfigMaps themselves: on KWOK's nodes nobody mounts them, and they would be three more writes for each job.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EmptyDirVolumeSource, KeyToPath, PodSpec, Volume, VolumeMount,
};

/// Volumes of this prefix hold Spark's shuffle files; a template may bring its own.
const LOCAL: &str = "spark-local-dir-";

/// Gives the container number `index` a folder for shuffle files, unless the template did; returns all such folders as
/// `SPARK_LOCAL_DIRS` names them. `unique` are 32 hexadecimal digits.
pub(super) fn local_folders(spec: &mut PodSpec, index: usize, unique: &str) -> String {
    let Some(container) = spec.containers.get_mut(index) else { return String::new() };
    let mounts = container.volume_mounts.get_or_insert_default();
    let given: Vec<_> = mounts.iter().filter(|it| it.name.starts_with(LOCAL)).collect();
    if !given.is_empty() {
        return given.iter().map(|mount| mount.mount_path.as_str()).collect::<Vec<_>>().join(",");
    }
    let path = format!("/var/data/spark-{}", uuid(unique));
    let name = format!("{LOCAL}1");
    mounts.push(mount(&name, &path));
    let empty_dir = Some(EmptyDirVolumeSource::default());
    spec.volumes.get_or_insert_default().push(Volume { name, empty_dir, ..Volume::default() });
    path
}

/// A ConfigMap volume and where it is mounted.
pub(super) struct Map<'a> {
    /// The name of the volume.
    pub(super) volume: &'a str,
    /// Where it is mounted.
    pub(super) path: &'a str,
    /// The name of the ConfigMap.
    pub(super) name: String,
    /// Key, file and mode of what is taken from it; all of it if empty.
    pub(super) items: &'a [(&'a str, &'a str, Option<i32>)],
}

impl Map<'_> {
    /// Adds it to a pod and one of its containers.
    pub(super) fn add(self, spec: &mut PodSpec, index: usize) {
        let Self { volume, path, name, items } = self;
        if let Some(Container { volume_mounts, .. }) = spec.containers.get_mut(index) {
            volume_mounts.get_or_insert_default().push(mount(volume, path));
        }
        let items = items.iter().map(|(key, path, mode)| KeyToPath {
            key: (*key).to_owned(),
            path: (*path).to_owned(),
            mode: *mode,
        });
        let items: Vec<_> = items.collect();
        let items = (!items.is_empty()).then_some(items);
        let config_map =
            Some(ConfigMapVolumeSource { name, items, default_mode: Some(0o644), ..Default::default() });
        let volume = Volume { name: volume.to_owned(), config_map, ..Volume::default() };
        spec.volumes.get_or_insert_default().push(volume);
    }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

/// 32 digits in the usual groups.
fn uuid(digits: &str) -> String {
    let group = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let groups = [group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32)];
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> PodSpec {
        PodSpec { containers: vec![Container::default()], ..PodSpec::default() }
    }

    #[test]
    fn a_template_may_bring_its_own_folders() {
        let unique = "0123456789abcdef0123456789abcdef";
        let mut plain = spec();
        let expected = "/var/data/spark-01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(local_folders(&mut plain, 0, unique), expected);
        assert_eq!(plain.volumes.unwrap().len(), 1);
        let mut given = spec();
        given.containers[0].volume_mounts = Some(vec![mount("spark-local-dir-a", "/fast"), mount("x", "/x")]);
        assert_eq!(local_folders(&mut given, 0, unique), "/fast");
        assert_eq!(given.volumes, None);
    }
}
