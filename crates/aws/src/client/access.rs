//! How an account is reached: region, credentials, role, endpoints.
//!
//! Owns no state. Two equal ones share a client. The role is assumed for each member that names one: the execution role
//! of a run must be in the caller's own account, so another account is always reached by a role there.

use std::{fmt, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    sts::AssumeRoleProvider,
};
use aws_sdk_emrcontainers::config::{SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};

use super::chain;

/// A connection that is not there after this long will not be soon.
const CONNECT: Duration = Duration::from_secs(3);
/// One try. The SDK has no such limit of its own.
const ATTEMPT: Duration = Duration::from_secs(10);
/// All tries of a call together.
const OPERATION: Duration = Duration::from_secs(30);
/// Tries of calls that may be repeated by the SDK: never of a start.
const ATTEMPTS: u32 = 3;
/// What a role's sessions are called in AWS's own logs.
const SESSION: &str = "spark-router";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// The region.
    pub region: String,
    /// Who the router is before it takes a role.
    pub credentials: Credentials,
    /// The role to take.
    pub role: Option<Role>,
    /// Where the service is that is called, if not at its public address: a VPC endpoint.
    pub endpoint: Option<String>,
    /// Where STS is, if not at its public address.
    pub other_endpoints: Option<String>,
}

impl Access {
    /// A region, by the process's own credentials, at public addresses.
    pub fn to(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            credentials: Credentials::Chain { instance_metadata: false },
            role: None,
            endpoint: None,
            other_endpoints: None,
        }
    }

    /// The account that calls count against, as far as it can be known without asking: quotas are counted by account
    /// and region.
    pub fn account(&self) -> &str {
        let own = "own";
        let Some(role) = &self.role else { return own };
        role.arn.split(':').nth(4).filter(|account| !account.is_empty()).unwrap_or(own)
    }

    /// What clients of any service here are made of, and who they work as. Sends nothing.
    pub(crate) async fn config_of(&self, http: SharedHttpClient) -> (SdkConfig, SharedCredentialsProvider) {
        let region = Region::new(self.region.clone());
        let own = self.own_credentials(&region, &http);
        // Retries come from here, never from the environment: how often a start is sent is a matter of correctness.
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .region(region.clone())
            .credentials_provider(own.clone())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts())
            // For some bodies it gives a call up after five silent seconds: how long a start may be under way is settled by
            // the limits above, and by nothing else.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(url) = &self.other_endpoints {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        let Some(role) = &self.role else { return (config, own) };
        let mut assuming =
            AssumeRoleProvider::builder(&role.arn).session_name(SESSION).region(region).configure(&config);
        if let Some(id) = &role.external_id {
            assuming = assuming.external_id(id);
        }
        let provider = SharedCredentialsProvider::new(assuming.build().await);
        (config.into_builder().credentials_provider(provider.clone()).build(), provider)
    }

    fn own_credentials(&self, region: &Region, http: &SharedHttpClient) -> SharedCredentialsProvider {
        match &self.credentials {
            Credentials::Chain { instance_metadata } => {
                chain::provider(region.clone(), http.clone(), *instance_metadata)
            }
            Credentials::Fixed { access_key, secret_key } => {
                let fixed = aws_sdk_emrcontainers::config::Credentials::new(
                    access_key, secret_key, None, None, "fixed",
                );
                SharedCredentialsProvider::new(fixed)
            }
        }
    }
}

/// A role that is assumed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What its owner wants to be told.
    pub external_id: Option<String>,
}

/// Where credentials come from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// The environment, the profile, a web identity (IRSA), the container (Pod Identity).
    Chain {
        /// And the machine's own, at last. On a shared node that is more than the router's: off unless asked for.
        instance_metadata: bool,
    },
    /// These.
    Fixed {
        /// The access key id.
        access_key: String,
        /// The secret.
        secret_key: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { instance_metadata } => {
                f.debug_struct("Chain").field("instance_metadata", instance_metadata).finish()
            }
            Self::Fixed { access_key, .. } => {
                f.debug_struct("Fixed").field("access_key", access_key).finish_non_exhaustive()
            }
        }
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_says_whose_quotas_are_used() {
        let mut access = Access::to("eu-west-1");
        assert_eq!(access.account(), "own");
        for (arn, account) in [
            ("arn:aws:iam::210987654321:role/spark", "210987654321"),
            ("arn:aws-cn:iam::210987654321:role/a/b", "210987654321"),
            ("spark", "own"),
        ] {
            access.role = Some(Role { arn: arn.to_owned(), external_id: None });
            assert_eq!(access.account(), account);
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let fixed = Credentials::Fixed { access_key: "AKIA".to_owned(), secret_key: "hush".to_owned() };
        let access = Access { credentials: fixed, ..Access::to("eu-west-1") };
        let text = format!("{access:?}");
        assert!(text.contains("AKIA") && !text.contains("hush"), "{text}");
    }
}
