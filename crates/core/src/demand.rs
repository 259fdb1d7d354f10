//! What a job reserves: driver and initial executors, by the formula that Spark itself uses for its pods.
//!
//! Owns no state. Follows Spark's `BasicDriverFeatureStep` and `BasicExecutorFeatureStep` (memory = heap + overhead,
//! overhead = max(factor * heap, 384 MiB)) and the order in which the Kubeflow operator hands fields to `spark-submit`:
//! typed fields come after `sparkConf` on the command line and win, except the overhead factor. Must not follow the
//! sums of quota webhooks or pod groups: they leave out overhead or misread units.

use std::collections::BTreeMap;

use crate::resources::{AmountError, Resources, cpu_milli, quantity_milli, spark_size_bytes};

/// The parts of an application that decide its size. Texts are as the user wrote them.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// The main file is Python.
    pub python: bool,
    /// The main file is R.
    pub r: bool,
    /// `memoryOverheadFactor` of the application.
    pub overhead_factor: Option<String>,
    /// The driver.
    pub driver: Role,
    /// One executor.
    pub executor: Role,
    /// `executor.instances`.
    pub instances: Option<u64>,
    /// `dynamicAllocation` of the application, if it is enabled there.
    pub dynamic: Option<Dynamic>,
    /// `sparkConf`.
    pub conf: BTreeMap<String, String>,
}

/// Size fields of the driver or of an executor.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// `cores`.
    pub cores: Option<u64>,
    /// `coreRequest`, a Kubernetes quantity.
    pub core_request: Option<String>,
    /// `memory`, a Spark size.
    pub memory: Option<String>,
    /// `memoryOverhead`, a Spark size.
    pub memory_overhead: Option<String>,
    /// Requests of the sidecars.
    pub sidecars: Vec<Resources>,
    /// Requests of the init containers.
    pub inits: Vec<Resources>,
}

/// Bounds of dynamic allocation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dynamic {
    /// `initialExecutors`.
    pub initial: Option<u64>,
    /// `minExecutors`.
    pub min: Option<u64>,
}

/// A size that cannot be read, with the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {source}")]
pub struct DemandError {
    /// Path below the application's `spec`.
    pub path: String,
    /// What is wrong with the text.
    pub source: AmountError,
}

const MIB: u64 = 1 << 20;
/// Spark's `MEMORY_OVERHEAD_MIN_MIB`.
const MIN_OVERHEAD: u64 = 384 * MIB;

/// The demand of an application: one job, driver and initial executors.
///
/// # Errors
/// The first size that Spark or Kubernetes could not read.
pub fn demand(shape: &Shape) -> Result<Resources, DemandError> {
    let driver = pod(shape, &shape.driver, "driver")?;
    let executor = pod(shape, &shape.executor, "executor")?;
    let executors = executors(shape)?;
    Ok(Resources {
        jobs: 1,
        pods: executors.saturating_add(1),
        cpu_milli: driver.cpu_milli.saturating_add(executor.cpu_milli.saturating_mul(executors)),
        memory_bytes: driver.memory_bytes.saturating_add(executor.memory_bytes.saturating_mul(executors)),
    })
}

/// Executors that the job starts with.
fn executors(shape: &Shape) -> Result<u64, DemandError> {
    let number = |key: &str| conf_number(shape, key);
    let dynamic_by_conf =
        shape.conf.get("spark.dynamicAllocation.enabled").is_some_and(|v| v.trim() == "true");
    if shape.dynamic.is_none() && !dynamic_by_conf {
        return Ok(match shape.instances {
            Some(instances) => instances,
            None => number("spark.executor.instances")?.unwrap_or(1),
        });
    }
    let typed = shape.dynamic.unwrap_or_default();
    let instances = match shape.instances {
        Some(instances) => Some(instances),
        None => number("spark.executor.instances")?,
    };
    let initial = match typed.initial {
        Some(initial) => Some(initial),
        None => number("spark.dynamicAllocation.initialExecutors")?,
    };
    let min = match typed.min {
        Some(min) => Some(min),
        None => number("spark.dynamicAllocation.minExecutors")?,
    };
    Ok([instances, initial, min].into_iter().flatten().max().unwrap_or(0))
}

/// Requests of one pod of a role.
fn pod(shape: &Shape, role: &Role, name: &'static str) -> Result<Resources, DemandError> {
    let main = Resources {
        jobs: 0,
        pods: 0,
        cpu_milli: cpu(shape, role, name)?,
        memory_bytes: memory(shape, role, name)?,
    };
    let running = role.sidecars.iter().fold(main, |sum, sidecar| sum + *sidecar);
    // The scheduler takes the larger of what starts first and what runs then, for each resource by itself.
    Ok(role.inits.iter().fold(running, |sum, init| Resources {
        cpu_milli: sum.cpu_milli.max(init.cpu_milli),
        memory_bytes: sum.memory_bytes.max(init.memory_bytes),
        ..sum
    }))
}

