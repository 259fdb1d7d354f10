//! What is done to a virtual cluster: the faults of members as an AWS API has them.
//!
//! Owns no state. As everywhere, whatever was broken is whole at the end, but for answers that are still under way.

use std::time::Duration;

use jiff::Timestamp;
use spark_router_testkit::moto::{Fault, What};
use tokio::time::{Instant, sleep, timeout};

use crate::error::Error;
use crate::evidence::Span;
use crate::fault::Kind;
use crate::inject::{LATE, LOOK, MORE, since};
use crate::plan::Planned;
use crate::site::Virtual;

/// Of starts so late is half: a client waits ten seconds for an answer, and the start takes effect all the same.
const TOO_LATE: Duration = Duration::from_secs(11);
/// The router sends a start again thirty seconds after an answer that did not come, and later where leaders change.
const UNLISTED: Duration = Duration::from_mins(3);
/// A server that is silent now does not answer to a look either.
const PATIENCE: Duration = Duration::from_secs(1);

/// Carries a fault out; returns after its end from when to when, if it met anybody.
pub(crate) async fn disturb(here: &Virtual, fault: &Planned, seed: u64) -> Result<Option<Span>, Error> {
    let from = Timestamp::now();
    if matches!(fault.kind, Kind::MemberSilent | Kind::MemberLost) {
        // Connections are taken, and nobody reads: what was asked meanwhile is acted on afterwards.
        here.moto.process().pause()?;
        sleep(fault.lasts).await;
        let to = Timestamp::now();
        here.moto.process().resume()?;
        return Ok(Some(Span { from, to }));
    }
    for fault in faults(fault.kind, here.honours_tokens, seed) {
        here.moto.inject(&fault).await?;
    }
    let started = Instant::now();
    let least = if fault.kind == Kind::StartUnseen { Duration::ZERO } else { fault.lasts };
    sleep(least).await;
    while here.moto.faults_struck().await? == 0 && started.elapsed() < fault.lasts + MORE {
        sleep(LOOK).await;
    }
    let met = here.moto.end_faults().await? > 0;
    // Nothing else befalls its member meanwhile.
    while fault.kind == Kind::StartUnseen && here.moto.unlisted().await? > 0 {
        sleep(LOOK).await;
    }
    Ok(met.then(|| since(from)))
}

fn faults(kind: Kind, honours_tokens: bool, seed: u64) -> Vec<Fault> {
    let start = |what| Fault::on("StartJobRun", what).always();
    let any = |what| Fault::on_any(what).always();
    match kind {
        Kind::MemberAnswersLost => vec![
            // Each: what is sent again is looked for first. Where tokens count, what was started is not even listed: it is
            // the token alone that keeps its job from a second run, wherever that is to go meanwhile.
            start(if honours_tokens { What::Unlisted(UNLISTED) } else { What::ResponseLost }),
            Fault::on("CancelJobRun", What::ResponseLost).always().chance(67, seed),
        ],
        Kind::StartUnseen => vec![Fault::on("StartJobRun", What::Unlisted(UNLISTED))],
        Kind::MemberLate => {
            vec![start(What::Late(TOO_LATE)).chance(50, seed), any(What::Late(LATE)).chance(50, seed)]
        }
        Kind::MemberErrors => {
            vec![any(What::Internal).chance(33, seed), any(What::Page).chance(50, seed)]
        }
        Kind::MemberThrottled => vec![any(What::Throttled).chance(50, seed), any(What::TooMany)],
        Kind::MemberCut => vec![any(What::RequestLost)],
        Kind::CredentialsRotated => vec![any(What::Expired)],
        _ => Vec::new(),
    }
}

/// Cancels a running job run, as somebody at AWS. Whether there was one.
pub(crate) async fn cancel_one(here: &Virtual) -> bool {
    let Ok(Ok(runs)) = timeout(PATIENCE, here.moto.runs(None)).await else { return false };
    let Some(run) = runs.iter().find(|run| run.state == "RUNNING") else { return false };
    matches!(timeout(PATIENCE, here.moto.cancel_run(&here.id, &run.id)).await, Ok(Ok(())))
}
