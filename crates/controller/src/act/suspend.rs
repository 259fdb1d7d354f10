//! Effects that hold a placed job back on its member, and let it go on.
//!
//! Owns no state. What is asked for is on the hub's record before the member is written to; what its operator makes of it
//! comes back as a mirror.

use std::sync::Arc;

use spark_router_api::condition::reason;
use spark_router_core::{id::RemoteUid, job::Placement, step::Pause};
use spark_router_member::{Member, Suspended};
use tracing::{debug, info};

use super::{Next, UNCLEAR_SECONDS, in_seconds, write};
use crate::{context::Context, error::Error, events::Kind, gather::Gathered, status::Change};

/// The member's view shows what was written in a moment, and calls; this is for a call that got lost.
const SHOWN_SECONDS: i64 = 10;

pub(super) async fn pause(at: &Gathered, context: &Context, pause: &Pause) -> Result<Next, Error> {
    match pause {
        Pause::Ask | Pause::Resume | Pause::Drop => {
            write(at, context, &Change::Pausing(pause)).await.map(Next::written)
        }
        Pause::Set(uid, suspend) => {
            let Some((placement, member)) = at.placed() else {
                return Ok(Next::Rest(Some(in_seconds(UNCLEAR_SECONDS))));
            };
            set(at, context, placement, member, uid, *suspend).await
        }
    }
}

async fn set(
    at: &Gathered,
    context: &Context,
    placement: &Placement,
    member: &Arc<dyn Member>,
    uid: &RemoteUid,
    suspend: bool,
) -> Result<Next, Error> {
    let Placement { cluster, namespace, name, .. } = placement;
    let answer = member.suspend(namespace, name, uid, suspend).await.map_err(|source| {
        let member = cluster.as_str().to_owned();
        Error::Member { member, source }
    })?;
    match answer {
        Suspended::Done => {
            info!(cluster.name = %cluster, suspend, "its operator is asked to hold it, or to let it go on");
            Ok(Next::Rest(Some(in_seconds(SHOWN_SECONDS))))
        }
        Suspended::NotNow(why) => {
            debug!(cluster.name = %cluster, why, "it cannot be held or let go on now");
            Ok(Next::Rest(Some(in_seconds(UNCLEAR_SECONDS))))
        }
        Suspended::Never(why) => {
            let written = write(at, context, &Change::NotPaused(&why)).await?;
            if let Some(written) = &written {
                let note = format!(
                    "{cluster} does not hold it (spec.suspend): {why}. It goes on; to stop it, set spec.cancel"
                );
                context.events.publish(written, Kind::Warning, "Suspend", reason::SUSPEND_IGNORED, &note);
            }
            Ok(Next::written(written))
        }
    }
}
