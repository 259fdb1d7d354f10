//! One decision: the verdict on each member, the lowest tier with room, whose turn it is, and how fast it may go.
//!
//! Owns no state of its own. Limits of speed delay and never exclude: the member whose turn it is is waited for, or the
//! shares would turn into thirds under every burst.

use std::{borrow::Cow, fmt, sync::Arc};

use jiff::Timestamp;

use super::{
    Booking, Decision, Dispatcher, Verdict,
    class::Class,
    hold::{Asker, Takes},
    index,
    line::{Backoff, Line, Rank, Routed, Ruled, Waiting},
};
use crate::{
    id::{ClusterName, JobUid, QueueName},
    ledger::{Ledger, Reservation, Slot},
    pace::after,
    place::{
        self, BatchScheduler, Bounds, Exclusion, Inexpressible, MemberFacts, Question, QueueFacts, Route,
        RouteSignal, Site, Whose,
    },
    resources::{Capacity, Resources},
    waits::Waits,
};

/// Among whom a placement was decided, and why not the others. Shared by all decisions that were made alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The tier that had room.
    pub tier: u32,
    /// Whether the queue has more than one.
    pub tiered: bool,
    /// The candidates and their weights, by name.
    pub among: Vec<(ClusterName, u32)>,
    /// The other members of the queue with a weight, each with its reason.
    pub not: Vec<(ClusterName, &'static str)>,
}

impl Choice {
    /// The members of the queue that were no candidates: what credits are replayed from.
    pub fn excluded(&self) -> impl Iterator<Item = &ClusterName> {
        self.not.iter().map(|(cluster, _)| cluster)
    }

    /// `weight 50 of 100 among a, b, c; not d (Cordoned)`.
    pub fn why(&self, picked: &ClusterName) -> String {
        struct List<'a, T>(&'a [T], fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result);
        impl<T> fmt::Display for List<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const SHOWN: usize = 8;
                for (n, item) in self.0.iter().take(SHOWN).enumerate() {
                    f.write_str(if n == 0 { "" } else { ", " })?;
                    self.1(item, f)?;
                }
                match self.0.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
        let sum: u64 = self.among.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let weight =
            self.among.iter().find(|(cluster, _)| cluster == picked).map_or(0, |(_, weight)| *weight);
        let mut text = format!("weight {weight} of {sum}");
        if self.among.len() > 1 {
            text.push_str(&format!(" among {}", List(&self.among, |(cluster, _), f| write!(f, "{cluster}"))));
        }
        if self.tiered {
            text.push_str(&format!(" in tier {}", self.tier));
        }
        if !self.not.is_empty() {
            let not = List(&self.not, |(cluster, reason), f| write!(f, "{cluster} ({reason})"));
            text.push_str(&format!("; not {not}"));
        }
        text
    }
}

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

/// A verdict on each member of a queue, in the order of its routes.
struct Verdicts<'a> {
    /// Those that could take it, and what the scarcest thing that they signal has free.
    open: Vec<(usize, u64)>,
    /// Why the others do not.
    excluded: Vec<Excluded<'a>>,
}

/// A member that does not take a job, as a place among the routed ones, and why: often as for the job before.
pub(super) type Excluded<'a> = (usize, Cow<'a, Exclusion>);

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
    ) -> Result<(u32, Vec<(usize, u64)>, Option<usize>), Miss> {
        let mut among = Vec::with_capacity(verdicts.open.len());
        let of_queue = (Bounds::of(&facts.limits.held), self.ledger.total_of(queue));
        let row = self.ledger.rows(queue);
        let line = &mut self.lines[index(queue)];
        for n in 0..line.tiers.len() {
            let tier = line.tiers[n];
            among.clear();
            let is_here = |(n, _): &&(usize, u64)| line.routed[*n].tier == tier;
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
        (tier, among, picked): (u32, &[(usize, u64)], usize),
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
        line.seq = line.seq.saturating_add(1);
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
    fn ruled(
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
    fn weigh_routed<'a>(
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

    fn fleet_size(&self) -> usize {
        self.seats.iter().filter(|seat| seat.facts.is_some()).count()
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

/// The choice as a value; the last one of the queue where nothing changed, which is the rule in a burst.
fn choice(line: &Line, tier: u32, among: &[(usize, u64)], excluded: &[Excluded<'_>]) -> Arc<Choice> {
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

fn question(class: &Class, now: Timestamp) -> Question<'_> {
    Question {
        constraints: &class.asks.constraints,
        spark_version: &class.asks.spark_version,
        demand: class.asks.demand,
        namespace: &class.namespace,
        refused: &class.refused,
        now,
    }
}

/// The queue of the member's batch scheduler that a job is handed to over a route.
pub(super) fn remote_queue(
    queue: &QueueName,
    route: &Route,
    member: &MemberFacts,
    below: Option<&str>,
) -> Result<Option<Arc<str>>, Inexpressible> {
    let by_yunikorn = matches!(route.signal, Some(RouteSignal::YuniKorn));
    if by_yunikorn && member.batch_scheduler != Some(BatchScheduler::YuniKorn) {
        let why = "its MemberCluster does not name YuniKorn as its batchScheduler";
        return Err(Inexpressible { field: "signal of the route", why });
    }
    BatchScheduler::remote_queue(member.batch_scheduler, queue, route.remote_queue.as_ref(), below)
}
