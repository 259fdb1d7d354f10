//! The verdicts on the members of a queue, for one job.
//!
//! Owns no state of its own. Puts together what is known of a member as a queue sees it and asks [`crate::place`]; where
//! room alone can matter it answers by itself.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;

use super::{
    Dispatcher, Verdict,
    class::Class,
    hold::{Asker, Takes},
    index,
    line::{Excluded, Open, Rank, Routed, Ruled, Waiting},
};
use crate::{
    id::JobUid,
    ledger::{Ledger, Slot},
    place::{
        self, Bounds, Exclusion, MemberFacts, Question, QueueFacts, Route, RouteSignal, Site, Whose,
        remote_queue,
    },
    resources::{Capacity, Resources},
};

/// A verdict on each member of a queue, in the order of its routes.
pub(super) struct Verdicts<'a> {
    /// Those that could take it.
    pub(super) open: Vec<Open>,
    /// Those that do not.
    pub(super) excluded: Vec<Excluded<'a>>,
}

impl Dispatcher {
    /// The waiting classes that some of these members may have room for now. Everything else is as it was when they were
    /// asked last.
    pub(super) fn who_may_fit(&self, queue: Slot, members: &[Slot], now: Timestamp) -> Vec<Arc<Class>> {
        let line = &self.lines[index(queue)];
        let Some(facts) = &line.facts else { return Vec::new() };
        let left = |member: &Slot| self.doors[index(*member)].bounds.left(self.ledger.on(*member));
        let members: Vec<_> = members.iter().map(|member| (member, left(member))).collect();
        let takes = |member: &Slot, class: &Arc<Class>, waiting: &Waiting| {
            let routed = line.routed.iter().find(|routed| routed.member == *member)?;
            let head = waiting.jobs.first_key_value();
            let asker = head.and_then(|(rank, job)| self.asker(queue, class, rank, job));
            self.judge(queue, facts, routed, class, &question(class, now), asker.as_ref())?.ok()
        };
        let may_fit = |(class, waiting): &(&Arc<Class>, &Waiting)| {
            let mut roomy = members.iter().filter(|(_, left)| left.has_room(waiting.demand));
            roomy.any(|(member, _)| takes(member, class, waiting).is_some())
        };
        line.each_class().filter(may_fit).map(|(class, _)| class.clone()).collect()
    }

