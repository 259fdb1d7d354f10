//! The Secrets in the router's namespace.
//!
//! Owns a copy of their data, as a watch shows it. Nothing here can be printed: there is no `Debug`, and errors carry
//! names only.

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use parking_lot::Mutex;
use spark_router_api::condition::reason;
use spark_router_member::Fault;
use tokio::sync::watch;
use tracing::warn;

/// See the module. Clones share the copy.
#[derive(Clone)]
pub(super) struct Secrets(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    data: BTreeMap<String, BTreeMap<String, ByteString>>,
    listing: BTreeMap<String, BTreeMap<String, ByteString>>,
    namespace: String,
    listed: bool,
    trouble: Option<String>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self(Arc::new(Shared { inner: Mutex::default(), changed: watch::channel(0).0 }))
    }
}

impl Secrets {
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// The text of a key. `Ok(None)`: not known yet.
    pub(super) fn text(&self, name: &str, key: &str) -> Result<Option<String>, Fault> {
        let inner = self.0.inner.lock();
        let missing = |message: String| Err((reason::SECRET_MISSING, message));
        if !inner.listed {
            return match &inner.trouble {
                Some(trouble) => missing(format!(
                    "the Secrets in namespace {} cannot be read ({trouble}); grant the router get, list and watch on them",
                    inner.namespace
                )),
                None => Ok(None),
            };
        }
        let Some(data) = inner.data.get(name) else {
            return missing(format!(
                "Secret {name} is not in namespace {}; create it there",
                inner.namespace
            ));
        };
        let Some(value) = data.get(key) else {
            let keys: Vec<&str> = data.keys().map(String::as_str).collect();
            return missing(format!(
                "Secret {name} in namespace {} has no key {key:?}; it has {}",
                inner.namespace,
                if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
            ));
        };
        match String::from_utf8(value.0.clone()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err((reason::KUBECONFIG_REFUSED, format!("key {key:?} of Secret {name} is no text"))),
        }
    }

    /// Watches until dropped.
    pub(super) fn watch(
        &self,
        client: Client,
        namespace: String,
    ) -> impl Future<Output = ()> + Send + 'static {
        let secrets = self.clone();
        secrets.0.inner.lock().namespace.clone_from(&namespace);
        async move {
            let api = Api::<Secret>::namespaced(client, &namespace);
            let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
            while let Some(event) = stream.next().await {
                secrets.take(event);
            }
        }
    }

    fn take(&self, event: Result<watcher::Event<Secret>, watcher::Error>) {
        let mut inner = self.0.inner.lock();
        let data = |secret: Secret| (secret.name_any(), secret.data.unwrap_or_default());
        let tells = match event {
            Ok(watcher::Event::Init) => {
                inner.listing.clear();
                false
            }
            Ok(watcher::Event::InitApply(secret)) => {
                let (name, data) = data(secret);
                inner.listing.insert(name, data);
                false
            }
            Ok(watcher::Event::InitDone) => {
                inner.data = std::mem::take(&mut inner.listing);
                inner.listed = true;
                inner.trouble = None;
                true
            }
            Ok(watcher::Event::Apply(secret)) => {
                let (name, data) = data(secret);
                inner.data.insert(name, data);
                true
            }
            Ok(watcher::Event::Delete(secret)) => inner.data.remove(&secret.name_any()).is_some(),
            Err(error) => {
                let text = error.to_string();
                warn!(error = text, "the watch of Secrets failed; it is set up again");
                let news = !inner.listed && inner.trouble.as_ref() != Some(&text);
                inner.trouble = Some(text);
                news
            }
        };
        drop(inner);
        if tells {
            self.0.changed.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, value: &[u8]) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        secret.data = Some(BTreeMap::from([("kubeconfig".to_owned(), ByteString(value.to_vec()))]));
        secret
    }

    #[test]
    fn nothing_is_missing_before_the_first_list_and_what_is_missing_is_named() {
        let secrets = Secrets::default();
        assert_eq!(secrets.text("a", "kubeconfig"), Ok(None));
        for event in [
            watcher::Event::Init,
            watcher::Event::InitApply(secret("a", b"x")),
            watcher::Event::InitApply(secret("b", &[0xff])),
            watcher::Event::InitDone,
        ] {
            secrets.take(Ok(event));
        }
        assert_eq!(secrets.text("a", "kubeconfig"), Ok(Some("x".to_owned())));
        assert_eq!(secrets.text("b", "kubeconfig").unwrap_err().0, reason::KUBECONFIG_REFUSED);
        assert!(
            secrets.text("a", "config").unwrap_err().1.ends_with("has no key \"config\"; it has kubeconfig")
        );
        assert!(secrets.text("c", "kubeconfig").unwrap_err().1.starts_with("Secret c is not in namespace"));
        secrets.take(Ok(watcher::Event::Delete(secret("a", b"x"))));
        assert_eq!(secrets.text("a", "kubeconfig").unwrap_err().0, reason::SECRET_MISSING);
    }

    #[test]
    fn a_new_list_replaces_the_old_one() {
        let secrets = Secrets::default();
        for name in ["a", "b"] {
            secrets.take(Ok(watcher::Event::Init));
            secrets.take(Ok(watcher::Event::InitApply(secret(name, b"x"))));
            secrets.take(Ok(watcher::Event::InitDone));
        }
        assert!(secrets.text("a", "kubeconfig").is_err() && secrets.text("b", "kubeconfig").is_ok());
    }
}
