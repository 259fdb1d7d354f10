//! What is known of one object of a member, from its create to its end.
//!
//! Owns no state. An object is alive until there is a proof that it is not: a terminal state that was written, or its
//! absence. Both are dated by when the request came in, because a client may act on an answer before it is logged.

use jiff::Timestamp;

use super::words;
use crate::evidence::Backend;

/// What an operator says that found a driver which it had itself started: the driver may run.
pub(crate) const DRIVER_EXISTS: &str = "driver pod already exist";

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A remote application.
    Application,
    /// The pod of a driver.
    Driver,
    /// A job run of EMR on EKS.
    Run,
}

impl Kind {
    /// For people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Driver => "driver pod",
            Self::Run => "job run",
        }
    }

    fn is_end(self, state: &str) -> bool {
        match self {
            Self::Application => matches!(state, "COMPLETED" | "FAILED"),
            Self::Driver => matches!(state, "Succeeded" | "Failed"),
            Self::Run => matches!(state, "COMPLETED" | "FAILED" | "CANCELLED"),
        }
    }
}

/// A state that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) at: Timestamp,
    /// In the common vocabulary ([`words`]).
    pub(crate) state: String,
    /// As it was written.
    pub(crate) native: String,
    pub(crate) error: String,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) kind: Kind,
    /// Whose states these are.
    pub(crate) backend: Backend,
    pub(crate) member: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: Option<String>,
    /// The uid of the job that it says it belongs to.
    pub(crate) job: Option<String>,
    pub(crate) attempt: Option<u32>,
    /// For a driver pod: the uid of its application.
    pub(crate) owner: Option<String>,
    pub(crate) begin: Timestamp,
    /// No line tells of its create.
    pub(crate) is_inferred: bool,
    /// In order, repeated ones left out.
    pub(crate) states: Vec<Stated>,
    /// The last sign that it was there.
    pub(crate) last_seen: Timestamp,
    /// Its deletion was asked for.
    pub(crate) deleting: Option<Timestamp>,
    /// It was proven to be gone.
    pub(crate) gone: Option<Timestamp>,
    /// No line tells how it went: it was gone by then at the latest.
    pub(crate) went_unseen: bool,
    /// It is among the objects at the end.
    pub(crate) is_left: bool,
    /// Our finalizer is on it at the end.
    pub(crate) is_held: bool,
    /// Somebody else than a router asked for its end, by a cancel that was acted on.
    pub(crate) cancelled_by_others: bool,
}

/// A time in which an object was alive; without an end it still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) to: Option<Timestamp>,
}

impl Span {
    /// Whether there is an instant that belongs to both.
    pub(crate) fn meets(self, other: Self) -> bool {
        let ends_before = |a: Self, b: Self| a.to.is_some_and(|to| to <= b.from);
        !ends_before(self, other) && !ends_before(other, self)
    }
}

