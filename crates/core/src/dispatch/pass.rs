//! A pass over the waiting jobs: who is next, and where.
//!
//! Owns no state of its own. Looks only at what changed: new classes by themselves, whole queues when room appears.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    Applicant, Booking, Decision, Dispatcher, Passed, later,
    line::{Backoff, Class, Line, Rank},
};
use crate::{
    credit::Candidate,
    id::{ClusterName, QueueName},
    place::{self, Question, QueueFacts, Verdict},
    waits::Waits,
};

impl Dispatcher {
    /// Places what can be placed.
    pub fn pass(&mut self, now: Timestamp) -> Passed {
        for ((queue, _), backoff) in self.backoffs.iter_mut().filter(|(_, b)| !b.over && b.until <= now) {
            backoff.over = true;
            if let Some(line) = self.lines.get_mut(queue) {
                line.dirty = true;
            }
        }
        let due = self.lines.iter().filter(|(_, line)| line.dirty || !line.fresh.is_empty());
        let queues: Vec<_> = due.map(|(queue, _)| queue.clone()).collect();
        let mut passed = Passed::default();
        for queue in queues {
            self.pass_queue(&queue, now, &mut passed);
        }
        passed
    }

    fn pass_queue(&mut self, queue: &QueueName, now: Timestamp, passed: &mut Passed) {
        let Some(line) = self.lines.get_mut(queue) else { return };
        let fresh = std::mem::take(&mut line.fresh);
        let classes: Vec<Arc<Class>> = if std::mem::take(&mut line.dirty) {
            line.classes.keys().cloned().collect()
        } else {
            fresh.into_iter().collect()
        };
        let first = |line: &Line, class: &Arc<Class>| {
            let (rank, _) = line.classes.get(class)?.jobs.first_key_value()?;
            Some((rank.clone(), class.clone()))
        };
        // The head of each class, best first. Reserving only takes room away: where the head finds none, nobody behind
        // it does.
        let mut heads: BTreeMap<Rank, Arc<Class>> =
            classes.iter().filter_map(|class| first(line, class)).collect();
        while let Some((rank, class)) = heads.pop_first() {
            let head =
                self.lines.get(queue).and_then(|line| line.classes.get(&class)?.jobs.get(&rank).cloned());
            let Some(applicant) = head else { continue };
            match self.decide(&applicant, now) {
                Ok(decision) => {
                    passed.decided.push((applicant.uid.clone(), applicant.key));
                    if let Some(waiting) =
                        self.lines.get_mut(queue).and_then(|line| line.classes.get_mut(&class))
                    {
                        // Those behind it are asked next: what they waited for is not known any more.
                        waiting.waits = None;
                    }
                    self.leave(&applicant.uid);
                    self.decided.insert(applicant.uid, decision);
                    heads.extend(self.lines.get(queue).and_then(|line| first(line, &class)));
                }
                Err(waits) => self.rephrase(queue, &class, waits, passed),
            }
        }
    }

    /// Notes what a class waits for, and whom that is news to.
    fn rephrase(&mut self, queue: &QueueName, class: &Arc<Class>, waits: Waits, passed: &mut Passed) {
        let Some(waiting) = self.lines.get_mut(queue).and_then(|line| line.classes.get_mut(class)) else {
            return;
        };
        let said = waiting.waits.as_ref().map(|before| (before.reason, before.refused_by_all));
        if said.is_some_and(|said| said != (waits.reason, waits.refused_by_all)) {
            passed.rephrased.extend(waiting.jobs.values().map(|job| (job.uid.clone(), job.key.clone())));
        }
        waiting.waits = Some(waits);
    }

