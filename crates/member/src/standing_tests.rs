//! Tests of [`super`].

use super::*;

fn standing(admission: Admission) -> (Standing, watch::Receiver<u64>) {
    let (sender, receiver) = watch::channel(0);
    (Standing::new(Thresholds::default(), admission, Arc::new(sender)), receiver)
}

fn me() -> MemberIdentity {
    MemberIdentity::from("me")
}

fn ns() -> Namespace {
    Namespace::from("n")
}

#[test]
fn ready_needs_answers_rights_a_view_and_consent() {
    let (standing, _changed) = standing(Admission::Awaited);
    standing.answered(Taken::Yes);
    standing.checked(&me(), Some("v1".to_owned()), None);
    standing.synced();
    assert_eq!(standing.health().link, LinkState::Connecting);
    assert!(standing.takes_creates(&ns()).is_err());
    standing.admit(Admission::Granted);
    assert_eq!(standing.health().link, LinkState::Ready);
    assert!(standing.takes_creates(&ns()).is_ok() && standing.may_be_asked().is_ok());
}

#[test]
fn refused_credentials_disconnect_and_valid_ones_connect_again() {
    let (standing, _changed) = standing(Admission::Granted);
    standing.answered(Taken::Yes);
    standing.checked(&me(), None, None);
    standing.synced();
    standing.answered(Taken::Unauthorized);
    let health = standing.health();
    assert_eq!((health.link, health.fault.map(|f| f.0)), (LinkState::Connecting, Some("Unauthorized")));
    standing.answered(Taken::Yes);
    assert_eq!(standing.health().link, LinkState::Ready);
}

#[test]
fn another_cluster_behind_the_same_address_is_never_asked() {
    let (standing, _changed) = standing(Admission::Granted);
    standing.answered(Taken::Yes);
    standing.checked(&me(), None, None);
    standing.synced();
    standing.checked(&MemberIdentity::from("other"), None, None);
    assert_eq!(standing.health().fault.map(|f| f.0), Some("IdentityChanged"));
    assert!(standing.may_be_asked().is_err());
    assert_eq!(standing.identity(), Some(&me()));
}

fn forbidden() -> Refusal {
    Refusal { class: RefusalClass::Member, reason: "Forbidden", message: "no".to_owned() }
}

#[test]
fn a_namespace_that_refuses_is_left_alone_for_longer_each_time() {
    let (standing, _changed) = standing(Admission::Granted);
    standing.answered(Taken::Yes);
    standing.checked(&me(), None, None);
    standing.synced();
    let seconds = |standing: &Standing| {
        let until = standing.health().blocked[0].2;
        until.duration_since(standing.now()).as_secs()
    };
    standing.block(&ns(), forbidden());
    assert!((4..=5).contains(&seconds(&standing)));
    standing.block(&ns(), forbidden());
    assert!((9..=10).contains(&seconds(&standing)));
    for _ in 0..9 {
        standing.block(&ns(), forbidden());
    }
    assert!((299..=300).contains(&seconds(&standing)));
    assert_eq!(standing.takes_creates(&ns()), Err(Denied::Refused(forbidden())));
    assert_eq!(standing.takes_creates(&Namespace::from("other")), Ok(()));
    standing.unblock(&ns());
    assert!(standing.health().blocked.is_empty() && standing.takes_creates(&ns()).is_ok());
}

#[test]
fn only_what_shows_is_told() {
    let (standing, mut changed) = standing(Admission::Granted);
    standing.answered(Taken::Yes);
    standing.checked(&me(), None, None);
    standing.synced();
    changed.mark_unchanged();
    standing.answered(Taken::Yes);
    assert!(!changed.has_changed().unwrap());
    standing.missed();
    assert!(changed.has_changed().unwrap());
}
