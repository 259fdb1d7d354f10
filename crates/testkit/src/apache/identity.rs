//! The names that the operator gives, as its submission worker makes them.
//!
//! Owns no state. Written apart from the router's own, so that one can prove the other wrong.

use sha2::{Digest as _, Sha256};

/// Spark's application id of a run, counted from 0: its driver's pod is called after it.
pub(super) fn application_id(namespace: &str, name: &str, run: u64) -> String {
    let wanted = format!("{name}-{run}");
    if wanted.len() <= 46 {
        return wanted;
    }
    // 36 digits of the hash as a number to the base of 36, behind as much of the name as fits before them.
    let mut digits: Vec<u32> = vec![0];
    for byte in Sha256::digest(format!("{namespace}/{name}/{run}")) {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            let value = *digit * 256 + carry;
            *digit = value % 36;
            carry = value / 36;
        }
        while carry > 0 {
            digits.push(carry % 36);
            carry /= 36;
        }
    }
    let hash: String =
        digits.iter().rev().filter_map(|digit| char::from_digit(*digit, 36)).take(36).collect();
    format!("{}-{hash}", &wanted[..9])
}

#[cfg(test)]
mod tests {
    use super::application_id;

    #[test]
    fn long_names_are_hashed() {
        assert_eq!(application_id("spark", "daily-abc", 0), "daily-abc-0");
        let long = "daily-report-of-all-regions-and-more-abcdefghijkl";
        assert_eq!(application_id("spark", long, 0), "daily-rep-hy9dy81d8nx0d9ml92n6wqpghnmcj9mtif29");
    }
}
