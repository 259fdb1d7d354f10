//! Which links may be used: no two members on one target, and no member that turned into another cluster while jobs are
//! placed on it.
//!
//! Owns no state. Pure.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use spark_router_api::{MemberCluster, condition::reason, member::NamespaceRule};
use spark_router_core::id::{ClusterName, MemberIdentity};
use spark_router_member::{Admission, Claim, Fault, Which};

/// The links that lead to another cluster than the one on record: whether jobs are placed there has to be looked up.
pub(super) fn moved<'a>(claims: &'a [Claim], objects: &[Arc<MemberCluster>]) -> Vec<&'a Claim> {
    claims
        .iter()
        .filter(|claim| recorded(claim, objects).is_some_and(|recorded| recorded != claim.identity))
        .collect()
}

/// What may be used. `held` says for moved members whether jobs are placed there.
pub(super) fn verdicts(
    claims: &[Claim],
    objects: &[Arc<MemberCluster>],
    held: &BTreeMap<ClusterName, bool>,
) -> Vec<(Claim, Admission)> {
    let is_moved = |claim: &Claim| {
        recorded(claim, objects)
            .filter(|recorded| *recorded != claim.identity && held.get(&claim.cluster) != Some(&false))
    };
    claims
        .iter()
        .map(|claim| {
            // A replacement that leads elsewhere stops new work on the link in use, too: somebody means to move it.
            let mut of_the_same = claims.iter().filter(|other| other.cluster == claim.cluster);
            let moved =
                of_the_same.find_map(|other| is_moved(other).map(|recorded| changed(&recorded, other)));
            let fault = moved.or_else(|| duplicate(claim, claims, objects));
            (claim.clone(), fault.map_or(Admission::Granted, Admission::Barred))
        })
        .collect()
}

fn object<'a>(cluster: &ClusterName, objects: &'a [Arc<MemberCluster>]) -> Option<&'a Arc<MemberCluster>> {
    objects.iter().find(|object| object.name_any() == cluster.as_str())
}

/// Who the member is on record.
fn recorded(claim: &Claim, objects: &[Arc<MemberCluster>]) -> Option<MemberIdentity> {
    let status = object(&claim.cluster, objects)?.status.as_ref()?;
    status.identity.as_ref().map(MemberIdentity::new)
}

fn changed(recorded: &MemberIdentity, found: &Claim) -> Fault {
    let message = format!(
        "the credentials lead to another cluster ({}) than the one that holds this member's jobs ({recorded}); put the former credentials back, or add the other cluster as a MemberCluster of its own",
        found.identity
    );
    (reason::IDENTITY_CHANGED, message)
}

/// An older member with the same target. One that is not connected now counts by who it was last.
fn duplicate(claim: &Claim, claims: &[Claim], objects: &[Arc<MemberCluster>]) -> Option<Fault> {
    let own = object(&claim.cluster, objects)?;
    let older = objects.iter().filter(|other| age(other) < age(own)).find(|other| {
        let name = ClusterName::new(other.name_any());
        let present = claims.iter().find(|claim| claim.cluster == name && claim.which == Which::Current);
        let identity = match present {
            Some(present) => Some(present.identity.clone()),
            None => {
                other.status.as_ref().and_then(|status| status.identity.as_ref()).map(MemberIdentity::new)
            }
        };
        identity.as_ref() == Some(&claim.identity) && is_same(&other.spec.namespace, &own.spec.namespace)
    })?;
    let message = format!(
        "MemberCluster {} has the same cluster and namespace rule and was there first; delete one of the two",
        older.name_any()
    );
    Some((reason::DUPLICATE_MEMBER, message))
}

/// Orders members by when they were made; names decide within a second.
fn age(object: &MemberCluster) -> (Option<Timestamp>, String) {
    (object.creation_timestamp().map(|time| time.0), object.name_any())
}

