//! What a refused create means: who is at fault, and where the job may go instead.
//!
//! Owns no state. Must never read an answer that is not definite as a refusal: only a 4xx is.

use std::fmt;

/// Who a refusal concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalClass {
    /// A quota is full: the route backs off, the job may go elsewhere or come back.
    Capacity,
    /// The member cannot take anything in that namespace (rights, credentials, CRD or namespace missing or ending).
    Member,
    /// The member judged this job and will judge it the same way again.
    Job,
}

/// A definite answer that nothing was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who it concerns.
    pub class: RefusalClass,
    /// One word for metric, condition and event.
    pub reason: &'static str,
    /// The member's own words.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// A definite 4xx answer to a create, as plain values.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// HTTP status code.
    pub code: u16,
    /// `status.reason`, e.g. `Forbidden`.
    pub reason: &'a str,
    /// `status.message`.
    pub message: &'a str,
    /// `status.details.causes[].reason`, e.g. `NamespaceTerminating`.
    pub causes: &'a [&'a str],
}

/// Sorts a definite refusal of a create, quota text first: a quota's 403 looks like missing rights but is capacity.
/// Returns `None` for answers that are no refusal of the job: 408, 429, 5xx and "already exists".
///
/// Webhook denials and outages share the words "admission webhook": an outage is a 500 and therefore not here.
pub fn classify(answer: Answer<'_>) -> Option<Refusal> {
    let message = answer.message;
    let refusal = |class, reason| {
        Some(Refusal { class, reason, message: message.chars().take(MESSAGE_LIMIT).collect() })
    };
    let ending = answer.causes.contains(&"NamespaceTerminating")
        || message.contains("because it is being terminated")
        || message.contains("is being terminated");
    match answer.code {
        // "status unknown": a fresh quota whose use nobody has counted yet.
        403 if message.contains("exceeded quota")
            || message.contains("failed to validate resource quota")
            || message.contains("status unknown for quota") =>
        {
            refusal(RefusalClass::Capacity, "QuotaExceeded")
        }
        403 if message.contains("failed quota") => refusal(RefusalClass::Job, "RejectedByMember"),
        403 | 409 if ending => refusal(RefusalClass::Member, "NamespaceTerminating"),
        403 if message.contains("admission webhook")
            || message.contains("denied request")
            || message.contains("violates PodSecurity")
            || message.contains("ValidatingAdmissionPolicy") =>
        {
            refusal(RefusalClass::Job, "RejectedByMember")
        }
        401 => refusal(RefusalClass::Member, "Unauthorized"),
        403 => refusal(RefusalClass::Member, "Forbidden"),
        404 if message.contains("namespaces") => refusal(RefusalClass::Member, "NamespaceMissing"),
        404 => refusal(RefusalClass::Member, "CrdMissing"),
        408 | 409 | 429 => None,
        400..=499 => refusal(RefusalClass::Job, "RejectedByMember"),
        _ => None,
    }
}

/// Longest part of a member's answer that is kept, in characters.
const MESSAGE_LIMIT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn class(
        code: u16,
        reason: &str,
        message: &str,
        causes: &[&str],
    ) -> Option<(RefusalClass, &'static str)> {
        classify(Answer { code, reason, message, causes }).map(|r| (r.class, r.reason))
    }

    #[test]
    fn a_full_quota_is_capacity_although_it_is_a_403() {
        let text = "sparkapplications.sparkoperator.k8s.io \"x\" is forbidden: exceeded quota: team-a, requested: \
                    count/sparkapplications.sparkoperator.k8s.io=1, used: 5, limited: 5";
        assert_eq!(class(403, "Forbidden", text, &[]), Some((RefusalClass::Capacity, "QuotaExceeded")));
        let webhook = "admission webhook \"v.sparkoperator.k8s.io\" denied the request: failed to validate resource quota \"a/b\"";
        assert_eq!(class(403, "Forbidden", webhook, &[]), Some((RefusalClass::Capacity, "QuotaExceeded")));
        let uncounted = "sparkapplications.sparkoperator.k8s.io \"x\" is forbidden: status unknown for quota: team-a, \
                         resources: count/sparkapplications.sparkoperator.k8s.io";
        assert_eq!(class(403, "Forbidden", uncounted, &[]), Some((RefusalClass::Capacity, "QuotaExceeded")));
    }

    #[test]
    fn faults_of_the_member_are_told_from_faults_of_the_job() {
        use RefusalClass::{Job, Member};
        for (code, message, causes, expected) in [
            (401, "Unauthorized", &[][..], (Member, "Unauthorized")),
            (403, "User \"r\" cannot create resource \"sparkapplications\"", &[], (Member, "Forbidden")),
            (
                403,
                "unable to create new content in namespace x because it is being terminated",
                &[],
                (Member, "NamespaceTerminating"),
            ),
            (403, "anything", &["NamespaceTerminating"], (Member, "NamespaceTerminating")),
            (404, "namespaces \"x\" not found", &[], (Member, "NamespaceMissing")),
            (404, "the server could not find the requested resource", &[], (Member, "CrdMissing")),
            (422, "spec.executor.instances: Invalid value: 0", &[], (Job, "RejectedByMember")),
            (403, "admission webhook \"x\" denied the request: no", &[], (Job, "RejectedByMember")),
            (400, "admission webhook \"x\" denied the request: no", &[], (Job, "RejectedByMember")),
        ] {
            assert_eq!(class(code, "", message, causes), Some(expected), "{code} {message}");
        }
    }

    #[test]
    fn what_is_not_definite_is_no_refusal() {
        for code in [408, 409, 429, 500, 503, 504] {
            assert_eq!(class(code, "", "failed calling webhook", &[]), None, "{code}");
        }
    }
}
