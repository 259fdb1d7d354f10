//! What Spark's container image does at its start, done here.
//!
//! Purpose: the entry point of the image in terms of a local installation. Owns no state. It must never add Spark
//! options beyond those that a process without a cluster network needs.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use super::command::Words;
use crate::pyspark::PySpark;

/// Java 17 hides what Spark's entry point opens.
const OPENS: [&str; 3] = ["java.base/java.lang", "java.base/java.nio", "java.base/sun.nio.ch"];

/// Where a container runs.
pub(super) struct Place<'a> {
    pub(super) spark: &'a PySpark,
    pub(super) address: Ipv4Addr,
    /// The API server, `https://host:port`.
    pub(super) server: &'a str,
    /// With the token of the pod's service account.
    pub(super) kubeconfig: &'a Path,
    pub(super) work: &'a Path,
    pub(super) temporary: &'a Path,
}

/// The command for a container of Spark's image.
pub(super) fn command(words: &Words, place: &Place<'_>) -> Result<Command, String> {
    let mut command = match (words.command.split_first(), words.arguments.split_first()) {
        (Some((program, first)), _) => plain(program, first, &words.arguments),
        (None, Some((role, rest))) if role == "driver" => driver(rest, place),
        (None, Some((role, _))) if role == "executor" => executor(words, place)?,
        (None, Some((program, rest))) => plain(program, rest, &[]),
        (None, None) => return Err("the container has neither command nor arguments".to_owned()),
    };
    for (key, value) in &words.environment {
        command.env(key, value);
    }
    let quiet = format!("-XX:-UsePerfData -Djava.io.tmpdir={}", place.temporary.display());
    let address = place.address.to_string();
    command
        .env("SPARK_HOME", place.spark.home())
        .env("JAVA_HOME", place.spark.java_home())
        .env("PYSPARK_PYTHON", place.spark.python())
        .env("PYSPARK_DRIVER_PYTHON", place.spark.python())
        .env("SPARK_LOCAL_IP", address)
        .env("KUBECONFIG", place.kubeconfig)
        .env("HOME", place.work)
        .env("TMPDIR", place.temporary)
        // Whatever is killed must leave nothing outside of the pod's folder.
        .env("SPARK_LAUNCHER_OPTS", &quiet)
        .env("SPARK_SUBMIT_OPTS", &quiet)
        .env_remove("PYTHONPATH")
        .current_dir(place.work);
    Ok(command)
}

fn plain(program: &str, first: &[String], rest: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(first).args(rest);
    command
}

fn driver(rest: &[String], place: &Place<'_>) -> Command {
    let mut command = Command::new(place.spark.home().join("bin/spark-submit"));
    let address = place.address;
    for conf in [
        format!("spark.driver.bindAddress={address}"),
        // Spark names a service that no resolver knows here.
        format!("spark.driver.host={address}"),
        // Else it looks for `kubernetes.default.svc`.
        format!("spark.kubernetes.driver.master={}", place.server),
    ] {
        command.arg("--conf").arg(conf);
    }
    command.args(["--deploy-mode", "client"]).args(rest);
    command
}

fn executor(words: &Words, place: &Place<'_>) -> Result<Command, String> {
    let mut command = Command::new(place.spark.java_home().join("bin/java"));
    let mut options: Vec<(u32, &str)> = words
        .environment
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("SPARK_JAVA_OPT_")?.parse().ok()?, value.as_str())))
        .collect();
    options.sort_unstable();
    command.args(options.into_iter().map(|(_, option)| option));
    let memory = words.need("SPARK_EXECUTOR_MEMORY")?;
    command.arg(format!("-Xms{memory}")).arg(format!("-Xmx{memory}"));
    command.args(["-XX:-UsePerfData", &format!("-Djava.io.tmpdir={}", place.temporary.display())]);
    for package in OPENS {
        command.arg(format!("--add-opens={package}=ALL-UNNAMED"));
    }
    command.arg("-cp").arg(place.spark.home().join("jars/*"));
    command.arg("org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend");
    for (flag, name) in [
        ("--driver-url", "SPARK_DRIVER_URL"),
        ("--executor-id", "SPARK_EXECUTOR_ID"),
        ("--cores", "SPARK_EXECUTOR_CORES"),
        ("--app-id", "SPARK_APPLICATION_ID"),
        ("--resourceProfileId", "SPARK_RESOURCE_PROFILE_ID"),
        ("--podName", "SPARK_EXECUTOR_POD_NAME"),
    ] {
        command.arg(flag).arg(words.need(name)?);
    }
    command.arg("--hostname").arg(place.address.to_string());
    Ok(command)
}
