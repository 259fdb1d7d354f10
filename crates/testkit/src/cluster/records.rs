//! All that a cluster has on record, taken at one moment and put back later: what a restore of its etcd does.
//!
//! Owns no state. Talks to etcd's JSON gateway, below the API server, so that uids and times of creation come back as they
//! were. It must never touch another cluster's records: all of a fleet share one etcd, each below its own name.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::Cluster;
use crate::Error;

/// The records of a cluster at one moment: keys and values as etcd's gateway writes them.
#[derive(Debug, Clone)]
pub struct Records(BTreeMap<String, String>);

impl Cluster {
    /// All that is on record now.
    pub async fn records(&self) -> Result<Records, Error> {
        let (first, end) = (format!("/{}/", self.name), format!("/{}0", self.name));
        let all = json!({"key": BASE64.encode(first.as_bytes()), "range_end": BASE64.encode(end.as_bytes())});
        let answer = self.ask_etcd("/v3/kv/range", &all).await?;
        let kept =
            answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(|pair| {
                // An empty value is left out.
                let value = pair["value"].as_str().unwrap_or_default();
                Some((pair["key"].as_str()?.to_owned(), value.to_owned()))
            });
        Ok(Records(kept.collect()))
    }

    /// Stops the API server, puts the records back to what they were, and starts it again. Whoever watches it has to begin
    /// anew.
    pub async fn put_back(&self, then: &Records) -> Result<(), Error> {
        self.stop_apiserver()?;
        let now = self.records().await?;
        for key in now.0.keys().filter(|key| !then.0.contains_key(*key)) {
            self.ask_etcd("/v3/kv/deleterange", &json!({"key": key})).await?;
        }
        for (key, value) in then.0.iter().filter(|(key, value)| now.0.get(*key) != Some(value)) {
            self.ask_etcd("/v3/kv/put", &json!({"key": key, "value": value})).await?;
        }
        self.start_apiserver().await
    }

    async fn ask_etcd(&self, path: &str, question: &Value) -> Result<Value, Error> {
        const DOING: &str = "asking etcd";
        let bad = |error: String| Error::Manifest(format!("{DOING} for {path}: {error}"));
        let address =
            self.etcd.parse().map_err(|error| bad(format!("{} is no address: {error}", self.etcd)))?;
        let client = Client::try_from(Config::new(address)).map_err(Error::api(DOING, &self.name))?;
        let request = http::Request::post(path).body(question.to_string().into_bytes());
        let request = request.map_err(|error| bad(error.to_string()))?;
        let text = client.request_text(request).await.map_err(Error::api(DOING, &self.name))?;
        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))
    }
}
