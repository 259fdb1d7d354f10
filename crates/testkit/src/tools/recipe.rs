//! What is built from where: the tables behind [`super::ensure`].
//!
//! Purpose: data only. Owns no state. It must never name a version: versions live in `tools/*/go.mod` alone.

/// One Go module of `tools/`, embedded so that the version hash and the build never read a stale checkout.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
}

macro_rules! module {
    ($name:literal) => {
        Module {
            name: $name,
            go_mod: include_str!(concat!("../../../../tools/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../../../../tools/", $name, "/go.sum")),
        }
    };
}

/// What is built and kept together: its folder is named by a hash of all of it.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) modules: &'static [Module],
    /// In build order.
    pub(super) programs: &'static [Program],
    pub(super) files: &'static [Copied],
}

/// What nearly every test needs.
pub(super) const CONTROL_PLANES: Set = Set {
    modules: &[module!("etcd"), module!("kubernetes"), module!("spark-operator"), module!("kwok")],
    programs: PROGRAMS,
    files: FILES,
};

/// A batch scheduler, for the tests that run it.
pub(super) const YUNIKORN: Set = Set {
    modules: &[module!("yunikorn")],
    programs: &[program("yunikorn", "yunikorn", "github.com/apache/yunikorn-k8shim/pkg/cmd/shim", 240)],
    files: &[],
};

/// A batch scheduler, for the tests that run it.
pub(super) const KUEUE: Set = Set {
    modules: &[module!("kueue")],
    programs: &[program("kueue", "kueue", "sigs.k8s.io/kueue/cmd/kueue", 290)],
    files: KUEUE_CRDS,
};

/// One binary.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    /// The module in [`Set::modules`].
    pub(super) module: &'static str,
    /// The Go main package.
    pub(super) package: &'static str,
    /// Seconds on 2 cores with nothing cached: for the progress line only.
    pub(super) seconds: u64,
}

const fn program(name: &'static str, module: &'static str, package: &'static str, seconds: u64) -> Program {
    Program { name, module, package, seconds }
}

/// In build order: what most tests need comes first.
const PROGRAMS: &[Program] = &[
    program("etcd", "etcd", "go.etcd.io/etcd/server/v3", 45),
    program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", 240),
    program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", 25),
    program("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", 60),
    program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", 20),
    program("spark-operator", "spark-operator", "github.com/kubeflow/spark-operator/v2/cmd/operator", 120),
    program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", 80),
];

/// What a `KUBEBUILDER_ASSETS` folder holds.
pub(super) const IN_ASSETS: &[&str] = &["etcd", "kube-apiserver", "kubectl"];

/// One file copied out of the Go module cache, because tests need it at run time.
#[derive(Debug)]
pub(super) struct Copied {
    /// Its name in our folder. A CRD that ends in `.json` is written without its descriptions: they are six sevenths
    /// of the Spark operator's, change nothing for a program, and cost an API server seconds and 150 MB.
    pub(super) name: &'static str,
    /// The module in [`Set::modules`] that requires `source_module`.
    pub(super) module: &'static str,
    /// The Go module that holds it.
    pub(super) source_module: &'static str,
    /// The path inside that module.
    pub(super) path: &'static str,
}

const fn crd(name: &'static str, path: &'static str) -> Copied {
    Copied { name, module: "spark-operator", source_module: "github.com/kubeflow/spark-operator/v2", path }
}

const fn kwok(name: &'static str, path: &'static str) -> Copied {
    Copied { name, module: "kwok", source_module: "sigs.k8s.io/kwok", path }
}

pub(super) const SPARK_OPERATOR_CRDS: &[&str] =
    &["sparkapplications.json", "scheduledsparkapplications.json", "sparkconnects.json"];

const FILES: &[Copied] = &[
    crd("sparkapplications.json", "config/crd/bases/sparkoperator.k8s.io_sparkapplications.yaml"),
    crd(
        "scheduledsparkapplications.json",
        "config/crd/bases/sparkoperator.k8s.io_scheduledsparkapplications.yaml",
    ),
    crd("sparkconnects.json", "config/crd/bases/sparkoperator.k8s.io_sparkconnects.yaml"),
    kwok("node-initialize.yaml", "kustomize/stage/node/fast/node-initialize.yaml"),
    kwok("kwok-logs-crd.json", "kustomize/crd/bases/kwok.x-k8s.io_logs.yaml"),
];

const fn kueue(name: &'static str, path: &'static str) -> Copied {
    Copied { name, module: "kueue", source_module: "sigs.k8s.io/kueue", path }
}

/// All of Kueue's CRDs: it does not start without any of them.
const KUEUE_CRDS: &[Copied] = &[
    kueue("admissionchecks.json", "config/components/crd/bases/kueue.x-k8s.io_admissionchecks.yaml"),
    kueue("clusterqueues.json", "config/components/crd/bases/kueue.x-k8s.io_clusterqueues.yaml"),
    kueue("cohorts.json", "config/components/crd/bases/kueue.x-k8s.io_cohorts.yaml"),
    kueue("localqueues.json", "config/components/crd/bases/kueue.x-k8s.io_localqueues.yaml"),
    kueue("multikueueclusters.json", "config/components/crd/bases/kueue.x-k8s.io_multikueueclusters.yaml"),
    kueue("multikueueconfigs.json", "config/components/crd/bases/kueue.x-k8s.io_multikueueconfigs.yaml"),
    kueue(
        "provisioningrequestconfigs.json",
        "config/components/crd/bases/kueue.x-k8s.io_provisioningrequestconfigs.yaml",
    ),
    kueue("resourceflavors.json", "config/components/crd/bases/kueue.x-k8s.io_resourceflavors.yaml"),
    kueue("topologies.json", "config/components/crd/bases/kueue.x-k8s.io_topologies.yaml"),
    kueue(
        "workloadpriorityclasses.json",
        "config/components/crd/bases/kueue.x-k8s.io_workloadpriorityclasses.yaml",
    ),
    kueue("workloads.json", "config/components/crd/bases/kueue.x-k8s.io_workloads.yaml"),
];