fn cpu(shape: &Shape, role: &Role, name: &str) -> Result<u64, DemandError> {
    if let Some(request) = &role.core_request {
        return cpu_milli(request).map_err(at(format!("{name}.coreRequest")));
    }
    let key = format!("spark.kubernetes.{name}.request.cores");
    if let Some(request) = shape.conf.get(&key) {
        return cpu_milli(request).map_err(at(conf_path(&key)));
    }
    let cores = match role.cores {
        Some(cores) => cores,
        None => conf_number(shape, &format!("spark.{name}.cores"))?.unwrap_or(1),
    };
    Ok(cores.saturating_mul(1000))
}

fn memory(shape: &Shape, role: &Role, name: &str) -> Result<u64, DemandError> {
    let size = |typed: Option<&String>, field: &str, key: &str| -> Result<Option<u64>, DemandError> {
        match typed {
            Some(text) => spark_size_bytes(text).map(Some).map_err(at(format!("{name}.{field}"))),
            None => conf_size(shape, key),
        }
    };
    let heap = size(role.memory.as_ref(), "memory", &format!("spark.{name}.memory"))?.unwrap_or(1024 * MIB);
    let overhead =
        match size(role.memory_overhead.as_ref(), "memoryOverhead", &format!("spark.{name}.memoryOverhead"))?
        {
            Some(overhead) => overhead,
            None => {
                let floor =
                    conf_size(shape, &format!("spark.{name}.minMemoryOverhead"))?.unwrap_or(MIN_OVERHEAD);
                part(shape, name, heap)?.max(floor)
            }
        };
    let mut memory = heap.saturating_add(overhead);
    if name == "executor" {
        if shape.conf.get("spark.memory.offHeap.enabled").is_some_and(|v| v.trim() == "true") {
            memory = memory.saturating_add(off_heap(shape)?);
        }
        if shape.python {
            memory = memory.saturating_add(conf_size(shape, "spark.executor.pyspark.memory")?.unwrap_or(0));
        }
    }
    Ok(memory)
}

/// `factor * heap` in whole mebibytes. Exact decimals where Spark multiplies doubles: at most one mebibyte apart.
fn part(shape: &Shape, name: &str, heap: u64) -> Result<u64, DemandError> {
    let role_key = format!("spark.{name}.memoryOverheadFactor");
    let (text, path) = if let Some(text) = shape.conf.get(&role_key) {
        (text.as_str(), conf_path(&role_key))
    } else if let Some(text) = shape.conf.get("spark.kubernetes.memoryOverheadFactor") {
        (text.as_str(), conf_path("spark.kubernetes.memoryOverheadFactor"))
    } else if let Some(text) = &shape.overhead_factor {
        (text.as_str(), "memoryOverheadFactor".to_owned())
    } else if shape.python || shape.r {
        ("0.4", String::new())
    } else {
        ("0.1", String::new())
    };
    // Six digits behind the point: the text of a thousandth of the quantity, scaled.
    let factor = quantity_milli(&format!("{}k", text.trim())).map_err(at(path))?;
    let mebibytes = u128::from(heap / MIB).saturating_mul(factor) / 1_000_000;
    Ok(u64::try_from(mebibytes).unwrap_or(u64::MAX).saturating_mul(MIB))
}

/// Unlike every other size, `spark.memory.offHeap.size` counts bytes where it has no unit.
fn off_heap(shape: &Shape) -> Result<u64, DemandError> {
    const KEY: &str = "spark.memory.offHeap.size";
    let Some(text) = shape.conf.get(KEY) else { return Ok(0) };
    let text = text.trim();
    let with_unit =
        if text.ends_with(|c: char| c.is_ascii_digit()) { format!("{text}b") } else { text.to_owned() };
    spark_size_bytes(&with_unit).map_err(at(conf_path(KEY)))
}

fn conf_size(shape: &Shape, key: &str) -> Result<Option<u64>, DemandError> {
    shape.conf.get(key).map(|text| spark_size_bytes(text).map_err(at(conf_path(key)))).transpose()
}

fn conf_number(shape: &Shape, key: &str) -> Result<Option<u64>, DemandError> {
    let Some(text) = shape.conf.get(key) else { return Ok(None) };
    text.trim()
        .parse()
        .map(Some)
        .map_err(|_| DemandError { path: conf_path(key), source: AmountError::Quantity(text.clone()) })
}

fn conf_path(key: &str) -> String {
    format!("sparkConf[{key}]")
}

