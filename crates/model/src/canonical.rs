//! One form for all worlds that differ in nothing that matters.
//!
//! Owns no state. Versions and uids are only ever compared, members and routers differ in nothing but their number, and
//! what no rule asks any more is as good as forgotten. Each line here must leave every later step of every router and
//! every property as they are: a walk with and one without [`crate::Bounds::symmetry`] find the same.

use crate::{
    member::View,
    object::{Change, LateWrite, Object, Record, Write},
    router::{Found, Pending, Router},
    setup::Setup,
    world::World,
};

/// Numbers in use at once, of versions or of uids.
const NUMBERS: usize = 24;

impl World {
    /// A version that nothing has yet.
    pub(crate) fn fresh_version(&self) -> u8 {
        self.versions().max().unwrap_or(0).saturating_add(1)
    }

    fn versions(&self) -> impl Iterator<Item = u8> {
        let known = self.routers.iter().filter_map(|router| router.known);
        let objects = known.chain(self.hub).map(|object| object.version);
        objects.chain(self.write.and_then(|late| late.write.version))
    }

    /// The same world in the one form that stands for it.
    pub(crate) fn canonical(mut self, setup: &Setup) -> Self {
        self.number_versions();
        self.creates.sort_unstable();
        if !setup.bounds.symmetry {
            return self;
        }
        self.forget_what_nothing_asks(setup);
        self.number_uids();
        let swap_routers = match self.lease.holder {
            Some(holder) => holder == 1,
            None => self.routers[1] < self.routers[0],
        };
        if swap_routers {
            self.swap_routers();
        }
        let mirrored = self.with_members_swapped();
        self.min(mirrored)
    }

    /// Only equality of versions and their order matter.
    fn number_versions(&mut self) {
        let ranks = Ranks::of(self.versions());
        let known = self.routers.iter_mut().filter_map(|router| router.known.as_mut());
        for object in known.chain(&mut self.hub) {
            object.version = ranks.rank(object.version);
        }
        if let Some(version) = self.write.as_mut().and_then(|late| late.write.version.as_mut()) {
            *version = ranks.rank(*version);
        }
    }

    /// Only equality of uids matters.
    fn number_uids(&mut self) {
        let mut used = [0_u8; NUMBERS];
        let mut count = 0;
        self.each_uid(&mut |uid| {
            if count < NUMBERS {
                used[count] = *uid;
                count += 1;
            }
        });
        let ranks = Ranks::of(used[..count].iter().copied());
        self.each_uid(&mut |uid| *uid = ranks.rank(*uid) + 1);
        self.history.created = ranks.len();
    }

    fn each_uid(&mut self, visit: &mut impl FnMut(&mut u8)) {
        let slots = self.members.iter_mut().flat_map(|member| &mut member.slots);
        for app in slots.filter_map(|slot| slot.app.as_mut()) {
            visit(&mut app.uid);
        }
        for object in [&mut self.hub, &mut self.backup].into_iter().flatten() {
            object.record.each_uid(visit);
        }
        if let Some(LateWrite { write: Write { change: Change::Status(record), .. }, .. }) = &mut self.write {
            record.each_uid(visit);
        }
        for router in &mut self.routers {
            router.each_uid(visit);
        }
    }

    fn forget_what_nothing_asks(&mut self, setup: &Setup) {
        let caps = setup.protocol.caps();
        for router in &mut self.routers {
            let Some(placed) = router.known.and_then(|known| known.record.placement) else {
                // The next placement is younger than the leadership, and settles later.
                router.leading = caps.settle;
                continue;
            };
            let memory = &mut router.memory;
            if memory.placed_here || placed.age <= router.leading {
                router.leading = caps.settle;
            }
            if placed.uid.is_some() {
                // It was sent, and that it was accepted is asked only where no uid is on record.
                memory.sent = true;
                memory.accepted = None;
                memory.claimed = false;
                let settled = if memory.placed_here { setup.protocol.request } else { caps.settle };
                if memory.unanswered.is_some_and(|age| age >= settled) {
                    memory.unanswered = None;
                }
            }
        }
        if let Some(hub) = self.hub.filter(|_| setup.protocol.settles) {
            self.forget_ages(hub, setup);
        }
    }

