//! What a failed call means.
//!
//! Owns no state. Errors are told apart by their code and not by the SDK's types: most that occur are in no model
//! (AccessDenied, throttling, expired tokens). Must never read an answer that is not certainly EMR's as a refusal.

use std::{error::Error as StdError, fmt};

use aws_sdk_emrcontainers::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::guard::NotLeading;
use crate::answer;

/// What is kept of a text of AWS, in characters.
const TEXT: usize = 1024;

/// What a failed call means. For a start: what may have become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing was written to the wire.
    NotSent,
    /// It may have taken effect.
    Unclear,
    /// Too many calls; it took no effect.
    Throttled,
    /// Credentials or rights.
    Access,
    /// The virtual cluster is not there.
    NoVirtualCluster,
    /// The virtual cluster is there and takes no runs: terminated, or arrested.
    Closed,
    /// The release label is not known.
    NoRelease,
    /// The run is not there, or its id is none.
    NoRun,
    /// The run is over, or being cancelled.
    NotCancellable,
    /// Refused for what was sent. Also a full queue of the virtual cluster comes so.
    Invalid,
}

impl Class {
    /// Whether this call certainly took no effect.
    pub fn is_definite(self) -> bool {
        self != Self::Unclear
    }

    /// One word for conditions and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotSent => "NotSent",
            Self::Unclear => "NoAnswer",
            Self::Throttled => "Throttled",
            Self::Access => "AccessDenied",
            Self::NoVirtualCluster => "VirtualClusterMissing",
            Self::Closed => "VirtualClusterClosed",
            Self::NoRelease => "ReleaseUnknown",
            Self::NoRun => "JobRunUnknown",
            Self::NotCancellable => "NotCancellable",
            Self::Invalid => "RejectedByMember",
        }
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub class: Class,
    /// The HTTP status of an answer.
    pub status: Option<u16>,
    /// AWS's code, if it was AWS that answered.
    pub code: Option<String>,
    /// What was said, cut short.
    pub message: String,
}

impl Failure {
    /// An answer that lacks what it must have: the call may have taken effect.
    pub(crate) fn incomplete(message: &str) -> Self {
        Self { class: Class::Unclear, status: None, code: None, message: message.to_owned() }
    }

