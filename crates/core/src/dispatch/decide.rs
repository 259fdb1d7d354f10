//! One decision: the lowest tier with room, whose turn it is there, and how fast it may go.
//!
//! Owns no state of its own. Limits of speed delay and never exclude: the member whose turn it is is waited for, or the
//! shares would turn into thirds under every burst.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;

use super::{
    Booking, Choice, Decision, Dispatcher,
    class::Class,
    index,
    judge::Verdicts,
    line::{Backoff, Excluded, Line, Open, Rank},
};
use crate::{
    id::JobUid,
    ledger::{Reservation, Slot},
    pace::after,
    place::{self, Bounds, Exclusion, QueueFacts, RouteSignal, remote_queue},
    waits::Waits,
};

/// Why the first job of a class was not placed.
pub(super) enum Miss {
    /// It waits for this; others of its queue may still be placed.
    Waits(Box<Waits>),
    /// The same as the class was told before.
    AsBefore,
    /// Nobody of this queue is placed before that.
    Queue(Box<Waits>),
    /// What its queue sets has changed since it asked: it has to ask again.
    Outdated(Box<Waits>),
}

impl Dispatcher {
    /// Decides for the first job of a class, and reserves.
    pub(super) fn decide(
        &mut self,
        queue: Slot,
        class: &Arc<Class>,
        rank: &Rank,
        job: &JobUid,
        now: Timestamp,
    ) -> Result<(), Miss> {
        let name = &self.names[index(queue)];
        let line = &self.lines[index(queue)];
        let Some(facts) = line.facts.clone() else {
            let waits = Waits::unknown_queue(name);
            self.unblock(queue, class);
            return Err(Miss::Waits(Box::new(waits)));
        };
        let labels = self.namespaces.get(&class.namespace);
        if !line.admits.as_ref().is_some_and(|s| labels.is_some_and(|labels| s.matches(labels))) {
            let waits = Waits::not_admitted(name, &class.namespace);
            self.unblock(queue, class);
            return Err(Miss::Waits(Box::new(waits)));
        }
        if class.asks.parts != facts.parts {
            return Err(Miss::Outdated(Box::new(Waits::queue_changed(name))));
        }
        if let Some(pace) = facts.limits.pace {
            let ready = line.bucket.ready_at(pace, now);
            if ready > now {
                let waits = Waits::queue_pace(name, pace.per_minute);
                self.due.wake_at(queue, ready);
                return Err(Miss::Queue(Box::new(waits)));
            }
        }
        let ruled = self.ruled(queue, &facts, class, now);
        let mut verdicts = self.weigh_routed(queue, &facts, class, rank, job, &ruled, now);
        let (tier, among, picked) = self.choose(queue, &facts, class, &mut verdicts, now)?;
        let Some(picked) = picked else {
            let miss = self.miss(queue, class, &verdicts.excluded);
            self.wake_for(queue, &verdicts.excluded, now);
            self.blocked(queue, class, (rank, job), &verdicts.excluded, now);
            return Err(miss);
        };
        self.reserve(queue, &facts, class, rank, job, (tier, &among, picked), &verdicts.excluded, now);
        Ok(())
    }