    fn decide(&mut self, applicant: &Applicant, now: Timestamp) -> Result<Decision, Waits> {
        let name = &applicant.request.queue;
        let Some(line) = self.lines.get(name) else { return Err(Waits::unknown_queue(name)) };
        let Some(queue) = &line.facts else { return Err(Waits::unknown_queue(name)) };
        let namespace = &applicant.key.namespace;
        let labels = self.namespaces.get(namespace);
        if !line.admits.as_ref().is_some_and(|s| labels.is_some_and(|labels| s.matches(labels))) {
            return Err(Waits::not_admitted(name, namespace));
        }
        let verdicts = self.verdicts(applicant, queue, now);
        let candidates = place::candidates(&verdicts);
        let Some(picked) = line.credits.pick(&candidates).cloned() else {
            return Err(Waits::for_verdicts(name, &verdicts));
        };
        let member = self.fleet.get(&picked.cluster);
        let (Some(member), Some(identity)) = (member, member.and_then(|m| m.identity.clone())) else {
            return Err(Waits::for_verdicts(name, &verdicts));
        };
        let excluded: Vec<_> = verdicts
            .iter()
            .filter(|v| v.exclusion.is_some() && v.weight > 0)
            .map(|v| v.cluster.clone())
            .collect();
        let decision = Decision {
            key: applicant.key.clone(),
            request: applicant.request.clone(),
            cluster: picked.cluster.clone(),
            identity,
            namespace: member.namespace.target(namespace).clone(),
            queue: name.clone(),
            seq: line.seq.saturating_add(1),
            excluded,
            demand: applicant.request.demand,
            at: now,
            why: why(&picked.cluster, &candidates, &verdicts),
        };
        if let Some(backoff) = self.backoffs.get_mut(&(name.clone(), picked.cluster.clone())) {
            // Half open: one goes through and shows whether there is room again; the others wait for its answer.
            *backoff = Backoff { until: later(now, backoff.delay), over: false, ..*backoff };
        }
        let among: Vec<_> = candidates.into_iter().map(|c| (c.cluster, c.weight)).collect();
        if let Some(line) = self.lines.get_mut(name) {
            line.seq = decision.seq;
            line.book(&among, &picked.cluster);
        }
        self.ledger.reserve(applicant.uid.clone(), picked.cluster.clone(), name.clone(), decision.demand);
        let booking = Booking { queue: name.clone(), cluster: picked.cluster, among };
        self.booked.insert(applicant.uid.clone(), booking);
        Ok(decision)
    }

    pub(super) fn verdicts(&self, applicant: &Applicant, queue: &QueueFacts, now: Timestamp) -> Vec<Verdict> {
        let question = Question {
            request: &applicant.request,
            namespace: &applicant.key.namespace,
            refused: &applicant.refused,
            now,
        };
        place::weigh(question, queue, &self.fleet, &self.ledger, |cluster| {
            let route = (queue.name.clone(), cluster.clone());
            self.backoffs.get(&route).is_some_and(|backoff| backoff.until > now)
        })
    }
}

/// `weight 50 of 100 among a, b, c; not d (Cordoned)`.
fn why(picked: &ClusterName, candidates: &[Candidate], verdicts: &[Verdict]) -> String {
    let sum: u64 = candidates.iter().map(|c| u64::from(c.weight)).sum();
    let weight = candidates.iter().find(|c| c.cluster == *picked).map_or(0, |c| c.weight);
    let list = |names: Vec<String>| {
        const SHOWN: usize = 8;
        let more = names.len().saturating_sub(SHOWN);
        let mut text = names.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    let mut text = format!("weight {weight} of {sum}");
    if candidates.len() > 1 {
        text.push_str(&format!(
            " among {}",
            list(candidates.iter().map(|c| c.cluster.to_string()).collect())
        ));
    }
    let not: Vec<_> = verdicts
        .iter()
        .filter(|v| v.weight > 0)
        .filter_map(|v| Some(format!("{} ({})", v.cluster, v.exclusion.as_ref()?.reason())))
        .collect();
    if !not.is_empty() {
        text.push_str(&format!("; not {}", list(not)));
    }
    text
}