    /// With its uid on record, only a process that neither made a placement nor leads for less long asks for its age. Who
    /// leads later leads for less long.
    fn forget_ages(&mut self, hub: Object, setup: &Setup) {
        let oldest = setup.protocol.caps().settle;
        let Some(placed) = hub.record.placement.filter(|placed| placed.uid.is_some()) else { return };
        let asks = |router: &Router| {
            router.memory.about == Some(placed.seq)
                && !router.memory.placed_here
                && router.leading > placed.age
        };
        let knows = |router: &Router| {
            let known = router.known.and_then(|known| known.record.placement);
            known.is_none_or(|known| known.seq == placed.seq && known.uid.is_some())
        };
        let settled = self.write.is_none() && self.backup.is_none();
        if !settled || self.routers.iter().any(asks) || !self.routers.iter().all(knows) {
            return;
        }
        let known = self.routers.iter_mut().filter_map(|router| router.known.as_mut());
        for object in known.chain(&mut self.hub) {
            if let Some(placed) = &mut object.record.placement {
                placed.age = oldest;
            }
        }
    }

    fn swap_routers(&mut self) {
        self.routers.swap(0, 1);
        if let Some(holder) = &mut self.lease.holder {
            *holder = 1 - *holder;
        }
        for create in self.creates.iter_mut().flatten() {
            create.from = 1 - create.from;
        }
        if let Some(late) = &mut self.write {
            late.from = 1 - late.from;
        }
        self.creates.sort_unstable();
    }

    fn with_members_swapped(mut self) -> Self {
        self.members.swap(0, 1);
        self.history.left.swap(0, 1);
        for router in &mut self.routers {
            router.views.swap(0, 1);
            router.proofs.swap(0, 1);
            if let Pending::Closing(spot) = &mut router.pending {
                spot.member = 1 - spot.member;
            }
            if let Some(known) = &mut router.known {
                known.record.swap_members();
            }
        }
        for object in [&mut self.hub, &mut self.backup].into_iter().flatten() {
            object.record.swap_members();
        }
        for create in self.creates.iter_mut().flatten() {
            create.spot.member = 1 - create.spot.member;
        }
        if let Some(LateWrite { write: Write { change: Change::Status(record), .. }, .. }) = &mut self.write {
            record.swap_members();
        }
        self.creates.sort_unstable();
        self
    }
}

impl Record {
    fn swap_members(&mut self) {
        self.refused.swap(0, 1);
        if let Some(placed) = &mut self.placement {
            placed.spot.member = 1 - placed.spot.member;
        }
        for past in self.past.iter_mut().flatten() {
            past.spot.member = 1 - past.spot.member;
        }
    }

    fn each_uid(&mut self, visit: &mut impl FnMut(&mut u8)) {
        if let Some(uid) = self.placement.as_mut().and_then(|placed| placed.uid.as_mut()) {
            visit(uid);
        }
        for uid in self.past.iter_mut().flatten().filter_map(|past| past.uid.as_mut()) {
            visit(uid);
        }
    }
}

impl Router {
    fn each_uid(&mut self, visit: &mut impl FnMut(&mut u8)) {
        if let Some(known) = &mut self.known {
            known.record.each_uid(visit);
        }
        for view in &mut self.views {
            if let View::Listed(apps) = view {
                apps.iter_mut().flatten().for_each(|app| visit(&mut app.uid));
            }
        }
        if let Some((uid, _)) = &mut self.memory.accepted {
            visit(uid);
        }
        if let Pending::Confirmed(Found::Present(app)) | Pending::Refused { found: Found::Present(app), .. } =
            &mut self.pending
        {
            visit(&mut app.uid);
        }
    }
}

/// The different ones of some numbers, in order.
struct Ranks {
    numbers: [u8; NUMBERS],
    len: usize,
}

impl Ranks {
    fn of(numbers: impl Iterator<Item = u8>) -> Self {
        let mut ranks = Self { numbers: [u8::MAX; NUMBERS], len: 0 };
        for number in numbers {
            if let Err(at) = ranks.numbers[..ranks.len].binary_search(&number) {
                ranks.numbers.copy_within(at..NUMBERS - 1, at + 1);
                ranks.numbers[at] = number;
                ranks.len += 1;
            }
        }
        ranks
    }

    fn rank(&self, number: u8) -> u8 {
        let before = self.numbers[..self.len].iter().take_while(|other| **other < number);
        before.fold(0, |rank, _| rank + 1)
    }

    fn len(&self) -> u8 {
        self.numbers[..self.len].iter().fold(0, |len, _| len + 1)
    }
}
