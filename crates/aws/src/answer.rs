//! What a failed StartJobRun means: whether a run may have been made, who is at fault, and what comes next.
//!
//! Owns no state. Only a definite answer of AWS says that this call made no run; everything else is resolved by listing,
//! never by starting elsewhere. Errors are told apart by their code, because most of them are not in the service's model.

use spark_router_core::refusal::{Refusal, RefusalClass};

/// How a call to StartJobRun ended without a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    /// AWS answered with an error.
    Answered {
        /// HTTP status.
        status: u16,
        /// Code of the error; `None` for a body that is none of AWS's.
        code: Option<&'a str>,
        /// Its text.
        message: &'a str,
    },
    /// Nothing was sent: there are no credentials, or they could not be had.
    NoCredentials(&'a str),
    /// The connection was cut, the time ran out, the answer could not be read: nobody knows.
    Lost,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No run was made by this call.
    Refused(Refusal),
    /// AWS is asked too often: the same request again, later and more slowly. No attempt is used up.
    BackOff,
    /// A run may have been made: it is looked for by its token, and the very same request is sent again.
    Ambiguous,
}

/// Codes by which AWS asks for fewer calls. The list of the SDK's own retry policy.
const THROTTLING: [&str; 14] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "BandwidthLimitExceeded",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "PriorRequestNotComplete",
    "SlowDown",
    "EC2ThrottledException",
];

/// Codes, by their beginning, that say that the credentials or the rights are at fault.
const RIGHTS: [(&str, &str); 11] = [
    ("AccessDenied", "Forbidden"),
    ("NotAuthorized", "Forbidden"),
    ("UnauthorizedOperation", "Forbidden"),
    ("UnrecognizedClient", "Unauthorized"),
    ("ExpiredToken", "Unauthorized"),
    ("InvalidClientTokenId", "Unauthorized"),
    ("InvalidSignature", "Unauthorized"),
    ("SignatureDoesNotMatch", "Unauthorized"),
    ("IncompleteSignature", "Unauthorized"),
    ("MissingAuthenticationToken", "Unauthorized"),
    ("OptInRequired", "Forbidden"),
];

/// Answers that are told apart by their text too: code, words in lower case, whom it concerns, and the word for it.
const TEXTS: [(&str, &[&str], RefusalClass, &str); 7] = [
    // The member has no such virtual cluster, or none that takes jobs: it is broken for all jobs.
    ("ResourceNotFoundException", &["virtual cluster"], RefusalClass::Member, "VirtualClusterMissing"),
    (
        "ValidationException",
        &["virtual cluster state", "not valid"],
        RefusalClass::Member,
        "VirtualClusterNotReady",
    ),
    // moto's way to say the first.
    (
        "ValidationException",
        &["virtual cluster", "doesn't exist"],
        RefusalClass::Member,
        "VirtualClusterMissing",
    ),
    // The member lists a release that AWS does not have, or the job names one: others may run it.
    ("ResourceNotFoundException", &["release"], RefusalClass::Job, "ReleaseMissing"),
    // The queue of the virtual cluster is full. AWS's text is not documented; these words are the API's own.
    ("ValidationException", &["maxinqueuejobruns"], RefusalClass::Capacity, "QuotaExceeded"),
    ("ValidationException", &["queue", "full"], RefusalClass::Capacity, "QuotaExceeded"),
    ("ValidationException", &["in-queue", "limit"], RefusalClass::Capacity, "QuotaExceeded"),
];

/// Longest part of AWS's text that is kept, in characters.
const LONGEST_MESSAGE: usize = 1024;

/// What a failed start means. `queue_full` is what the last look at the virtual cluster said of its queue.
pub fn verdict(failure: Failure<'_>, queue_full: bool) -> Verdict {
    let (status, code, message) = match failure {
        Failure::Lost => return Verdict::Ambiguous,
        Failure::NoCredentials(why) => return refused(RefusalClass::Member, "Unauthorized", why),
        Failure::Answered { status, code, message } => (status, code, message),
    };
    if status == 429 || code.is_some_and(is_throttling) {
        return Verdict::BackOff;
    }
    // An answer that is not AWS's (a proxy's, a broken one) says nothing of what AWS did.
    let Some(code) = code.filter(|_| (400..500).contains(&status) && status != 408) else {
        return Verdict::Ambiguous;
    };
    if code == "InternalServerException" || code.starts_with("RequestTimeout") {
        return Verdict::Ambiguous;
    }
    if let Some((_, reason)) = RIGHTS.iter().find(|(start, _)| code.starts_with(start)) {
        return refused(RefusalClass::Member, reason, message);
    }
    let text = message.to_lowercase();
    if is_about_token(code, &text) {
        return Verdict::Ambiguous;
    }
    let known =
        TEXTS.iter().find(|(of, words, ..)| *of == code && words.iter().all(|word| text.contains(word)));
    match known {
        Some((_, _, class, reason)) => refused(*class, reason, message),
        None if code == "ValidationException" && queue_full => {
            refused(RefusalClass::Capacity, "QuotaExceeded", message)
        }
        None => refused(RefusalClass::Job, "RejectedByMember", message),
    }
}

/// Whether AWS knows the token from another request: then there is a run of it, whatever was refused now.
fn is_about_token(code: &str, text: &str) -> bool {
    let again = ["already", "different", "reused", "mismatch"];
    code.starts_with("Idempot")
        || code.starts_with("Conflict")
        || text.contains("idempot")
        || (text.contains("token") && again.iter().any(|word| text.contains(word)))
}

/// Whether AWS asks for fewer calls by this code.
pub fn is_throttling(code: &str) -> bool {
    THROTTLING.contains(&code)
}

