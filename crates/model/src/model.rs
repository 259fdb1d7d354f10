//! The model as stateright walks it, and what must hold in every world that it reaches.
//!
//! Owns no state. A property never looks at a router's memory: it speaks of the hub's record and of what runs.

use spark_router_core::policy::OnMemberLost;
use stateright::{Model, Property};

use crate::{
    action::Action,
    bridge, happen,
    member::{Link, Spot},
    nature,
    object::{End, Stop},
    setup::Setup,
    world::World,
};

/// A setup to be walked through.
pub(crate) struct Walk(pub(crate) Setup);

impl Model for Walk {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![happen::beginning(&self.0)]
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        nature::actions(world, &self.0, out);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(happen::after(world, action, &self.0)).filter(|after| after != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let Setup { course, bounds, .. } = &self.0;
        let mut properties = vec![
            Property::always(ONE_RUN, |walk: &Walk, world: &World| {
                world.alive().filter(|spot| !is_excused(walk, world, *spot)).count() <= 1
            }),
            Property::always(NO_SECOND_LIFE, no_second_life),
            Property::always(ONE_END, |_, world: &World| !world.history.end_changed),
            Property::always(TRUE_END, |_, world: &World| true_end(world)),
            Property::always(NOTHING_FOREIGN, |_, world: &World| !world.history.foreign_touched),
            Property::always(NO_ORPHAN, |_, world: &World| no_orphan(world)),
            Property::always(DECIDED, |_, world: &World| !world.history.revived),
            Property::always(CURRENT_STAYS, |_, world: &World| !world.history.cut_off),
            Property::always(EXPLAINED, |walk: &Walk, world: &World| {
                is_explained(world) || !is_quiet(walk, world, Action::is_due)
            }),
            Property::always(STALE_GOES, |walk: &Walk, world: &World| {
                nothing_stale(world) || !is_quiet(walk, world, is_due_of_a_run_that_lasts)
            }),
            Property::always(ROOM, |_, world: &World| world.hub.is_none_or(|hub| !hub.record.crowded)),
            // That the walk comes to where jobs end at all.
            Property::sometimes(SUCCEEDS, |_, world: &World| world.history.ended == Some(End::Succeeded)),
        ];
        let again = bounds.placements > 1;
        if again {
            properties.push(Property::sometimes(MOVES, |_, world: &World| {
                world.history.placed > 1 && Spot::all().any(|spot| world.slot(spot).runs())
            }));
        }
        if bounds.cancel {
            properties.push(Property::sometimes(CANCELLED, |_, world: &World| {
                let record = world.hub.map(|hub| hub.record);
                record.is_some_and(|record| {
                    matches!(record.finished, Some((End::Cancelled, _))) && record.placement.is_some()
                })
            }));
        }
        if again && bounds.attempts > 1 {
            properties.push(Property::sometimes(LATER, |_, world: &World| {
                world.history.ended == Some(End::Succeeded) && world.history.succeeded[1]
            }));
        }
        if bounds.drains {
            properties.push(Property::sometimes(DRAINED, |_, world: &World| {
                world.hub.is_some_and(|hub| hub.record.stopping == Some(Stop::Drained))
            }));
        }
        match course.on_member_lost {
            OnMemberLost::Wait => {}
            OnMemberLost::FenceThenMove => properties.push(Property::sometimes(LOST, |_, world: &World| {
                world.hub.is_some_and(|hub| hub.record.stopping == Some(Stop::MemberLost))
            })),
            OnMemberLost::AllowDuplicate if !again => {}
            OnMemberLost::AllowDuplicate => {
                properties.push(Property::sometimes(TWICE, |_, world: &World| world.alive().count() > 1));
            }
        }
        properties
    }
}

pub(crate) const ONE_RUN: &str = "at most one run of a job lives";
pub(crate) const NO_SECOND_LIFE: &str = "a finished job never runs again";
pub(crate) const ONE_END: &str = "an end on record stays as it is";
pub(crate) const TRUE_END: &str = "no end is recorded that no run had";
pub(crate) const NOTHING_FOREIGN: &str = "nothing foreign is written or deleted";
pub(crate) const NO_ORPHAN: &str = "nothing runs whose job is gone";
pub(crate) const DECIDED: &str = "a stop on record is not taken back";
pub(crate) const CURRENT_STAYS: &str = "the attempt on record is stopped by decision only";
pub(crate) const STALE_GOES: &str = "what is not the attempt on record is stopped where it can be";
pub(crate) const EXPLAINED: &str = "every job ends or waits for a stated reason";
pub(crate) const ROOM: &str = "the model has room for what it is asked";
pub(crate) const SUCCEEDS: &str = "a job succeeds";
pub(crate) const MOVES: &str = "a job runs after it was placed a second time";
pub(crate) const CANCELLED: &str = "a placed job is cancelled";
pub(crate) const LATER: &str = "a later attempt succeeds";
pub(crate) const DRAINED: &str = "a job leaves a member that is drained";
pub(crate) const LOST: &str = "a job leaves a member that was lost";
pub(crate) const TWICE: &str = "a job runs twice, as its owner allows";

