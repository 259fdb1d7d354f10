//! The model as stateright walks it, and what must hold in every world that it reaches.
//!
//! Owns no state. A property never looks at a router's memory: it speaks of the hub's record and of what runs.

use stateright::{Model, Property};

use crate::{
    action::Action,
    happen,
    member::{Link, Member},
    nature,
    object::End,
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
        vec![
            Property::always(ONE_RUN, |_, world: &World| world.alive() <= 1),
            Property::always(NO_SECOND_LIFE, |_, world: &World| no_second_life(world)),
            Property::always(ONE_END, |_, world: &World| !world.history.end_changed),
            Property::always(TRUE_END, |_, world: &World| true_end(world)),
            Property::always(NOTHING_FOREIGN, |_, world: &World| !world.history.foreign_touched),
            Property::always(NO_ORPHAN, |_, world: &World| no_orphan(world)),
            Property::always(EXPLAINED, |walk: &Walk, world: &World| {
                is_explained(world) || !is_quiet(walk, world)
            }),
            // That the walk comes to where jobs end at all.
            Property::sometimes(SUCCEEDS, |_, world: &World| world.history.ended == Some(End::Succeeded)),
            Property::sometimes(MOVES, |_, world: &World| {
                world.history.placed > 1 && world.members.iter().any(Member::runs)
            }),
        ]
    }
}

pub(crate) const ONE_RUN: &str = "at most one run of a job lives";
pub(crate) const NO_SECOND_LIFE: &str = "a finished job never runs again";
pub(crate) const ONE_END: &str = "an end on record stays as it is";
pub(crate) const TRUE_END: &str = "no end is recorded that no run had";
pub(crate) const NOTHING_FOREIGN: &str = "nothing foreign is written or deleted";
pub(crate) const NO_ORPHAN: &str = "nothing runs whose job is gone";
pub(crate) const EXPLAINED: &str = "every job ends or waits for a stated reason";
pub(crate) const SUCCEEDS: &str = "a job succeeds";
pub(crate) const MOVES: &str = "a job runs after it was placed a second time";

fn no_second_life(world: &World) -> bool {
    let finished = world.hub.is_some_and(|hub| hub.record.finished.is_some());
    // A driver whose application somebody took away dies by itself.
    !(finished || world.history.ended.is_some()) || world.members.iter().all(|member| !member.runs())
}

fn true_end(world: &World) -> bool {
    let end = world.hub.and_then(|hub| hub.record.finished);
    end.is_none_or(|(end, _)| is_true(end, world))
}

fn no_orphan(world: &World) -> bool {
    if world.hub.is_some() || world.history.abandoned {
        return true;
    }
    let strays = world.members.iter().any(Member::strays);
    world.members.iter().all(|member| !member.runs()) && (!strays || world.history.ended.is_some())
}

/// Nothing goes on by itself any more.
fn is_quiet(walk: &Walk, world: &World) -> bool {
    let over = world.creates.iter().all(Option::is_none) && world.write.is_none();
    if !over || world.members.iter().any(|member| member.link == Link::Suspect) {
        return false;
    }
    let mut actions = Vec::new();
    walk.actions(world, &mut actions);
    actions
        .into_iter()
        .filter(|action| action.is_due())
        .all(|action| walk.next_state(world, action).is_none())
}

fn is_explained(world: &World) -> bool {
    let Some(hub) = world.hub else { return true };
    let record = &hub.record;
    if record.finished.is_some() {
        // What is over must be let go of where that can be done.
        let held = |at: usize| world.members[at].app.is_some_and(|app| app.ours && app.held);
        let placed = record.placement.map(|placed| usize::from(placed.member));
        return placed.is_none_or(|at| world.members[at].link == Link::Lost || !held(at));
    }
    if hub.deleting {
        return record.explained;
    }
    match record.placement {
        None => record.waiting,
        Some(_) => record.unreachable,
    }
}

/// Whether an end on record is one that something really came to.
fn is_true(end: End, world: &World) -> bool {
    let history = &world.history;
    match end {
        End::Succeeded => history.succeeded,
        End::Failed => history.failed,
        End::DriverLost => history.killed || history.removed,
        End::Vanished => history.removed,
        End::NameTaken => history.foreign,
        End::Rejected => history.refused,
        End::Stopped => history.stopping,
        End::Abandoned => history.abandoned,
    }
}