    /// Our own limit for calls of this kind is used up: nothing was sent.
    pub(crate) fn too_many() -> Self {
        let message = "enough calls of this kind were made to this account and region".to_owned();
        Self { class: Class::NotSent, status: None, code: None, message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{code}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// An error answer as plain values.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// AWS's code. `None`: the answer is not in AWS's form; it may be a proxy's.
    pub code: Option<&'a str>,
    /// The text.
    pub message: &'a str,
}

/// Beginnings of codes that speak of credentials or rights.
const ACCESS: [&str; 11] = [
    "AccessDenied",
    "UnrecognizedClient",
    "ExpiredToken",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
];

/// Sorts an error answer.
pub fn classify(answer: Answer<'_>) -> Class {
    let Answer { status, code, message } = answer;
    if status == 429 {
        return Class::Throttled;
    }
    let Some(code) = code else { return Class::Unclear };
    if answer::is_throttling(code) {
        return Class::Throttled;
    }
    if ACCESS.iter().any(|begin| code.starts_with(begin)) {
        return Class::Access;
    }
    // Only a definite refusal proves that nothing was done.
    if !(400..500).contains(&status) {
        return Class::Unclear;
    }
    let is_missing = message.contains("exist");
    match code {
        "ResourceNotFoundException" | "ValidationException"
            if is_missing && message.starts_with("Virtual cluster") =>
        {
            Class::NoVirtualCluster
        }
        "ResourceNotFoundException" if message.starts_with("Release") => Class::NoRelease,
        "ResourceNotFoundException" => Class::NoRun,
        "ValidationException" if message.starts_with("Virtual cluster state") => Class::Closed,
        "ValidationException" if message.contains("is not in a cancellable state") => Class::NotCancellable,
        "ValidationException" if message.contains("job run short id") => Class::NoRun,
        // Also a definite answer in AWS's form that no list here has: it is refused, and says why.
        _ => Class::Invalid,
    }
}

impl Failure {
    /// Of what the SDK says. `sent`: whether a try was handed to the connection.
    pub(crate) fn of<E>(error: &SdkError<E, HttpResponse>, sent: bool) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        if let SdkError::ServiceError(refused) = error {
            let (status, code) = (refused.raw().status().as_u16(), refused.err().code());
            let message = refused.err().message().unwrap_or("no reason was given");
            let class = classify(Answer { status, code, message });
            let message = if code.is_some() { short(message) } else { format!("HTTP {status}") };
            return Self { class, status: Some(status), code: code.map(short), message };
        }
        let class = match error {
            _ if !sent || find::<NotLeading>(error).is_some() => Class::NotSent,
            SdkError::ConstructionFailure(_) => Class::NotSent,
            _ if find::<hyper_util::client::legacy::Error>(error)
                .is_some_and(hyper_util::client::legacy::Error::is_connect) =>
            {
                Class::NotSent
            }
            _ => Class::Unclear,
        };
        // Whoever has no credentials fails before anything is sent.
        let text = chain(error);
        let class = match class {
            Class::NotSent if text.contains("redentials") || text.contains("dentity") => Class::Access,
            other => other,
        };
        Self { class, status: None, code: None, message: short(&text) }
    }
}

/// The first cause of that type.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// An error and its causes in one line. The SDK's errors say nothing themselves.
fn chain(error: &(dyn StdError + 'static)) -> String {
    spark_router_member::error::chain(error)
}

fn short(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, code: &str, message: &str) -> Class {
        classify(Answer { status, code: Some(code), message })
    }

    #[test]
    fn the_codes_of_emr_are_told_apart() {
        for (status, code, message, expected) in [
            (400, "ThrottlingException", "Rate exceeded", Class::Throttled),
            (429, "AnythingException", "", Class::Throttled),
            (500, "InternalServerException", "Internal server error", Class::Unclear),
            (503, "ServiceUnavailable", "", Class::Unclear),
            (503, "SlowDown", "", Class::Throttled),
            (403, "AccessDeniedException", "not authorized to perform", Class::Access),
            (400, "ExpiredTokenException", "expired", Class::Access),
            (403, "InvalidSignatureException", "", Class::Access),
            (400, "UnrecognizedClientException", "", Class::Access),
            (400, "ResourceNotFoundException", "Virtual cluster a1 doesn't exist.", Class::NoVirtualCluster),
            // moto's code for the same.
            (400, "ValidationException", "Virtual cluster a1 doesn't exist.", Class::NoVirtualCluster),
            (400, "ResourceNotFoundException", "Release emr-9.9 doesn't exist.", Class::NoRelease),
            (400, "ResourceNotFoundException", "Job run x doesn't exist.", Class::NoRun),
            (400, "ValidationException", "Invalid job run short id", Class::NoRun),
            (400, "ValidationException", "Job run x is not in a cancellable state", Class::NotCancellable),
            (
                400,
                "ValidationException",
                "Virtual cluster state ARRESTED is not valid to create resource JobRun",
                Class::Closed,
            ),
            (400, "ValidationException", "1 validation error detected", Class::Invalid),
        ] {
            assert_eq!(class(status, code, message), expected, "{status} {code} {message}");
        }
    }

    #[test]
    fn an_answer_that_is_not_in_the_form_of_aws_is_nobodys_refusal() {
        for status in [200, 400, 403, 404, 500, 502] {
            assert_eq!(classify(Answer { status, code: None, message: "<html>" }), Class::Unclear);
        }
    }

    #[test]
    fn only_the_unclear_may_have_taken_effect() {
        assert!(!Class::Unclear.is_definite());
        assert!(Class::Throttled.is_definite() && Class::Invalid.is_definite());
    }
}
