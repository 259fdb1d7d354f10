//! The state of the world in small: hub, members, routers and what is on its way between them.
//!
//! Owns no behaviour but aging and canonical form. Times are ages in ticks, cut off where nothing depends on them any
//! more, so that the world has finitely many states however long it goes on. Holds no text: names and uids are numbers
//! and become the core's types in [`crate::bridge`] alone.

pub(crate) use crate::{
    object::{Change, End, LateWrite, Mirrored, Object, Placed, Record, Write},
    router::{Found, Lease, Memory, Pending, Proof, Router, View},
};

/// Members in the world.
pub(crate) const MEMBERS: usize = 2;
/// Routers in the world.
pub(crate) const ROUTERS: usize = 2;
/// Creates on their way at once.
pub(crate) const CREATES: usize = 2;

/// Ticks since something happened.
pub(crate) type Age = u8;

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct World {
    /// The job on the hub; `None` when it is gone.
    pub(crate) hub: Option<Object>,
    /// What a backup of the hub holds.
    pub(crate) backup: Option<Object>,
    /// The members.
    pub(crate) members: [Member; MEMBERS],
    /// Creates that may still take effect.
    pub(crate) creates: [Option<Create>; CREATES],
    /// A write to the hub that may still take effect.
    pub(crate) write: Option<LateWrite>,
    /// The routers.
    pub(crate) routers: [Router; ROUTERS],
    /// Who leads.
    pub(crate) lease: Lease,
    /// Faults that may still happen.
    pub(crate) faults: u8,
    /// Edits that the user may still make.
    pub(crate) edits: u8,
    /// What happened, for the properties alone.
    pub(crate) history: History,
}

/// One member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Member {
    /// What is there under the name of the job's attempt.
    pub(crate) app: Option<App>,
    pub(crate) link: Link,
    pub(crate) stray: Stray,
}

/// What probes make of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Link {
    Ready,
    Suspect,
    Lost,
}

/// A submission that outlives its application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stray {
    None,
    /// It may still make a driver.
    Hangs(Age),
    /// It made one.
    Driver,
}

/// A remote application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct App {
    pub(crate) uid: u8,
    pub(crate) ours: bool,
    pub(crate) run: Run,
    pub(crate) deleting: bool,
    pub(crate) held: bool,
    /// Its submission hangs. Seen by nobody.
    pub(crate) hung: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Run {
    Fresh,
    Running,
    Succeeded,
    Failed,
    /// Its driver was taken away.
    DriverLost,
    /// Its operator started it twice and gave up on the second driver. The first goes on, seen by nobody who does not
    /// look at it.
    Doubled(Driver),
}

/// What became of a driver's pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Driver {
    Alive,
    Succeeded,
    Failed,
    Gone,
}

/// A create on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Create {
    pub(crate) member: u8,
    pub(crate) from: u8,
    /// Ticks for which it may still take effect.
    pub(crate) left: Age,
}

/// What happened. No decision reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct History {
    pub(crate) created: u8,
    pub(crate) placed: u8,
    pub(crate) ended: Option<End>,
    pub(crate) end_changed: bool,
    pub(crate) succeeded: bool,
    pub(crate) failed: bool,
    pub(crate) killed: bool,
    pub(crate) removed: bool,
    pub(crate) refused: bool,
    pub(crate) foreign: bool,
    pub(crate) foreign_touched: bool,
    pub(crate) abandoned: bool,
    pub(crate) stopping: bool,
    pub(crate) restored: bool,
}

/// Where ages are cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) settle: Age,
    pub(crate) lease: Age,
    pub(crate) patience: Age,
    pub(crate) retention: Age,
    pub(crate) hang: Age,
    pub(crate) run: Age,
}

pub(crate) fn older(age: &mut Age, cap: Age) {
    *age = age.saturating_add(1).min(cap);
}

impl World {
    /// One tick passes: everything is older, and what was on its way too long takes no effect any more.
    pub(crate) fn grow_older(&mut self, caps: Caps) {
        for object in [&mut self.hub, &mut self.backup].into_iter().flatten() {
            object.grow_older(caps);
        }
        for router in &mut self.routers {
            router.grow_older(caps);
        }
        for slot in &mut self.creates {
            if let Some(create) = slot {
                create.left = create.left.saturating_sub(1);
                if create.left == 0 {
                    *slot = None;
                }
            }
        }
        if let Some(late) = &mut self.write {
            if let Change::Status(record) = &mut late.write.change {
                let mut object = Object {
                    version: 0,
                    held: false,
                    deleting: false,
                    abandoned: false,
                    outdated: false,
                    record: *record,
                };
                object.grow_older(caps);
                *record = object.record;
            }
            late.left = late.left.saturating_sub(1);
            if late.left == 0 {
                self.write = None;
            }
        }
        for member in &mut self.members {
            if let Stray::Hangs(age) = &mut member.stray {
                older(age, caps.hang);
                if *age >= caps.hang {
                    member.stray = Stray::None;
                }
            }
        }
        let holder = self.lease.holder.map(usize::from);
        if holder.is_some_and(|holder| self.routers[holder].up) {
            self.lease.age = 0;
        } else {
            older(&mut self.lease.age, caps.lease);
        }
    }

    /// Runs of the job that live or will. A driver without an application and one with it are never two on one member:
    /// their pods have one name.
    pub(crate) fn alive(&self) -> usize {
        self.members.iter().filter(|member| member.runs() || member.strays()).count()
    }
}

impl Member {
    /// An application of the job runs here or will.
    pub(crate) fn runs(&self) -> bool {
        self.app.is_some_and(|app| app.ours && app.runs())
    }

    /// What a look at the driver's pod says.
    pub(crate) fn driver(&self) -> Driver {
        match (self.app.map(|app| app.run), self.stray) {
            (_, Stray::Driver) | (Some(Run::Running), _) => Driver::Alive,
            (Some(Run::Doubled(driver)), _) => driver,
            (Some(Run::Succeeded), _) => Driver::Succeeded,
            (Some(Run::Failed), _) => Driver::Failed,
            (Some(Run::Fresh | Run::DriverLost) | None, _) => Driver::Gone,
        }
    }

    /// A driver without an application runs here.
    pub(crate) fn strays(&self) -> bool {
        self.stray == Stray::Driver
    }
}

impl App {
    pub(crate) fn runs(self) -> bool {
        match self.run {
            // Its operator starts nothing that is being deleted.
            Run::Fresh => !self.deleting,
            Run::Running | Run::Doubled(Driver::Alive) => true,
            Run::Succeeded | Run::Failed | Run::DriverLost | Run::Doubled(_) => false,
        }
    }

    /// Its operator says that it is over.
    pub(crate) fn is_over(self) -> bool {
        !matches!(self.run, Run::Fresh | Run::Running)
    }

    /// It came to an end that is its own.
    pub(crate) fn ended_by_itself(self) -> bool {
        match self.run {
            Run::Succeeded => true,
            Run::Failed | Run::DriverLost => !self.deleting,
            Run::Fresh | Run::Running | Run::Doubled(_) => false,
        }
    }

    /// As everybody sees it.
    pub(crate) fn shown(self) -> Self {
        let run = match self.run {
            Run::Doubled(_) => Run::Doubled(Driver::Alive),
            run => run,
        };
        Self { hung: false, run, ..self }
    }
}

impl Member {
    /// As a watch or a list shows it.
    pub(crate) fn shown(&self) -> View {
        self.app.map_or(View::Absent, |app| View::Shows(app.shown()))
    }
}
