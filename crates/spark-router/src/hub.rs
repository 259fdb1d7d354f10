//! The hub as a person with a kubeconfig reaches it.
//!
//! Owns no state. Reads with the caller's own rights, in pieces.

use kube::{Api, Config, api::ListParams, config::KubeConfigOptions};

use crate::error::Error;

/// Objects a list call brings at once: a hub with many jobs is read in pieces.
const PAGE: u32 = 500;

/// The way to the hub: the kubeconfig's current context, or the one that was asked for.
///
/// # Errors
/// Where none is configured.
pub(crate) async fn config(context: Option<&str>) -> Result<Config, Error> {
    let Some(context) = context else {
        return Config::infer().await.map_err(|error| Error::NoHub(Box::new(error)));
    };
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    Config::from_kubeconfig(&options)
        .await
        .map_err(|source| Error::Context { context: context.to_owned(), source: Box::new(source) })
}

/// All objects of a kind, or those with these fields.
///
/// # Errors
/// [`Error::List`].
pub(crate) async fn list<K>(api: Api<K>, what: &'static str, fields: Option<&str>) -> Result<Vec<K>, Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let mut objects = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    if let Some(fields) = fields {
        params = params.fields(fields);
    }
    loop {
        let page = api.list(&params).await;
        let page = page.map_err(|source| Error::List { what, source: Box::new(source) })?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}
