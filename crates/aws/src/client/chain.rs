//! The process's own credentials.
//!
//! Owns no state. The SDK's default chain ends at the machine's metadata service, whatever the process is; here that link
//! is only there when somebody asked for it.

use aws_config::{
    BehaviorVersion, Region, ecs::EcsCredentialsProvider,
    environment::EnvironmentVariableCredentialsProvider, imds::credentials::ImdsCredentialsProvider,
    meta::credentials::CredentialsProviderChain, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig, web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_sdk_emrcontainers::config::{SharedCredentialsProvider, SharedHttpClient};

/// In the order of the SDK's own chain. `instance_metadata`: whether it may end there.
pub(super) fn provider(
    region: Region,
    http: SharedHttpClient,
    instance_metadata: bool,
) -> SharedCredentialsProvider {
    let config = ProviderConfig::without_region()
        .with_region(Some(region))
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
        .with_http_client(http);
    let profile = ProfileFileCredentialsProvider::builder().configure(&config).build();
    let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
    let container = EcsCredentialsProvider::builder().configure(&config).build();
    let mut chain =
        CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
            .or_else("Profile", profile)
            .or_else("WebIdentityToken", web_identity)
            .or_else("EcsContainer", container);
    if instance_metadata {
        let machine = ImdsCredentialsProvider::builder().configure(&config).build();
        chain = chain.or_else("Ec2InstanceMetadata", machine);
    }
    SharedCredentialsProvider::new(chain)
}