fn is_same(one: &NamespaceRule, other: &NamespaceRule) -> bool {
    one.fixed == other.fixed
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use spark_router_api::{MemberClusterSpec, MemberClusterStatus};

    use super::*;

    fn member(name: &str, created: i64, identity: Option<&str>, fixed: Option<&str>) -> Arc<MemberCluster> {
        let spec: MemberClusterSpec =
            serde_json::from_value(serde_json::json!({"connection": {"inCluster": {}}})).unwrap();
        let mut object = MemberCluster::new(name, spec);
        object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
        object.spec.namespace.fixed = fixed.map(str::to_owned);
        object.status = Some(MemberClusterStatus {
            identity: identity.map(str::to_owned),
            ..MemberClusterStatus::default()
        });
        Arc::new(object)
    }

    fn claim(name: &str, identity: &str, which: Which) -> Claim {
        Claim {
            cluster: ClusterName::from(name),
            which,
            identity: MemberIdentity::from(identity),
            admission: Admission::Awaited,
        }
    }

    fn reasons(verdicts: Vec<(Claim, Admission)>) -> Vec<&'static str> {
        verdicts
            .into_iter()
            .map(|(_, admission)| match admission {
                Admission::Barred((reason, _)) => reason,
                Admission::Granted => "",
                Admission::Awaited => "awaited",
            })
            .collect()
    }

    #[test]
    fn the_older_of_two_on_one_target_wins() {
        let claims = [claim("a", "x", Which::Current), claim("b", "x", Which::Current)];
        let judge = |objects: &[Arc<MemberCluster>]| reasons(verdicts(&claims, objects, &BTreeMap::new()));
        assert_eq!(judge(&[member("a", 2, None, None), member("b", 1, None, None)]), ["DuplicateMember", ""]);
        assert_eq!(judge(&[member("a", 1, None, None), member("b", 1, None, None)]), ["", "DuplicateMember"]);
        assert_eq!(
            judge(&[member("a", 2, None, Some("s")), member("b", 1, None, Some("s"))]),
            ["DuplicateMember", ""]
        );
        assert_eq!(judge(&[member("a", 2, None, Some("s")), member("b", 1, None, Some("t"))]), ["", ""]);
        assert_eq!(judge(&[member("a", 2, None, Some("s")), member("b", 1, None, None)]), ["", ""]);
    }

    #[test]
    fn an_older_one_counts_also_while_it_is_out_of_reach() {
        let claims = [claim("b", "x", Which::Current)];
        let objects = [member("a", 1, Some("x"), None), member("b", 2, None, None)];
        assert_eq!(reasons(verdicts(&claims, &objects, &BTreeMap::new())), ["DuplicateMember"]);
        let objects = [member("a", 1, Some("y"), None), member("b", 2, None, None)];
        assert_eq!(reasons(verdicts(&claims, &objects, &BTreeMap::new())), [""]);
    }

    #[test]
    fn another_cluster_behind_the_credentials_is_refused_while_jobs_are_placed() {
        let claims = [claim("a", "y", Which::Current)];
        let objects = [member("a", 1, Some("x"), None)];
        assert_eq!(moved(&claims, &objects).len(), 1);
        let held = |holds| BTreeMap::from([(ClusterName::from("a"), holds)]);
        assert_eq!(reasons(verdicts(&claims, &objects, &held(true))), ["IdentityChanged"]);
        assert_eq!(reasons(verdicts(&claims, &objects, &held(false))), [""]);
    }

    #[test]
    fn a_replacement_that_leads_elsewhere_bars_both_links() {
        let claims = [claim("a", "x", Which::Current), claim("a", "y", Which::Replacement)];
        let objects = [member("a", 1, Some("x"), None)];
        let held = BTreeMap::from([(ClusterName::from("a"), true)]);
        assert_eq!(reasons(verdicts(&claims, &objects, &held)), ["IdentityChanged", "IdentityChanged"]);
    }
}
