//! Spark itself, from PyPI.
//!
//! Purpose: [`ensure`] gives an installation of Spark with its Kubernetes parts and `spark-submit`, in a Python
//! environment of the cache folder (about 500 MB). Owns that folder; a file lock keeps two runs apart, and it gets its
//! name only when it is whole. It must never start a download before it knows that Java and Python are there.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, KubeflowOptions, MemberOptions, OperatorKind, tools};

/// The version that is installed.
pub const VERSION: &str = "4.0.1";

/// The oldest Java that Spark 4 runs on.
const JAVA: u32 = 17;

/// A Spark installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PySpark {
    home: PathBuf,
    python: PathBuf,
    java_home: PathBuf,
}

impl PySpark {
    /// `SPARK_HOME`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The Python interpreter that knows this Spark.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// `JAVA_HOME`.
    pub fn java_home(&self) -> &Path {
        &self.java_home
    }

    /// How the Kubeflow operator submits with it.
    pub fn submit(&self) -> crate::Submit {
        let environment = [
            ("JAVA_HOME".to_owned(), self.java_home.to_string_lossy().into_owned()),
            // Its launcher must not leave files in the machine's folder for temporary files.
            ("SPARK_LAUNCHER_OPTS".to_owned(), "-XX:-UsePerfData".to_owned()),
            ("SPARK_SUBMIT_OPTS".to_owned(), "-XX:-UsePerfData".to_owned()),
        ];
        crate::Submit::Spark { home: self.home.clone(), environment: environment.into() }
    }

    /// A member whose operator submits with it. It needs a [`crate::kubelet::Kubelet`] to run what is submitted.
    pub fn member(&self) -> MemberOptions {
        let operator = KubeflowOptions { submit: self.submit(), ..KubeflowOptions::default() };
        let operator = OperatorKind::Kubeflow(operator);
        MemberOptions { scheduler: true, operator, ..MemberOptions::default() }
    }
}

/// The manifest of what drivers need in a namespace to make their executors: the service account `spark`.
pub fn account(namespace: &str) -> String {
    ACCOUNT.replace("NAMESPACE", namespace)
}

const ACCOUNT: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: spark, namespace: NAMESPACE}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: spark, namespace: NAMESPACE}
rules:
- {apiGroups: [""], resources: [pods, services, configmaps, persistentvolumeclaims], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: spark, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: spark}
subjects: [{kind: ServiceAccount, name: spark, namespace: NAMESPACE}]
"#;

/// Says what is missing to run Spark (Java 17, Python 3.9 with venv), if anything is; starts nothing.
pub fn check() -> Result<(), Error> {
    java_home()?;
    python().map(drop)
}

/// For tests: whether Spark can run here. Where it can't, says why on stderr, so that the test can end there; an error
/// instead if `SPARK_ROUTER_REQUIRE_SPARK=1`, as CI sets it: nothing is skipped unseen.
pub fn wanted() -> Result<bool, Error> {
    match check() {
        Ok(()) => Ok(true),
        Err(error) if env::var("SPARK_ROUTER_REQUIRE_SPARK").is_ok_and(|value| value == "1") => Err(error),
        Err(error) => {
            eprintln!("skipped, because real Spark can't run here: {error}");
            Ok(false)
        }
    }
}

/// For tests: the installation, as of [`wanted`] and [`ensure`]; `None` where the test has to end.
pub async fn installed() -> Result<Option<PySpark>, Error> {
    if !wanted()? {
        return Ok(None);
    }
    let installing = tokio::task::spawn_blocking(|| ensure(&|line| eprintln!("{line}")));
    installing.await.map_err(|error| Error::PySpark(error.to_string()))?.map(Some)
}

/// The installation; makes it first if it is missing (a download of 434 MB, about a minute) and says so through
/// `report`. Blocks: call it from `spawn_blocking` in async code.
pub fn ensure(report: &dyn Fn(&str)) -> Result<PySpark, Error> {
    let java_home = java_home()?;
    let python = python()?;
    let cache = tools::cache()?;
    let folder = cache.join(format!("pyspark-{VERSION}"));
    if let Some(home) = home(&folder) {
        return Ok(PySpark { home, python: folder.join("bin/python3"), java_home });
    }
    fs::create_dir_all(&cache).map_err(Error::file("create", &cache))?;
    let path = cache.join(format!("pyspark-{VERSION}.lock"));
    let lock = File::create(&path).map_err(Error::file("create", &path))?;
    lock.lock().map_err(Error::file("lock", &path))?;
    if home(&folder).is_none() {
        install(&python, &cache, &folder, report)?;
    }
    let home =
        home(&folder).ok_or_else(|| Error::PySpark(format!("{} has no spark-submit", folder.display())))?;
    Ok(PySpark { home, python: folder.join("bin/python3"), java_home })
}

