//! The controls of the controlled lane.
//!
//! Owns no state. Each is one call to a path that AWS does not have; on the plain lane each is an error.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::types::{Calls, CancelEnd, Fault, Limits, Run, Script, Step};
use super::{Lane, Moto, REGION, ask};
use crate::Error;

impl Moto {
    /// Runs that start from now on and match go by it.
    pub async fn script(&self, script: &Script) -> Result<(), Error> {
        self.control("script", &script.json()).await.map(drop)
    }

    /// Runs that start from now on and have no script go by annotations of their driver, as drivers on KWOK's nodes do:
    /// `spark-router.test/run-ms`, `submit-ms`, `exit-code`, `fail-attempts` and `script` (`succeed`, `fail`,
    /// `submission-failed`, `hang-submitted`, `hang-running`). `pace` is the time in each passing state.
    pub async fn go_by_annotations(&self, pace: Duration) -> Result<(), Error> {
        self.control("annotated", &json!({"pace": pace.as_secs_f64()})).await.map(drop)
    }

    /// Moves a run, named by id or by name, now. The step's delay does not count.
    pub async fn advance(&self, run: &str, step: &Step) -> Result<(), Error> {
        let mut given = step.json();
        given["run"] = json!(run);
        self.control("advance", &given).await.map(drop)
    }

    /// How runs end that are cancelled from now on.
    pub async fn cancelled_runs_end(&self, end: CancelEnd) -> Result<(), Error> {
        self.control("cancel", &end.json()).await.map(drop)
    }

    /// Whether a token that was used before gives back its run. On at the start.
    pub async fn honour_tokens(&self, on: bool) -> Result<(), Error> {
        self.control("dedupe", &json!({"on": on})).await.map(drop)
    }

    /// The time in which tokens count is over for all that were used so far.
    pub async fn forget_tokens(&self) -> Result<(), Error> {
        self.control("forget-tokens", &json!({})).await.map(drop)
    }

    /// The history of a run is gone.
    pub async fn remove_run(&self, run: &str) -> Result<(), Error> {
        self.control("remove", &json!({"run": run})).await.map(drop)
    }

    /// Injects a fault, behind those that are still to strike.
    pub async fn inject(&self, fault: &Fault) -> Result<(), Error> {
        self.control("fault", &fault.json()).await.map(drop)
    }

    /// Ends all faults, and says how often they struck.
    pub async fn end_faults(&self) -> Result<u64, Error> {
        let answer = self.control("faults-clear", &json!({})).await?;
        Ok(answer["hit"].as_u64().unwrap_or_default())
    }

    /// How often the faults that are there have struck so far.
    pub async fn faults_struck(&self) -> Result<u64, Error> {
        let answer = self.control("faults", &json!({})).await?;
        Ok(answer["hit"].as_u64().unwrap_or_default())
    }

    /// How many runs lists do not show ([`super::What::Unlisted`]).
    pub async fn unlisted(&self) -> Result<u64, Error> {
        let answer = self.control("unlisted", &json!({})).await?;
        Ok(answer["count"].as_u64().unwrap_or_default())
    }

    /// Puts a virtual cluster into a state: RUNNING, TERMINATING, TERMINATED, ARRESTED.
    pub async fn set_virtual_cluster_state(&self, id: &str, state: &str) -> Result<(), Error> {
        self.control("cluster", &json!({"region": REGION, "id": id, "state": state})).await.map(drop)
    }

    /// Gives a virtual cluster limits; what counts against them is counted from its runs.
    pub async fn set_limits(&self, id: &str, limits: Limits) -> Result<(), Error> {
        let limits = json!({"maxConcurrentJobRuns": limits.running, "maxInQueueJobRuns": limits.waiting});
        self.control("cluster", &json!({"region": REGION, "id": id, "limits": limits})).await.map(drop)
    }

    /// Makes runs that were started by somebody before, without a call for each. Their ids.
    pub async fn seed(
        &self,
        virtual_cluster: &str,
        name: &str,
        count: u32,
        state: &str,
        tags: &Value,
    ) -> Result<Vec<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Made {
            ids: Vec<String>,
        }
        let given = json!({
            "region": REGION, "cluster": virtual_cluster, "name": name, "count": count, "state": state, "tags": tags
        });
        self.read::<Made>("seed", &given).await.map(|made| made.ids)
    }

    /// All runs, or those of that name.
    pub async fn runs(&self, name: Option<&str>) -> Result<Vec<Run>, Error> {
        #[derive(serde::Deserialize)]
        struct All {
            runs: Vec<Run>,
        }
        self.read::<All>("runs", &json!({"name": name})).await.map(|all| all.runs)
    }

    /// What came in since the start or the last [`Self::forget_calls`].
    pub async fn calls(&self) -> Result<Calls, Error> {
        self.read("calls", &json!({})).await
    }

    /// The same, and counts anew.
    pub async fn forget_calls(&self) -> Result<Calls, Error> {
        self.read("calls-clear", &json!({})).await
    }

    /// Says where an EKS cluster's API server is, and its authority as PEM.
    pub async fn place_eks_cluster(&self, name: &str, endpoint: &str, authority: &str) -> Result<(), Error> {
        let given = json!({"region": REGION, "name": name, "endpoint": endpoint, "authority": authority});
        self.control("eks", &given).await.map(drop)
    }

    /// Puts an EKS cluster into a state: CREATING, ACTIVE, UPDATING, DELETING, FAILED.
    pub async fn set_eks_cluster_state(&self, name: &str, state: &str) -> Result<(), Error> {
        self.control("eks", &json!({"region": REGION, "name": name, "status": state})).await.map(drop)
    }

    async fn read<T: DeserializeOwned>(&self, what: &str, given: &Value) -> Result<T, Error> {
        let answer = self.control(what, given).await?;
        serde_json::from_value(answer).map_err(|error| Error::Moto(format!("{what}: {error}")))
    }

    async fn control(&self, what: &str, given: &Value) -> Result<Value, Error> {
        if self.lane == Lane::Plain {
            return Err(Error::Moto(format!("{what}: plain moto has no controls")));
        }
        ask::ask(self.address, "POST", &format!("/-/{what}"), None, given).await.map_err(Error::Moto)
    }
}