    /// Who asks, where anything is held.
    fn asker<'a>(&self, queue: Slot, class: &Class, rank: &Rank, job: &'a JobUid) -> Option<Asker<'a>> {
        (!self.held.is_empty()).then(|| Asker {
            job,
            queue,
            turn: self.turn(queue, class, rank),
            queue_turn: self.queue_turn(queue),
        })
    }

    /// Which members are ruled out for good; as before for jobs like the last ones.
    pub(super) fn ruled(
        &mut self,
        queue: Slot,
        facts: &QueueFacts,
        class: &Arc<Class>,
        now: Timestamp,
    ) -> Arc<[(usize, Exclusion)]> {
        let line = &self.lines[index(queue)];
        if let Some(ruled) = line.ruled.as_ref().filter(|ruled| ruled.like.is_ruled_like(class)) {
            return ruled.out.clone();
        }
        let question = question(class, now);
        let rule = |(n, routed): (usize, &Routed)| {
            let site = |site: &Site<'_>| place::rule_out(&question, site).err();
            Some((n, self.at_site(queue, facts, routed, class, &question, None, site).flatten()?))
        };
        let out: Arc<[_]> = line.routed.iter().enumerate().filter_map(rule).collect();
        self.lines[index(queue)].ruled = Some(Ruled { like: class.clone(), out: out.clone() });
        out
    }

    #[expect(clippy::too_many_arguments, reason = "what one decision is made of, used once")]
    pub(super) fn weigh_routed<'a>(
        &self,
        queue: Slot,
        facts: &QueueFacts,
        class: &Class,
        rank: &Rank,
        job: &JobUid,
        ruled: &'a [(usize, Exclusion)],
        now: Timestamp,
    ) -> Verdicts<'a> {
        let line = &self.lines[index(queue)];
        let question = question(class, now);
        let asker = self.asker(queue, class, rank, job);
        let demand = class.asks.demand;
        let is_open = !facts.paused && facts.limits.held.has_room(self.ledger.total_of(queue), demand);
        let row = self.ledger.rows(queue);
        // Nothing but room can keep the job away from such a member, and there is room.
        let is_plain = |routed: &Routed| {
            let door = &self.doors[index(routed.member)];
            is_open
                && door.is_open
                && routed.is_unsignalled
                && door.bounds.left(self.ledger.on(routed.member)).has_room(demand)
                && routed.bounds.left(row(routed.row)).has_room(demand)
                && (self.backoffs.is_empty() || !self.backoffs.contains_key(&(queue, routed.member)))
                && (self.held.is_empty() || !self.held.contains(&routed.member))
                && (self.broken.is_empty() || !self.broken.contains(&routed.member))
        };
        let mut open = Vec::with_capacity(line.routed.len());
        let mut excluded = Vec::with_capacity(line.routed.len());
        let mut ruled = ruled.iter().peekable();
        for (n, routed) in line.routed.iter().enumerate() {
            if let Some((_, exclusion)) = ruled.next_if(|(out, _)| *out == n) {
                excluded.push((n, Cow::Borrowed(exclusion)));
                continue;
            }
            if is_plain(routed) {
                open.push((n, place::ALL_FREE));
                continue;
            }
            let judge = |site: &Site<'_>| place::judge_now(&question, site);
            match self.at_site(queue, facts, routed, class, &question, asker.as_ref(), judge) {
                Some(Ok(free)) => open.push((n, free)),
                Some(Err(exclusion)) => excluded.push((n, Cow::Owned(exclusion))),
                None => {}
            }
        }
        Verdicts { open, excluded }
    }

    fn judge(
        &self,
        queue: Slot,
        facts: &QueueFacts,
        routed: &Routed,
        class: &Class,
        question: &Question<'_>,
        asker: Option<&Asker<'_>>,
    ) -> Option<Result<u64, Exclusion>> {
        self.at_site(queue, facts, routed, class, question, asker, |site| place::judge(question, site))
    }

    /// Puts together what is known of a member as a queue sees it. `None` where the member or the route is gone.
    #[expect(clippy::too_many_arguments, reason = "what one verdict is made of")]
    fn at_site<T>(
        &self,
        queue: Slot,
        facts: &QueueFacts,
        routed: &Routed,
        class: &Class,
        question: &Question<'_>,
        asker: Option<&Asker<'_>>,
        judge: impl FnOnce(&Site<'_>) -> T,
    ) -> Option<T> {
        let seat = &self.seats[index(routed.member)];
        let member = seat.facts.as_ref()?;
        let route = facts.routes.get(routed.route)?;
        let of_class;
        let remote_queue = if class.asks.sub_queue.is_some() {
            of_class = remote_queue(&facts.name, route, member, class.asks.sub_queue.as_deref());
            &of_class
        } else {
            &routed.remote_queue
        };
        let shadow = self.ledger.shadow(routed.member);
        let backing_off = !self.backoffs.is_empty()
            && self.backoffs.get(&(queue, routed.member)).is_some_and(|backoff| backoff.until > question.now);
        Some(judge(&Site {
            cluster: &routed.cluster,
            member,
            signals: &seat.signals,
            route,
            paused: facts.paused,
            remote_queue,
            limits: limits(&self.ledger, (queue, facts), (routed.member, member), route),
            unseen: &shadow,
            backing_off,
            broken_until: seat.breaker.bars_until(question.now),
            held_by: asker.and_then(|asker| {
                let cluster_queue = match &route.signal {
                    Some(RouteSignal::Kueue { cluster_queue }) => Some(&**cluster_queue),
                    Some(RouteSignal::ResourceQuota | RouteSignal::YuniKorn) | None => None,
                };
                let namespace = member.namespace.target(&class.namespace);
                let remote_queue = remote_queue.as_ref().ok().and_then(Option::as_deref);
                self.held_from(routed.member, asker, &Takes { namespace, remote_queue, cluster_queue })
            }),
        }))
    }

    /// The verdict on every member of the fleet for a job as it would be now, by name, for explanations. `None` without
    /// such a queue.
    pub fn weigh(&self, applicant: &super::Applicant, now: Timestamp) -> Option<Vec<Verdict>> {
        let &queue = self.line_of.get(&applicant.request.queue)?;
        let line = &self.lines[index(queue)];
        let facts = line.facts.clone()?;
        let class = Class::of(&self.hasher, &applicant.key.namespace, &applicant.request, &applicant.refused);
        let rank = Rank::new(applicant.request.priority, applicant.created, applicant.key.clone());
        let asker = self.asker(queue, &class, &rank, &applicant.uid);
        let question = question(&class, now);
        let verdict = |seat: &super::Seat| {
            seat.facts.as_ref()?;
            let cluster = seat.name.clone();
            let Ok(n) = line.routed.binary_search_by(|routed| routed.cluster.cmp(&cluster)) else {
                let exclusion = Some(Exclusion::NoRoute);
                return Some(Verdict { cluster, weight: 0, tier: 0, exclusion, headroom: 0 });
            };
            let routed = &line.routed[n];
            let Routed { weight, tier, .. } = *routed;
            let judged = self.judge(queue, &facts, routed, &class, &question, asker.as_ref())?;
            let (exclusion, headroom) = match judged {
                Ok(observed) => {
                    let declared = place::headroom(&[
                        (&Bounds::of(&facts.limits.held), self.ledger.total_of(queue)),
                        (&self.doors[index(routed.member)].bounds, self.ledger.on(routed.member)),
                        (&routed.bounds, self.ledger.of(queue, routed.member)),
                    ]);
                    (None, declared.min(observed))
                }
                Err(exclusion) => (Some(exclusion), 0),
            };
            Some(Verdict { cluster, weight, tier, exclusion, headroom })
        };
        let mut verdicts: Vec<_> = self.seats.iter().filter_map(verdict).collect();
        verdicts.sort_by(|a, b| a.cluster.cmp(&b.cluster));
        Some(verdicts)
    }
}

/// What is declared for a member as a queue's route sees it, and what is taken of it.
fn limits<'a>(
    ledger: &Ledger,
    (queue, facts): (Slot, &'a QueueFacts),
    (slot, member): (Slot, &'a MemberFacts),
    route: &'a Route,
) -> [(Whose, &'a Capacity, Resources); 3] {
    [
        (Whose::Queue, &facts.limits.held, ledger.total_of(queue)),
        (Whose::Member, &member.capacity, ledger.on(slot)),
        (Whose::Route, &route.capacity, ledger.of(queue, slot)),
    ]
}

fn question(class: &Class, now: Timestamp) -> Question<'_> {
    Question {
        constraints: &class.asks.constraints,
        spark_version: &class.asks.spark_version,
        expressed: &class.asks.expressed,
        demand: class.asks.demand,
        namespace: &class.namespace,
        refused: &class.refused,
        now,
    }
}
