//! The names that Apache's operator gives to what it makes.
//!
//! Owns no state. It writes none of them into a status: they follow from the application's name, its namespace and the
//! number of the run, as its `SparkAppSubmissionWorker` makes them.

use sha2::{Digest, Sha256};

/// Longer ids are cut.
const LONGEST: usize = 46;
/// This much of a hash stands for what was cut off.
const HASH: usize = 36;

/// Spark's application id of one run, counted from 0.
pub(super) fn application_id(namespace: &str, name: &str, run: u64) -> String {
    let plain = format!("{name}-{run}");
    if plain.len() <= LONGEST {
        return plain;
    }
    let start = plain.get(..LONGEST - HASH - 1).unwrap_or(&plain);
    let hash = in_base_36(&Sha256::digest(format!("{namespace}/{name}/{run}")));
    format!("{start}-{}", hash.get(..HASH).unwrap_or(&hash))
}

/// The driver's pod of a run.
pub(super) fn driver_pod(application_id: &str) -> String {
    format!("{application_id}-driver")
}

/// A whole number as Java writes it: without zeros in front.
fn in_base_36(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut number = bytes.to_vec();
    let mut digits = Vec::new();
    while number.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u16;
        for byte in &mut number {
            let value = rest << 8 | u16::from(*byte);
            *byte = u8::try_from(value / 36).unwrap_or(u8::MAX);
            rest = value % 36;
        }
        digits.push(DIGITS.get(usize::from(rest)).map_or('0', |digit| char::from(*digit)));
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_kept_and_long_ones_hashed_as_java_does() {
        assert_eq!(application_id("spark", "daily-abc", 0), "daily-abc-0");
        let exact = "x".repeat(44);
        assert_eq!(application_id("spark", &exact, 3), format!("{exact}-3"));
        // Worked out apart from this code: sha256 of `spark/<name>/0` as a whole number in base 36.
        let long = "daily-report-of-all-regions-and-more-abcdefghijkl";
        assert_eq!(application_id("spark", long, 0), "daily-rep-hy9dy81d8nx0d9ml92n6wqpghnmcj9mtif29");
        assert_eq!(application_id("spark", long, 0).len(), LONGEST);
        assert_eq!(driver_pod("daily-abc-0"), "daily-abc-0-driver");
    }

    #[test]
    fn numbers_have_no_zeros_in_front() {
        assert_eq!(in_base_36(&[0, 0, 36]), "10");
        assert_eq!(in_base_36(&[1, 0]), "74");
        assert_eq!(in_base_36(&[]), "");
    }
}