/// It was left behind although it may run, and the job's owner allows that.
fn is_excused(walk: &Walk, world: &World, spot: Spot) -> bool {
    walk.0.course.on_member_lost == OnMemberLost::AllowDuplicate && world.was_left(spot)
}

fn no_second_life(walk: &Walk, world: &World) -> bool {
    let finished = world.hub.is_some_and(|hub| hub.record.finished.is_some());
    // A driver whose application somebody took away dies by itself.
    let runs = |spot: Spot| world.slot(spot).runs() && !is_excused(walk, world, spot);
    !(finished || world.history.ended.is_some()) || !Spot::all().any(runs)
}

fn true_end(world: &World) -> bool {
    let Some(record) = world.hub.map(|hub| hub.record) else { return true };
    let attempt = record.placement.map_or(0, |placed| usize::from(placed.spot.attempt));
    record.finished.is_none_or(|(end, _)| is_true(end, world, attempt))
}

fn no_orphan(world: &World) -> bool {
    if world.hub.is_some() || world.history.abandoned {
        return true;
    }
    let strays = Spot::all().any(|spot| world.slot(spot).strays());
    let runs = Spot::all().any(|spot| world.slot(spot).runs());
    !runs && (!strays || world.history.ended.is_some())
}

/// Nothing runs on a member that answers but the attempt on record, and nothing that may run is left there of those
/// before it.
fn nothing_stale(world: &World) -> bool {
    let Some(hub) = world.hub.filter(|_| !world.history.abandoned) else { return true };
    let current = hub.record.placement.map(|placed| placed.spot);
    let answers = |spot: Spot| world.members[usize::from(spot.member)].link == Link::Ready;
    // What is over has time.
    let over = |spot: Spot| world.slot(spot).app.is_some_and(|app| app.ours && bridge::proves_end(app));
    let stale = |spot: &Spot| Some(*spot) != current && answers(*spot);
    let mut past = hub.record.past.iter().flatten().filter(|past| past.may_run && answers(past.spot));
    !Spot::all().filter(stale).any(|spot| world.slot(spot).runs()) && past.all(|past| over(past.spot))
}

/// Whether the world must go on by this also where a run takes for ever.
fn is_due_of_a_run_that_lasts(action: Action) -> bool {
    action.is_due() && !matches!(action, Action::EndRun(..))
}

/// Nothing that is due goes on by itself any more.
fn is_quiet(walk: &Walk, world: &World, is_due: fn(Action) -> bool) -> bool {
    let over = world.creates.iter().all(Option::is_none) && world.write.is_none();
    if !over || world.members.iter().any(|member| member.link == Link::Suspect) {
        return false;
    }
    let mut actions = Vec::new();
    walk.actions(world, &mut actions);
    actions
        .into_iter()
        .filter(|action| is_due(*action))
        .all(|action| walk.next_state(world, action).is_none())
}

fn is_explained(world: &World) -> bool {
    let Some(hub) = world.hub else { return true };
    let record = &hub.record;
    if record.finished.is_some() {
        // What is over must be let go of where that can be done.
        let held = |spot: Spot| world.slot(spot).app.is_some_and(|app| app.ours && app.held);
        let lost = |spot: Spot| world.members[usize::from(spot.member)].link == Link::Lost;
        return record.placement.is_none_or(|placed| lost(placed.spot) || !held(placed.spot))
            && record.past.iter().flatten().all(|past| lost(past.spot));
    }
    if hub.deleting {
        return record.explained;
    }
    match record.placement {
        None => record.waiting,
        Some(_) => record.unreachable,
    }
}

/// Whether an end on record is one that this attempt really came to.
fn is_true(end: End, world: &World, attempt: usize) -> bool {
    let history = &world.history;
    match end {
        End::Succeeded => history.succeeded[attempt],
        End::Failed => history.failed[attempt],
        End::DriverLost => history.killed[attempt] || history.removed[attempt],
        End::Vanished => history.removed[attempt],
        End::NameTaken => history.foreign,
        End::Rejected => history.refused,
        End::Stopped => history.stopping,
        End::Cancelled => history.cancelled,
        End::Abandoned => history.abandoned,
    }
}
