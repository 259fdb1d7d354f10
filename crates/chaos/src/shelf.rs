//! Evidence as files, so that a verdict can be found again, and the oracle improved, without the run.
//!
//! Owns no state. A folder holds `run.json` and, for each control plane, `objects.json` and a copy of `audit.log`. It must
//! never leave out what the oracle was given: what is read back is judged the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::evidence::{Backend, Evidence, Injected, Side, Submitted};

/// `run.json`: all but objects and audit logs.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    jobs: Vec<Submitted>,
    hub: Plane,
    members: Vec<Plane>,
    sweep_within_seconds: u64,
    faults: Vec<Injected>,
    lost_after_seconds: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plane {
    name: String,
    #[serde(default)]
    backend: Backend,
    operator_doubled: BTreeSet<String>,
}

impl Evidence {
    /// Writes everything into a folder, audit logs included, and creates it where it is missing.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let plane = |side: &Side| Plane {
            name: side.name.clone(),
            backend: side.backend,
            operator_doubled: side.operator_doubled.clone(),
        };
        let run = Run {
            jobs: self.jobs.clone(),
            hub: plane(&self.hub),
            members: self.members.iter().map(plane).collect(),
            sweep_within_seconds: self.sweep_within.as_secs(),
            faults: self.faults.clone(),
            lost_after_seconds: self.lost_after.as_secs(),
        };
        put(&folder.join("run.json"), &run)?;
        write_side(&folder.join("hub"), &self.hub)?;
        for member in &self.members {
            write_side(&member_folder(folder, &member.name)?, member)?;
        }
        Ok(())
    }

    /// Reads what [`Self::write`] wrote. The audit logs are read where they lie.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let run: Run = get(&folder.join("run.json"))?;
        let mut members = Vec::with_capacity(run.members.len());
        for plane in run.members {
            let folder = member_folder(folder, &plane.name)?;
            members.push(read_side(&folder, plane)?);
        }
        Ok(Self {
            jobs: run.jobs,
            hub: read_side(&folder.join("hub"), run.hub)?,
            members,
            sweep_within: Duration::from_secs(run.sweep_within_seconds),
            faults: run.faults,
            lost_after: Duration::from_secs(run.lost_after_seconds),
        })
    }
}

fn member_folder(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_label) {
        return Err(Error::FolderName(name.to_owned()));
    }
    Ok(folder.join("members").join(name))
}

fn write_side(folder: &Path, side: &Side) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    put(&folder.join("objects.json"), &side.objects)?;
    let target = folder.join("audit.log");
    let real = |path: &Path| fs::canonicalize(path).ok();
    if real(&side.audit).is_some_and(|source| real(&target) == Some(source)) {
        // It was read from here.
        return Ok(());
    }
    fs::copy(&side.audit, &target).map(drop).map_err(Error::file("copy", &side.audit))
}

fn read_side(folder: &Path, plane: Plane) -> Result<Side, Error> {
    let objects: Vec<Value> = get(&folder.join("objects.json"))?;
    let audit = folder.join("audit.log");
    fs::metadata(&audit).map_err(Error::file("read", &audit))?;
    let Plane { name, backend, operator_doubled } = plane;
    Ok(Side { name, backend, audit, objects, operator_doubled })
}

fn put(path: &Path, content: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(content)
        .map_err(|source| Error::Content { path: path.to_owned(), source })?;
    fs::write(path, text).map_err(Error::file("write", path))
}

fn get<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(Error::file("read", path))?;
    serde_json::from_slice(&text).map_err(|source| Error::Content { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::Meant;
    use crate::fault::Kind;

    fn evidence(audit: &Path) -> Evidence {
        let side = |name: &str, doubled: &[&str]| Side {
            name: name.to_owned(),
            backend: if doubled.is_empty() { Backend::EmrContainers } else { Backend::Kubeflow },
            audit: audit.to_owned(),
            objects: vec![json!({"kind": "Pod", "metadata": {"name": name}})],
            operator_doubled: doubled.iter().map(|uid| (*uid).to_owned()).collect(),
        };
        let job = Submitted {
            namespace: "team".to_owned(),
            name: "pi".to_owned(),
            uid: "u".to_owned(),
            meant: Meant::RunOn,
            deleted: true,
            cancelled: false,
            duplicates_allowed: true,
        };
        let fault = Injected {
            kind: Kind::MemberLost,
            member: Some("m1".to_owned()),
            alone: true,
            from: "2026-01-01T00:00:00.5Z".parse().unwrap(),
            to: "2026-01-01T00:00:06Z".parse().unwrap(),
        };
        Evidence {
            jobs: vec![job],
            hub: side("hub", &[]),
            members: vec![side("m1", &["a", "b"]), side("hub", &[])],
            sweep_within: Duration::from_mins(20),
            faults: vec![fault],
            lost_after: Duration::from_secs(3),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("somewhere.log");
        fs::write(&log, "{}\n").unwrap();
        let (before, shelf) = (evidence(&log), folder.path().join("kept"));
        before.write(&shelf).unwrap();
        fs::remove_file(&log).unwrap();
        let after = Evidence::read(&shelf).unwrap();
        assert_eq!(after.jobs, before.jobs);
        assert_eq!(after.sweep_within, before.sweep_within);
        assert_eq!((&after.faults, after.lost_after), (&before.faults, before.lost_after));
        let sides = |evidence: &Evidence| {
            let all = std::iter::once(&evidence.hub).chain(&evidence.members);
            all.map(|side| {
                (side.name.clone(), side.backend, side.objects.clone(), side.operator_doubled.clone())
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(sides(&after), sides(&before));
        for side in std::iter::once(&after.hub).chain(&after.members) {
            assert_eq!(fs::read_to_string(&side.audit).unwrap(), "{}\n");
        }
        // Written once more into its own folder, nothing is lost.
        after.write(&shelf).unwrap();
        let again = Evidence::read(&shelf).unwrap();
        assert_eq!(
            (sides(&again), fs::read_to_string(&again.hub.audit).unwrap()),
            (sides(&before), "{}\n".to_owned())
        );
    }

    #[test]
    fn a_missing_log_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let lacking = evidence(&folder.path().join("nowhere.log"));
        assert!(matches!(lacking.write(folder.path()), Err(Error::File { action: "copy", .. })));
        let mut odd = lacking;
        odd.members[0].name = "../m1".to_owned();
        fs::write(folder.path().join("nowhere.log"), "").unwrap();
        assert!(matches!(odd.write(folder.path()), Err(Error::FolderName(_))));
    }
}