fn at(path: String) -> impl FnOnce(AmountError) -> DemandError {
    move |source| DemandError { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(
        cores: Option<u64>,
        core_request: Option<&str>,
        memory: Option<&str>,
        overhead: Option<&str>,
    ) -> Role {
        Role {
            cores,
            core_request: core_request.map(str::to_owned),
            memory: memory.map(str::to_owned),
            memory_overhead: overhead.map(str::to_owned),
            ..Role::default()
        }
    }

    fn driver_memory(shape: &Shape) -> u64 {
        memory(shape, &shape.driver, "driver").unwrap() / MIB
    }

    /// Pods that Spark 4.0.4's own submission asked for.
    #[test]
    fn memory_is_what_spark_asks_for() {
        let scala = |memory: &str, overhead: Option<&str>| Shape {
            driver: role(None, None, Some(memory), overhead),
            ..Shape::default()
        };
        assert_eq!(driver_memory(&Shape { python: true, ..scala("4g", None) }), 5734);
        assert_eq!(driver_memory(&scala("8g", None)), 9011);
        assert_eq!(
            driver_memory(&Shape { overhead_factor: Some("0.2".into()), ..scala("10000m", None) }),
            12000
        );
        assert_eq!(driver_memory(&scala("8g", Some("1g"))), 9 * 1024);
        assert_eq!(driver_memory(&scala("512m", None)), 896);
        assert_eq!(driver_memory(&Shape::default()), 1408);
    }

    #[test]
    fn conf_counts_where_the_field_is_absent() {
        let conf = |entries: &[(&str, &str)]| Shape {
            conf: entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Shape::default()
        };
        assert_eq!(driver_memory(&conf(&[("spark.driver.memory", "8g")])), 9011);
        assert_eq!(
            driver_memory(&conf(&[("spark.driver.memory", "2048"), ("spark.driver.memoryOverhead", "1g")])),
            3072
        );
        assert_eq!(
            driver_memory(&conf(&[
                ("spark.kubernetes.memoryOverheadFactor", "0.5"),
                ("spark.driver.memory", "1g")
            ])),
            1536
        );
        assert_eq!(driver_memory(&conf(&[("spark.driver.minMemoryOverhead", "512m")])), 1536);
        let executor = |entries: &[(&str, &str)]| {
            let shape = Shape { python: true, ..conf(entries) };
            memory(&shape, &shape.executor, "executor").unwrap() / MIB
        };
        assert_eq!(executor(&[("spark.executor.pyspark.memory", "1g")]), 1024 + 409 + 1024);
        let off_heap =
            [("spark.memory.offHeap.enabled", "true"), ("spark.memory.offHeap.size", "1073741824")];
        assert_eq!(executor(&off_heap), 1024 + 409 + 1024);
        assert_eq!(executor(&off_heap[1..]), 1024 + 409, "the size alone enables nothing");
    }

    #[test]
    fn cpu_prefers_the_request() {
        let shape = Shape { driver: role(Some(4), Some("500m"), None, None), ..Shape::default() };
        assert_eq!(cpu(&shape, &shape.driver, "driver"), Ok(500));
        let mut shape = Shape { driver: role(Some(4), None, None, None), ..Shape::default() };
        assert_eq!(cpu(&shape, &shape.driver, "driver"), Ok(4000));
        shape.conf.insert("spark.kubernetes.driver.request.cores".into(), "1.5".into());
        assert_eq!(cpu(&shape, &shape.driver, "driver"), Ok(1500));
    }

    #[test]
    fn executors_by_all_three_ways() {
        let conf = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert_eq!(executors(&Shape::default()), Ok(1));
        assert_eq!(executors(&Shape { instances: Some(0), ..Shape::default() }), Ok(0));
        assert_eq!(
            executors(&Shape { conf: conf(&[("spark.executor.instances", "7")]), ..Shape::default() }),
            Ok(7)
        );
        let dynamic = Dynamic { initial: Some(3), min: Some(5) };
        assert_eq!(executors(&Shape { dynamic: Some(dynamic), ..Shape::default() }), Ok(5));
        assert_eq!(executors(&Shape { dynamic: Some(Dynamic::default()), ..Shape::default() }), Ok(0));
        let by_conf = conf(&[
            ("spark.dynamicAllocation.enabled", "true"),
            ("spark.dynamicAllocation.minExecutors", "2"),
        ]);
        assert_eq!(executors(&Shape { conf: by_conf, ..Shape::default() }), Ok(2));
    }

    #[test]
    fn a_job_is_its_driver_and_its_executors() {
        let shape = Shape {
            driver: role(Some(1), None, Some("512m"), None),
            executor: role(Some(2), None, Some("512m"), None),
            instances: Some(3),
            ..Shape::default()
        };
        let expected = Resources { jobs: 1, pods: 4, cpu_milli: 7000, memory_bytes: 4 * 896 * MIB };
        assert_eq!(demand(&shape), Ok(expected));
    }

    #[test]
    fn sidecars_add_and_init_containers_only_raise() {
        let request =
            |cpu_milli, mib: u64| Resources { jobs: 0, pods: 0, cpu_milli, memory_bytes: mib * MIB };
        let shape = Shape {
            driver: Role {
                sidecars: vec![request(200, 100)],
                inits: vec![request(4000, 10)],
                ..Role::default()
            },
            ..Shape::default()
        };
        assert_eq!(pod(&shape, &shape.driver, "driver").unwrap(), request(4000, 1408 + 100));
    }

    #[test]
    fn a_size_that_spark_could_not_read_is_named() {
        let shape = Shape { driver: role(None, None, Some("1.5g"), None), ..Shape::default() };
        let text = demand(&shape).unwrap_err().to_string();
        assert!(text.starts_with("driver.memory: \"1.5g\" is not a size Spark can read"), "{text}");
    }
}