fn refused(class: RefusalClass, reason: &'static str, message: &str) -> Verdict {
    Verdict::Refused(Refusal { class, reason, message: message.chars().take(LONGEST_MESSAGE).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str, message: &str) -> Verdict {
        verdict(Failure::Answered { status, code: Some(code), message }, false)
    }

    fn class(verdict: Verdict) -> (RefusalClass, &'static str) {
        match verdict {
            Verdict::Refused(refusal) => (refusal.class, refusal.reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_that_is_known_means_that_there_is_a_run() {
        for (code, text) in [
            ("IdempotentParameterMismatch", "no"),
            ("ConflictException", "it is there"),
            ("ValidationException", "clientToken was already used with different parameters"),
            ("ValidationException", "Idempotency token mismatch"),
        ] {
            assert_eq!(answered(400, code, text), Verdict::Ambiguous, "{code} {text}");
        }
        assert_ne!(
            answered(400, "ValidationException", "clientToken must have 64 characters"),
            Verdict::Ambiguous
        );
    }

    #[test]
    fn throttling_is_no_refusal_whatever_the_status() {
        for code in THROTTLING {
            for status in [400, 429, 503] {
                assert_eq!(answered(status, code, "Rate exceeded"), Verdict::BackOff, "{code} {status}");
            }
        }
        assert_eq!(answered(429, "Whatever", ""), Verdict::BackOff);
        let plain = Failure::Answered { status: 429, code: None, message: "<html>" };
        assert_eq!(verdict(plain, false), Verdict::BackOff);
    }

    #[test]
    fn what_may_have_made_a_run_is_ambiguous() {
        assert_eq!(verdict(Failure::Lost, true), Verdict::Ambiguous);
        for (status, code) in [
            (500, Some("InternalServerException")),
            (400, Some("InternalServerException")),
            (503, Some("ServiceUnavailableException")),
            (502, None),
            (404, None),
            (200, None),
            (301, Some("PermanentRedirect")),
            (408, Some("RequestTimeoutException")),
            (400, Some("RequestTimeout")),
        ] {
            let failure = Failure::Answered { status, code, message: "<html>no</html>" };
            assert_eq!(verdict(failure, true), Verdict::Ambiguous, "{status} {code:?}");
        }
    }

    #[test]
    fn refusals_by_code_and_text() {
        use RefusalClass::{Capacity, Job, Member};
        for (status, code, message, expected) in [
            (
                400,
                "ResourceNotFoundException",
                "Virtual cluster 0a1b doesn't exist.",
                (Member, "VirtualClusterMissing"),
            ),
            (
                400,
                "ValidationException",
                "Virtual cluster 0a1b doesn't exist.",
                (Member, "VirtualClusterMissing"),
            ),
            (
                400,
                "ValidationException",
                "Virtual cluster state TERMINATED is not valid to create resource JobRun",
                (Member, "VirtualClusterNotReady"),
            ),
            (400, "ResourceNotFoundException", "Release emr-9.9.9 doesn't exist.", (Job, "ReleaseMissing")),
            (
                400,
                "ValidationException",
                "maxInQueueJobRuns of 10 reached for virtual cluster 0a1b",
                (Capacity, "QuotaExceeded"),
            ),
            (
                400,
                "ValidationException",
                "The queue of the virtual cluster is full",
                (Capacity, "QuotaExceeded"),
            ),
            (400, "ValidationException", "In-queue job runs are at their limit", (Capacity, "QuotaExceeded")),
            (400, "ValidationException", "1 validation error detected", (Job, "RejectedByMember")),
            (400, "ResourceNotFoundException", "Job template 0a not found", (Job, "RejectedByMember")),
            (400, "SomethingNewException", "no", (Job, "RejectedByMember")),
            (403, "AccessDeniedException", "User is not authorized", (Member, "Forbidden")),
            (400, "AccessDenied", "no", (Member, "Forbidden")),
            (403, "UnrecognizedClientException", "no", (Member, "Unauthorized")),
            (403, "ExpiredTokenException", "no", (Member, "Unauthorized")),
            (400, "ExpiredToken", "no", (Member, "Unauthorized")),
            (403, "InvalidSignatureException", "no", (Member, "Unauthorized")),
            (403, "SignatureDoesNotMatch", "no", (Member, "Unauthorized")),
            (403, "MissingAuthenticationTokenException", "no", (Member, "Unauthorized")),
        ] {
            assert_eq!(class(answered(status, code, message)), expected, "{code}: {message}");
        }
        assert_eq!(class(verdict(Failure::NoCredentials("none"), false)), (Member, "Unauthorized"));
    }

    #[test]
    fn a_full_queue_explains_a_validation_that_nobody_knows() {
        let failure = |message| Failure::Answered { status: 400, code: Some("ValidationException"), message };
        assert_eq!(class(verdict(failure("no more"), true)), (RefusalClass::Capacity, "QuotaExceeded"));
        let broken = failure("Virtual cluster state ARRESTED is not valid to create resource JobRun");
        assert_eq!(class(verdict(broken, true)), (RefusalClass::Member, "VirtualClusterNotReady"));
    }

    #[test]
    fn each_row_is_met_and_a_long_text_is_cut() {
        for (code, words, class_of, reason) in TEXTS {
            let text = words.join(" x ").to_uppercase();
            let (class, word) = class(answered(400, code, &text));
            assert_eq!((class, word), (class_of, reason), "{text}");
        }
        let Verdict::Refused(refusal) = answered(400, "ValidationException", &"ä".repeat(5000)) else {
            panic!()
        };
        assert_eq!(refusal.message.chars().count(), LONGEST_MESSAGE);
    }
}