impl Life {
    /// The times in which it was alive: more than one where it was brought back after its end.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut open = Some(self.begin);
        for stated in &self.states {
            match (open, self.kind.is_end(&stated.state)) {
                (Some(from), true) => {
                    spans.push(Span { from, to: Some(stated.at) });
                    open = None;
                }
                (None, false) => open = Some(stated.at),
                _ => {}
            }
        }
        spans.extend(open.map(|from| Span { from, to: self.gone }));
        spans
    }

    /// Whether it was alive at that time.
    pub(crate) fn was_alive(&self, at: Timestamp) -> bool {
        self.spans().iter().any(|span| span.from < at && span.to.is_none_or(|to| to > at))
    }

    /// Whether it is alive at the end.
    pub(crate) fn is_alive(&self) -> bool {
        self.spans().last().is_some_and(|span| span.to.is_none())
    }

    /// The state that was written last; empty where none was.
    pub(crate) fn state(&self) -> &str {
        self.states.last().map_or("", |stated| &stated.state)
    }

    /// The same in its member's own word, for people.
    pub(crate) fn native(&self) -> &str {
        self.states.last().map_or("", |stated| &stated.native)
    }

    /// The error with the last state.
    pub(crate) fn error(&self) -> &str {
        self.states.last().map_or("", |stated| &stated.error)
    }

    /// The state that it was in at that time, in words.
    pub(crate) fn state_at(&self, at: Timestamp) -> &str {
        let until = self.states.iter().take_while(|stated| stated.at <= at);
        until.last().map_or("not yet submitted", |stated| &stated.native)
    }

    /// When it came to its last end: a terminal state, or its absence.
    pub(crate) fn ended(&self) -> Option<Timestamp> {
        self.spans().last().and_then(|span| span.to)
    }

    /// Whether its driver ran.
    pub(crate) fn ran(&self) -> bool {
        self.reached("RUNNING") || self.reached("SUCCEEDING") || self.completed()
    }

    /// Whether it ever ended well.
    pub(crate) fn completed(&self) -> bool {
        self.reached(match self.kind {
            Kind::Application | Kind::Run => "COMPLETED",
            Kind::Driver => "Succeeded",
        })
    }

    /// Whether it ever ended badly.
    pub(crate) fn failed(&self) -> bool {
        self.reached(match self.kind {
            Kind::Application | Kind::Run => "FAILED",
            Kind::Driver => "Failed",
        })
    }

    /// Whether it ever came to this state.
    pub(crate) fn reached(&self, state: &str) -> bool {
        self.states.iter().any(|stated| stated.state == state)
    }

    /// Notes a state, in whatever order states become known.
    pub(crate) fn state_was(&mut self, at: Timestamp, state: &str, error: &str) {
        let place = self.states.partition_point(|stated| stated.at <= at);
        let before = place.checked_sub(1).and_then(|last| self.states.get(last));
        if before.is_some_and(|before| before.native == state) {
            return;
        }
        let native = state.to_owned();
        self.states.insert(place, Stated { at, state: String::new(), native, error: error.to_owned() });
        // What a state means may depend on the one before.
        let mut before = String::new();
        for stated in &mut self.states {
            stated.state = match self.kind {
                Kind::Driver => stated.native.clone(),
                Kind::Application | Kind::Run => words::common(self.backend, &before, &stated.native),
            };
            before.clone_from(&stated.state);
        }
    }

    /// `application a of attempt 1 on m1`.
    pub(crate) fn title(&self) -> String {
        let attempt = self.attempt.map_or_else(|| "no attempt".to_owned(), |n| format!("attempt {n}"));
        format!("{} {}/{} of {attempt} on {}", self.kind.word(), self.namespace, self.name, self.member)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Seconds after an arbitrary moment.
    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    pub(crate) fn life(kind: Kind, states: &[(i64, &str)], gone: Option<i64>) -> Life {
        let mut life = Life {
            kind,
            backend: Backend::Kubeflow,
            member: "m1".to_owned(),
            namespace: "team".to_owned(),
            name: "pi-1".to_owned(),
            uid: Some("a".to_owned()),
            job: Some("j".to_owned()),
            attempt: Some(1),
            owner: None,
            begin: at(0),
            is_inferred: false,
            states: Vec::new(),
            last_seen: at(0),
            deleting: None,
            gone: gone.map(at),
            went_unseen: false,
            is_left: gone.is_none(),
            is_held: false,
            cancelled_by_others: false,
        };
        for (second, state) in states {
            life.state_was(at(*second), state, "");
        }
        life
    }

    fn spans(life: &Life) -> Vec<(i64, Option<i64>)> {
        let second = |time: Timestamp| time.as_second() - at(0).as_second();
        life.spans().iter().map(|span| (second(span.from), span.to.map(second))).collect()
    }

    #[test]
    fn it_lives_from_its_create_to_its_terminal_state_or_absence() {
        let application = |states: &[(i64, &str)], gone| life(Kind::Application, states, gone);
        assert_eq!(spans(&application(&[], None)), [(0, None)]);
        assert_eq!(spans(&application(&[(1, "SUBMITTED"), (2, "RUNNING")], Some(9))), [(0, Some(9))]);
        let over = application(&[(2, "RUNNING"), (4, "COMPLETED")], Some(9));
        assert_eq!((spans(&over), over.is_alive(), over.completed()), (vec![(0, Some(4))], false, true));
        let driver = life(Kind::Driver, &[(2, "Running"), (4, "Failed")], None);
        assert_eq!((spans(&driver), driver.failed()), (vec![(0, Some(4))], true));
    }

    #[test]
    fn one_that_is_brought_back_lives_twice() {
        let back = life(Kind::Application, &[(4, "FAILED"), (6, "INVALIDATING"), (7, "RUNNING")], None);
        assert_eq!((spans(&back), back.is_alive()), (vec![(0, Some(4)), (6, None)], true));
    }

    #[test]
    fn states_are_put_in_their_order() {
        let mut life = life(Kind::Application, &[(5, "RUNNING"), (1, "SUBMITTED")], None);
        life.state_was(at(6), "RUNNING", "");
        let order: Vec<_> = life.states.iter().map(|stated| stated.state.as_str()).collect();
        assert_eq!(order, ["SUBMITTED", "RUNNING"]);
        assert_eq!((life.state_at(at(0)), life.state_at(at(3))), ("not yet submitted", "SUBMITTED"));
    }

    #[test]
    fn spans_that_touch_do_not_meet() {
        let span = |from, to: Option<i64>| Span { from: at(from), to: to.map(at) };
        assert!(!span(0, Some(5)).meets(span(5, None)));
        assert!(!span(5, None).meets(span(0, Some(5))));
        assert!(span(0, Some(5)).meets(span(4, Some(6))));
        assert!(span(0, None).meets(span(9, None)));
    }
}