    /// The lowest tier with room, its candidates, and which of them has its turn, as places among the routed ones.
    fn choose(
        &mut self,
        queue: Slot,
        facts: &QueueFacts,
        class: &Class,
        verdicts: &mut Verdicts<'_>,
        now: Timestamp,
    ) -> Result<(u32, Vec<Open>, Option<usize>), Miss> {
        let mut among = Vec::with_capacity(verdicts.open.len());
        let of_queue = (Bounds::of(&facts.limits.held), self.ledger.total_of(queue));
        let row = self.ledger.rows(queue);
        let line = &mut self.lines[index(queue)];
        for n in 0..line.tiers.len() {
            let tier = line.tiers[n];
            among.clear();
            let is_here = |(n, _): &&Open| line.routed[*n].tier == tier;
            among.extend(verdicts.open.iter().filter(is_here));
            let last = n + 1 == line.tiers.len();
            let mut delayed = None;
            let candidates = among.iter().map(|(n, _)| (&line.routed[*n].cluster, line.routed[*n].weight));
            let headroom = |place: usize| {
                let (n, observed) = among[place];
                let routed = &line.routed[n];
                let of_member = (&self.doors[index(routed.member)].bounds, self.ledger.on(routed.member));
                let declared = place::headroom(&[
                    (&of_queue.0, of_queue.1),
                    of_member,
                    (&routed.bounds, row(routed.row)),
                ]);
                declared.min(observed)
            };
            if let Some(picked) = line.credits.pick(candidates, headroom) {
                let (routed, _) = among[picked];
                let cluster = &line.routed[routed].cluster;
                let seat = &mut self.seats[index(line.routed[routed].member)];
                let Some(member) = &seat.facts else { continue };
                let (pace, most) = (member.pace, member.backlog);
                let ready = seat.bucket.ready_at(pace, now);
                if self.ledger.unsubmitted(line.routed[routed].member) >= most {
                    seat.is_backed_up = true;
                    delayed = Some((None, Waits::member_backlog(cluster, most)));
                } else if ready > now {
                    delayed = Some((Some(ready), Waits::member_pace(cluster, pace.per_minute)));
                } else {
                    // Whatever else could take it is in another tier.
                    let others = verdicts.open.iter().filter(|(n, _)| line.routed[*n].tier != tier);
                    verdicts.excluded.extend(others.map(|(n, _)| (*n, Cow::Owned(Exclusion::OtherTier))));
                    return Ok((tier, among, Some(routed)));
                }
            } else if !verdicts
                .excluded
                .iter()
                .any(|(n, exclusion)| line.routed[*n].tier == tier && !exclusion.needs_a_change())
            {
                // Nobody here could ever take it: there is nothing to wait for.
                continue;
            }
            let spills_at = facts.spill_after.filter(|_| !last).map(|spill_after| {
                let since =
                    line.waiting_mut(class).map(|waiting| *waiting.full_since.entry(tier).or_insert(now));
                after(since.unwrap_or(now), spill_after)
            });
            let spills = match (&delayed, spills_at) {
                (None, None) => true,
                (Some(_), None) => false,
                (_, Some(at)) => at <= now,
            };
            if let Some(at) = spills_at.filter(|at| *at > now) {
                self.due.wake_at(queue, at);
            }
            if spills && !last {
                continue;
            }
            if let Some((ready, waits)) = delayed {
                if let Some(ready) = ready {
                    self.due.wake_at(queue, ready);
                }
                return Err(Miss::Waits(Box::new(waits)));
            }
            if !last {
                let higher = verdicts.open.iter().filter(|(n, _)| line.routed[*n].tier > tier);
                verdicts.excluded.extend(higher.map(|(n, _)| (*n, Cow::Owned(Exclusion::OtherTier))));
            }
            break;
        }
        Ok((0, among, None))
    }

