//! Which cluster, by whose rights; and how messages speak of it.
//!
//! Owns no state. Every message names the field that it is about, and says what to do.

use spark_router_api::member::eks::EksConnection;
use spark_router_member::canonical;

use crate::client::{Access, Credentials, Role};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EksTarget {
    /// The member, as calls are counted.
    pub member: String,
    /// The name of the cluster.
    pub cluster: String,
    /// How EKS and STS are reached.
    pub access: Access,
}

impl EksTarget {
    /// As a member's object says, for a process with these credentials.
    pub fn of(member: &str, connection: &EksConnection, credentials: Credentials) -> Self {
        let role = connection
            .role_arn
            .as_ref()
            .map(|arn| Role { arn: arn.clone(), external_id: connection.external_id.clone() });
        let access = Access {
            credentials,
            role,
            endpoint: connection.eks_endpoint_url.clone(),
            other_endpoints: connection.sts_endpoint_url.clone(),
            ..Access::to(&connection.region)
        };
        Self { member: member.to_owned(), cluster: connection.cluster.clone(), access }
    }

    /// Stands for a connection to this cluster at that place.
    pub(super) fn fingerprint(&self, server: &str, authority: &str) -> String {
        let Access { region, credentials, role, endpoint, other_endpoints } = &self.access;
        let role = role.as_ref().map(|role| (&role.arn, &role.external_id));
        let who = match credentials {
            Credentials::Chain { instance_metadata } => format!("chain {instance_metadata}"),
            Credentials::Fixed { access_key, .. } => format!("key {access_key}"),
        };
        let all = serde_json::json!([
            "eks",
            self.cluster,
            region,
            who,
            role,
            endpoint,
            other_endpoints,
            server,
            authority,
        ]);
        canonical::hash(&all)
    }

    fn who(&self) -> String {
        match &self.access.role {
            Some(role) => format!("the role {}", role.arn),
            None => "the router's own identity at AWS".to_owned(),
        }
    }

    /// The field that says who asks.
    fn identity_field(&self) -> &'static str {
        if self.access.role.is_some() { "spec.connection.eks.roleArn" } else { "spec.connection.eks" }
    }

    pub(super) fn missing(&self) -> String {
        format!(
            "spec.connection.eks.cluster: in {} {} sees no cluster {:?}; correct the name, the region or the role",
            self.access.region,
            self.who(),
            self.cluster
        )
    }

    pub(super) fn not_active(&self, status: &str) -> String {
        format!(
            "spec.connection.eks.cluster: the cluster {:?} is {status}; it is used when EKS calls it ACTIVE, and it is \
             looked at again and again",
            self.cluster
        )
    }

    pub(super) fn unusable(&self, why: &str) -> String {
        format!("spec.connection.eks.cluster: what EKS says of {:?} cannot be used: {why}", self.cluster)
    }

    pub(super) fn denied(&self, said: &str) -> String {
        let right = match &self.access.role {
            Some(_) => {
                "let the router assume the role, and allow the role eks:DescribeCluster on this cluster"
            }
            None => "allow it eks:DescribeCluster on this cluster, or name a role that may",
        };
        format!(
            "{}: {} may not read the cluster {:?} ({said}); {right}",
            self.identity_field(),
            self.who(),
            self.cluster
        )
    }

    pub(super) fn no_answer(&self, said: &str) -> String {
        format!(
            "spec.connection.eks: EKS in {} could not be asked for the cluster {:?} ({said}); it is asked again and again. \
             Check the way there, and eksEndpointUrl if one is set",
            self.access.region, self.cluster
        )
    }

    pub(super) fn no_token(&self, why: &str) -> String {
        format!(
            "{}: no token can be made for {} ({why}); check its rights, and stsEndpointUrl if one is set",
            self.identity_field(),
            self.who()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(patch: serde_json::Value) -> EksTarget {
        let mut eks = json!({"cluster": "etl", "region": "eu-west-1"});
        let serde_json::Value::Object(patch) = patch else { panic!("{patch}") };
        eks.as_object_mut().unwrap().extend(patch);
        let credentials = Credentials::Chain { instance_metadata: false };
        EksTarget::of("m1", &serde_json::from_value(eks).unwrap(), credentials)
    }

    #[test]
    fn whatever_leads_elsewhere_or_speaks_as_somebody_else_is_another_connection() {
        let plain = of(json!({}));
        let role = "arn:aws:iam::123456789012:role/router";
        let all = [
            plain.fingerprint("https://a", "ca"),
            plain.fingerprint("https://b", "ca"),
            plain.fingerprint("https://a", "other"),
            of(json!({"cluster": "ml"})).fingerprint("https://a", "ca"),
            of(json!({"region": "eu-west-2"})).fingerprint("https://a", "ca"),
            of(json!({"roleArn": role})).fingerprint("https://a", "ca"),
            of(json!({"roleArn": role, "externalId": "x1"})).fingerprint("https://a", "ca"),
            of(json!({"eksEndpointUrl": "https://e"})).fingerprint("https://a", "ca"),
            of(json!({"stsEndpointUrl": "https://e"})).fingerprint("https://a", "ca"),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all[0], of(json!({})).fingerprint("https://a", "ca"));
    }

    #[test]
    fn messages_name_the_field_and_who_asked() {
        let (own, role) = (of(json!({})), of(json!({"roleArn": "arn:aws:iam::123456789012:role/router"})));
        assert!(own.denied("403").starts_with("spec.connection.eks: the router's own identity"));
        assert!(
            role.denied("403").starts_with("spec.connection.eks.roleArn: the role arn:aws:iam::123456789012")
        );
        for text in [own.missing(), own.not_active("CREATING"), own.unusable("no CA")] {
            assert!(text.starts_with("spec.connection.eks.cluster: ") && text.contains("\"etl\""), "{text}");
        }
    }
}
