//! A member in small: its link, and of each attempt the application under its name and what outlives it.
//!
//! Owns no behaviour but what can be read off a state.

use crate::age::Age;

/// Members in the world.
pub(crate) const MEMBERS: usize = 2;

/// Attempts that have names. Each is a name of its own on each member.
pub(crate) const ATTEMPTS: usize = 2;

/// One attempt on one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) member: u8,
    /// From 0.
    pub(crate) attempt: u8,
}

/// One member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Member {
    /// What is there of each attempt.
    pub(crate) slots: [Slot; ATTEMPTS],
    pub(crate) link: Link,
    /// Its administrator wants it empty.
    pub(crate) drained: bool,
}

/// What is on a member of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot {
    /// What is there under its name.
    pub(crate) app: Option<App>,
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

/// A watch's view of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum View {
    Unknown,
    Listed([Option<App>; ATTEMPTS]),
}

/// What is known of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Unknown,
    Absent,
    App(App),
}

impl Spot {
    /// Every attempt on every member.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let members = (0_u8..).take(MEMBERS);
        members.flat_map(|member| (0_u8..).take(ATTEMPTS).map(move |attempt| Self { member, attempt }))
    }

    /// As places in lists.
    pub(crate) fn indices(self) -> (usize, usize) {
        (usize::from(self.member), usize::from(self.attempt))
    }
}

impl View {
    /// What it says of one attempt.
    pub(crate) fn of(self, attempt: u8) -> Shown {
        match self {
            Self::Unknown => Shown::Unknown,
            Self::Listed(apps) => apps[usize::from(attempt)].map_or(Shown::Absent, Shown::App),
        }
    }
}

impl Slot {
    /// An application of the job runs here or will.
    pub(crate) fn runs(self) -> bool {
        self.app.is_some_and(|app| app.ours && app.runs())
    }

    /// What a look at the driver's pod says.
    pub(crate) fn driver(self) -> Driver {
        match (self.app.map(|app| app.run), self.stray) {
            (_, Stray::Driver) | (Some(Run::Running), _) => Driver::Alive,
            (Some(Run::Doubled(driver)), _) => driver,
            (Some(Run::Succeeded), _) => Driver::Succeeded,
            (Some(Run::Failed), _) => Driver::Failed,
            (Some(Run::Fresh | Run::DriverLost) | None, _) => Driver::Gone,
        }
    }

    /// A driver without an application runs here.
    pub(crate) fn strays(self) -> bool {
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
        View::Listed(self.slots.map(|slot| slot.app.map(App::shown)))
    }
}