    #[expect(clippy::too_many_arguments, reason = "what one decision is made of, used once")]
    fn reserve(
        &mut self,
        queue: Slot,
        facts: &QueueFacts,
        class: &Arc<Class>,
        rank: &Rank,
        job: &JobUid,
        (tier, among, picked): (u32, &[Open], usize),
        excluded: &[Excluded<'_>],
        now: Timestamp,
    ) {
        let line = &self.lines[index(queue)];
        let routed = line.routed[picked].clone();
        let route = &facts.routes[routed.route];
        let choice = choice(line, tier, among, excluded);
        let seat = &mut self.seats[index(routed.member)];
        let Some((member, identity)) =
            seat.facts.as_ref().and_then(|member| Some((member.clone(), member.identity.clone()?)))
        else {
            return;
        };
        seat.bucket.take(member.pace, now);
        seat.breaker.let_through(job, now);
        let below = class.asks.sub_queue.as_deref();
        let remote_queue = remote_queue(&facts.name, route, &member, below).ok().flatten();
        let target = member.namespace.target(&class.namespace).clone();
        let cluster_queue = match &route.signal {
            Some(RouteSignal::Kueue { cluster_queue }) => Some(cluster_queue.clone()),
            Some(RouteSignal::ResourceQuota | RouteSignal::YuniKorn) | None => None,
        };
        if let Some(backoff) = self.backoffs.get_mut(&(queue, routed.member)) {
            // Half open: one goes through and shows whether there is room again; the others wait for its answer.
            *backoff = Backoff { until: after(now, backoff.delay), over: false, ..*backoff };
        }
        let line = &mut self.lines[index(queue)];
        if let Some(pace) = facts.limits.pace {
            line.bucket.take(pace, now);
        }
        line.seq = line.seq.max(line.given).saturating_add(1);
        line.book(&choice.among, &routed.cluster);
        line.decided(line.seq, &routed.cluster, &choice);
        line.last_choice = Some(choice.clone());
        let decision = Decision {
            key: rank.key.clone(),
            cluster: routed.cluster,
            identity,
            namespace: target.clone(),
            queue: self.names[index(queue)].clone(),
            remote_queue: remote_queue.clone(),
            seq: line.seq,
            demand: class.asks.demand,
            at: now,
            choice: choice.clone(),
        };
        let reservation = Reservation {
            member: routed.member,
            queue,
            owner: class.namespace.clone(),
            target,
            remote_queue,
            cluster_queue,
            demand: class.asks.demand,
        };
        self.ledger.reserve(job.clone(), reservation);
        let booking = Booking { queue, member: routed.member, choice, class: Some(class.clone()) };
        self.booked.insert(job.clone(), booking);
        self.decided.insert(job.clone(), decision);
    }

    /// What a class that finds no member is told. A text is only made where it says something new.
    fn miss(&self, queue: Slot, class: &Class, excluded: &[Excluded<'_>]) -> Miss {
        let line = &self.lines[index(queue)];
        let (reason, _, needs_a_change) = Waits::sum_up(excluded.iter().map(|(_, exclusion)| &**exclusion));
        let said = line.waiting(class).and_then(|waiting| waiting.waits.as_ref());
        if !excluded.is_empty()
            && said.is_some_and(|said| (said.reason, said.needs_a_change) == (reason, needs_a_change))
        {
            return Miss::AsBefore;
        }
        let told: Vec<_> =
            excluded.iter().map(|(n, exclusion)| (&line.routed[*n].cluster, &**exclusion)).collect();
        Miss::Waits(Box::new(Waits::for_exclusions(&self.names[index(queue)], self.fleet_size(), &told)))
    }

    /// Notes when an exclusion ends by time alone.
    fn wake_for(&mut self, queue: Slot, excluded: &[Excluded<'_>], now: Timestamp) {
        let line = &self.lines[index(queue)];
        let ends = excluded.iter().filter_map(|(n, exclusion)| {
            let Exclusion::NamespaceBlocked { namespace, .. } = &**exclusion else { return None };
            let member = self.seats[index(line.routed.get(*n)?.member)].facts.as_ref()?;
            member.blocked.iter().filter(|(blocked, ..)| blocked == namespace).map(|(.., until)| *until).max()
        });
        if let Some(at) = ends.filter(|at| *at > now).min() {
            self.due.wake_at(queue, at);
        }
    }

    fn fleet_size(&self) -> usize {
        self.seats.iter().filter(|seat| seat.facts.is_some()).count()
    }
}

/// The choice as a value; the last one of the queue where nothing changed, which is the rule in a burst.
fn choice(line: &Line, tier: u32, among: &[Open], excluded: &[Excluded<'_>]) -> Arc<Choice> {
    let among = among.iter().map(|(n, _)| (&line.routed[*n].cluster, line.routed[*n].weight));
    let not = || {
        let weighty = excluded.iter().filter(|(n, _)| line.routed[*n].weight > 0);
        weighty.map(|(n, exclusion)| (&line.routed[*n].cluster, exclusion.reason()))
    };
    if let Some(last) = &line.last_choice
        && last.tier == tier
        && last.among.iter().map(|(cluster, weight)| (cluster, *weight)).eq(among.clone())
        && last.not.iter().map(|(cluster, reason)| (cluster, *reason)).eq(not())
    {
        return last.clone();
    }
    Arc::new(Choice {
        tier,
        tiered: line.tiers.len() > 1,
        among: among.map(|(cluster, weight)| (cluster.clone(), weight)).collect(),
        not: not().map(|(cluster, reason)| (cluster.clone(), reason)).collect(),
    })
}
