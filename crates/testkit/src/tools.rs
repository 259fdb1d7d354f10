//! The programs that tests and the demo run against, built once from Go modules into a cache folder.
//!
//! Purpose: [`ensure`] makes `<cache>/tools/<version>/bin/*` complete and returns the paths; what only few tests need is
//! a [`Set`] of its own. Owns those folders; a file lock keeps two runs apart, and every binary is renamed into place
//! when it is whole, so an interrupted run goes on where it stopped. It must never leave a half-written binary under its
//! final name.
//!
//! There is one Go module per program (`tools/<name>/go.mod`), not one for all: the `replace` lines of the programs
//! contradict each other, so a common module does not resolve.
//!
//! `KUBEBUILDER_ASSETS`, where set, gives etcd, kube-apiserver and kubectl; they are then not built.

mod build;
mod recipe;

use std::env;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Error;

/// Programs that are built and kept together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// What nearly every test needs: etcd, Kubernetes, the Spark operator, KWOK.
    ControlPlanes,
    /// YuniKorn.
    YuniKorn,
    /// Kueue.
    Kueue,
}

impl Set {
    /// All sets; the one that nearly every test needs first.
    pub const ALL: [Self; 3] = [Self::ControlPlanes, Self::YuniKorn, Self::Kueue];

    fn recipe(self) -> &'static recipe::Set {
        match self {
            Self::ControlPlanes => &recipe::CONTROL_PLANES,
            Self::YuniKorn => &recipe::YUNIKORN,
            Self::Kueue => &recipe::KUEUE,
        }
    }
}

/// Where the built programs of a set are. Cheap to clone; says nothing about processes.
#[derive(Debug, Clone)]
pub struct Tools {
    folder: PathBuf,
    assets: Option<PathBuf>,
    set: &'static recipe::Set,
}

impl Tools {
    /// The folder of this version.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a program: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubectl`,
    /// `spark-operator`, `kwok`; in sets of their own `yunikorn` and `kueue`.
    pub fn program(&self, name: &str) -> PathBuf {
        if let Some(assets) = &self.assets {
            let given = assets.join(name);
            if recipe::IN_ASSETS.contains(&name) && given.is_file() {
                return given;
            }
        }
        self.folder.join("bin").join(name)
    }

    /// A file that was copied out of a program's sources: the names of [`Self::spark_operator_crds`] and the like.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join("files").join(name)
    }

    /// The three CRDs of the Kubeflow operator; it does not start without all of them.
    pub fn spark_operator_crds(&self) -> Vec<PathBuf> {
        recipe::SPARK_OPERATOR_CRDS.iter().map(|name| self.file(name)).collect()
    }

    /// All files that were copied out of the sources of this set.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.set.files.iter().map(|file| self.file(file.name)).collect()
    }

    fn missing(&self) -> Option<PathBuf> {
        let programs = self.set.programs.iter().map(|program| self.program(program.name));
        let files = self.set.files.iter().map(|file| self.file(file.name));
        programs.chain(files).find(|path| !path.is_file())
    }
}

/// `<cache>/spark-router`: `SPARK_ROUTER_CACHE` itself, else below `XDG_CACHE_HOME` or `~/.cache`.
pub fn cache() -> Result<PathBuf, Error> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SPARK_ROUTER_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|path| path.join("spark-router")))
        .or_else(|| set("HOME").map(|path| path.join(".cache/spark-router")))
        .ok_or(Error::NoCache)
}

/// The folder of this version of a set, built or not. Its name is a hash of the set's part of `tools/` and of its recipe.
pub fn folder(set: Set) -> Result<PathBuf, Error> {
    let recipe = set.recipe();
    let mut hash = Sha256::new();
    for module in recipe.modules {
        hash.update(format!("{}\n{}\n{}\n", module.name, module.go_mod, module.go_sum));
    }
    hash.update(format!("{:?}{:?}", recipe.programs, recipe.files));
    let name = data_encoding::HEXLOWER.encode(&hash.finalize());
    Ok(cache()?.join("tools").join(name.get(..12).unwrap_or(&name)))
}

/// The programs that nearly every test needs, if all are there; does not build.
pub fn find() -> Result<Tools, Error> {
    let tools = at_folder(Set::ControlPlanes)?;
    match tools.missing() {
        None => Ok(tools),
        Some(path) => Err(Error::ToolMissing { path }),
    }
}

/// [`ensure_set`] of the programs that nearly every test needs.
pub fn ensure(report: &dyn Fn(&str)) -> Result<Tools, Error> {
    ensure_set(Set::ControlPlanes, report)
}

/// The programs of a set; builds what is missing and reports each step, with the minutes to expect, through `report`.
/// Blocks for the whole build: call it from `spawn_blocking` in async code.
pub fn ensure_set(set: Set, report: &dyn Fn(&str)) -> Result<Tools, Error> {
    let tools = at_folder(set)?;
    if tools.missing().is_some() {
        build::run(&tools, report)?;
    }
    match tools.missing() {
        None => Ok(tools),
        Some(path) => Err(Error::ToolMissing { path }),
    }
}

/// [`ensure_set`] without holding up other tasks; reports on stderr.
pub(crate) async fn built(set: Set) -> Result<Tools, Error> {
    let built = tokio::task::spawn_blocking(move || ensure_set(set, &|line| eprintln!("{line}"))).await;
    built.map_err(|error| Error::Manifest(format!("the build was cut off: {error}")))?
}

fn at_folder(set: Set) -> Result<Tools, Error> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from);
    Ok(Tools { folder: folder(set)?, assets, set: set.recipe() })
}