fn install(python: &Path, cache: &Path, folder: &Path, report: &dyn Fn(&str)) -> Result<(), Error> {
    report(&format!("installing pyspark {VERSION} from PyPI (434 MB, about a minute)"));
    let partial = cache.join(format!(".pyspark-{VERSION}.partial"));
    for stale in [&partial, &folder.to_path_buf()] {
        if stale.exists() {
            fs::remove_dir_all(stale).map_err(Error::file("remove", stale))?;
        }
    }
    run(Command::new(python).args(["-m", "venv"]).arg(&partial))?;
    let requirement = format!("pyspark=={VERSION}");
    run(Command::new(partial.join("bin/python3")).args([
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--quiet",
        &requirement,
    ]))?;
    // A Python environment finds itself by its own place, so it may be renamed; only its scripts may not, and Spark
    // needs none of them.
    fs::rename(&partial, folder).map_err(Error::file("rename the Python environment to", folder))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let words = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(Error::process("run", &words))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::PySpark(format!("{words} failed:\n{}", String::from_utf8_lossy(&said).trim())))
}

/// `SPARK_HOME` below a Python environment, whatever Python made it.
fn home(folder: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(folder.join("lib")).ok()?;
    let homes = versions.flatten().map(|entry| entry.path().join("site-packages/pyspark"));
    homes.into_iter().find(|home| home.join("bin/spark-submit").is_file())
}

pub(crate) fn python() -> Result<PathBuf, Error> {
    let program = PathBuf::from("python3");
    let asked = Command::new(&program)
        .args(["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))"])
        .stdin(Stdio::null())
        .output();
    match asked {
        Ok(output) if output.status.success() => Ok(program),
        Ok(_) => {
            Err(Error::Python("python3 is older than 3.9 or lacks the modules venv and ensurepip".to_owned()))
        }
        Err(error) => Err(Error::Python(format!("python3 can't be run: {error}"))),
    }
}

/// The home of the Java that would run: `JAVA_HOME`, else of `java` on the path.
fn java_home() -> Result<PathBuf, Error> {
    let program = env::var_os("JAVA_HOME")
        .filter(|value| !value.is_empty())
        .map_or_else(|| PathBuf::from("java"), |home| PathBuf::from(home).join("bin/java"));
    home_of(&program)
}

fn home_of(program: &Path) -> Result<PathBuf, Error> {
    let output = Command::new(program)
        .args(["-XshowSettings:properties", "-version"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::Java(format!("{} can't be run: {error}", program.display())))?;
    home_in(&String::from_utf8_lossy(&output.stderr), program)
}

/// From what Java says about itself.
fn home_in(text: &str, program: &Path) -> Result<PathBuf, Error> {
    let found = property(text, "java.specification.version").unwrap_or_default();
    if major(found).is_none_or(|major| major < JAVA) {
        return Err(Error::Java(format!("{} is version {found}", program.display())));
    }
    let home = property(text, "java.home").map(PathBuf::from);
    home.ok_or_else(|| Error::Java(format!("{} doesn't say where it is installed", program.display())))
}

fn property<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='))
        .map(str::trim)
}

/// 8 calls itself 1.8.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix("1.").unwrap_or(version).split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{home_in, home_of, major, property};

    #[test]
    fn java_that_is_missing_or_old_is_named_with_what_to_do() {
        let missing = home_of(Path::new("/nowhere/bin/java")).unwrap_err().to_string();
        for part in ["/nowhere/bin/java can't be run", "needs Java 17", "install it", "JAVA_HOME"] {
            assert!(missing.contains(part), "{missing}");
        }
        let text = "    java.home = /opt/java\n    java.specification.version = 11\n";
        let old = home_in(text, Path::new("java")).unwrap_err().to_string();
        assert!(old.contains("is version 11") && old.contains("needs Java 17"), "{old}");
    }

    #[test]
    fn java_versions() {
        assert_eq!(
            (major("17"), major("1.8"), major("21.0.2"), major("")),
            (Some(17), Some(8), Some(21), None)
        );
    }

    #[test]
    fn properties_of_java() {
        let text =
            "Property settings:\n    java.home = /usr/lib/jvm/java-17\n    java.specification.version = 17\n";
        assert_eq!(property(text, "java.home"), Some("/usr/lib/jvm/java-17"));
        assert_eq!(property(text, "java.specification.version"), Some("17"));
        assert_eq!(property(text, "java"), None);
    }
}
