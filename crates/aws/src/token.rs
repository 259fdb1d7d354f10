//! The client token of a start.
//!
//! Owns no state. Pure: the same attempt on the same virtual cluster has the same token for ever, whoever asks, so that a
//! repeated start is known as one. A new attempt or another target has another, because AWS answers a token that it knows
//! with the old run, even a failed one.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use spark_router_core::id::{Attempt, JobUid};

/// `<job uid>-<attempt>-<8 hex characters of SHA-256 of the virtual cluster's id>`: at most 56 characters for the uid of a
/// Kubernetes object, of 64 that AWS takes.
pub fn client_token(job: &JobUid, attempt: Attempt, virtual_cluster_id: &str) -> String {
    let mut target = HEXLOWER.encode(&Sha256::digest(virtual_cluster_id));
    target.truncate(8);
    format!("{job}-{attempt}-{target}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0";

    #[test]
    fn the_token_is_stable() {
        // A change here would start every unconfirmed attempt a second time.
        let token = client_token(&JobUid::from(UID), Attempt(2), "0a1b2c3d4e5f");
        assert_eq!(token, format!("{UID}-2-cd584cc9"));
    }

    proptest! {
        #[test]
        fn it_fits_and_tells_attempts_and_targets_apart(
            one in any::<u32>(), other in any::<u32>(), here in "[0-9a-z]{1,64}", there in "[0-9a-z]{1,64}",
        ) {
            let job = JobUid::from(UID);
            let token = client_token(&job, Attempt(one), &here);
            prop_assert!(token.len() <= 64, "{token}");
            prop_assert_eq!(&token, &client_token(&job, Attempt(one), &here));
            prop_assert_eq!(one == other, token == client_token(&job, Attempt(other), &here));
            // 32 bits: two targets that share them are not met in a test, nor in a fleet.
            prop_assert_eq!(here == there, token == client_token(&job, Attempt(one), &there));
        }
    }
}
