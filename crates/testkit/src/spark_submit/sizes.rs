//! Spark's sizes: memory texts and the overhead that a pod gets on top.
//!
//! Purpose: the arithmetic of Spark 4, on purpose written apart from the router's own, so that tests compare two
//! readings of it. Owns no state. It must never be lenient: Spark refuses `1Gi` and `1.5g`, and so must we.

use super::Submission;

/// Spark adds at least this much to the memory of a pod.
const LEAST_OVERHEAD_MIB: u64 = 384;

/// A memory text of Spark in MiB: digits and an optional 1024-based suffix; none means MiB.
pub(super) fn mebibytes(text: &str) -> Result<u64, String> {
    let bad = || {
        format!(
            "Size must be specified as bytes (b), kibibytes (k), mebibytes (m), gibibytes (g), but is {text}"
        )
    };
    let lower = text.trim().to_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, suffix) = lower.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let power: u32 = match suffix {
        "b" => return Ok(number >> 20),
        "k" | "kb" => return Ok(number >> 10),
        "" | "m" | "mb" => 0,
        "g" | "gb" => 1,
        "t" | "tb" => 2,
        "p" | "pb" => 3,
        _ => return Err(bad()),
    };
    number.checked_mul(1024u64.pow(power)).ok_or_else(bad)
}

/// What a pod of `role` (`driver` or `executor`) requests, in MiB.
pub(super) fn pod_mebibytes(submission: &Submission, role: &str) -> Result<u64, String> {
    let size = |key: &str| submission.conf(key).map(mebibytes).transpose();
    let memory = size(&format!("spark.{role}.memory"))?.unwrap_or(1024);
    let overhead = match size(&format!("spark.{role}.memoryOverhead"))? {
        Some(given) => given,
        None => share(memory, factor(submission, role)?).max(LEAST_OVERHEAD_MIB),
    };
    let mut total = memory + overhead;
    if role == "executor" {
        if submission.conf("spark.memory.offHeap.enabled") == Some("true") {
            total += size("spark.memory.offHeap.size")?.unwrap_or(0);
        }
        if submission.is_python() {
            total += size("spark.executor.pyspark.memory")?.unwrap_or(0);
        }
    }
    Ok(total)
}

/// In millionths, so that no float is rounded here.
fn factor(submission: &Submission, role: &str) -> Result<u64, String> {
    let role = format!("spark.{role}.memoryOverheadFactor");
    let given = submission.conf(&role).or_else(|| submission.conf("spark.kubernetes.memoryOverheadFactor"));
    match given {
        Some(text) => millionths(text).ok_or_else(|| format!("memoryOverheadFactor is no number: {text}")),
        None if submission.is_python() || submission.is_r() => Ok(400_000),
        None => Ok(100_000),
    }
}

fn millionths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<6}");
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some(whole * 1_000_000 + fraction.get(..6)?.parse::<u64>().ok()?)
}

fn share(memory: u64, millionths: u64) -> u64 {
    memory * millionths / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(main: &str, confs: &[&str]) -> Submission {
        let mut arguments = vec!["--name", "x"];
        for conf in confs {
            arguments.extend(["--conf", conf]);
        }
        arguments.push(main);
        Submission::parse(arguments.into_iter()).unwrap()
    }

    #[test]
    fn sizes_as_spark_reads_them() {
        for (text, expected) in [("1g", 1024), ("512", 512), ("512M", 512), ("2048k", 2), ("1t", 1 << 20)] {
            assert_eq!(mebibytes(text), Ok(expected), "{text}");
        }
        for bad in ["1.5g", "1Gi", "", "g", "-1g"] {
            assert!(mebibytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pod_memory_of_real_spark() {
        let cases: [(&str, &[&str], u64); 5] = [
            ("a.py", &["spark.driver.memory=4g"], 5734),
            ("a.jar", &["spark.driver.memory=8g"], 9011),
            ("a.jar", &["spark.driver.memory=10000m", "spark.driver.memoryOverheadFactor=0.2"], 12_000),
            ("a.jar", &["spark.driver.memory=8g", "spark.driver.memoryOverhead=1g"], 9 * 1024),
            ("a.jar", &["spark.driver.memory=512m"], 896),
        ];
        for (main, confs, expected) in cases {
            assert_eq!(pod_mebibytes(&submission(main, confs), "driver"), Ok(expected), "{main} {confs:?}");
        }
    }
}
