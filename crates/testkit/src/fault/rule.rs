//! Which requests are tampered with, and how.
//!
//! Purpose: the small language in which tests describe faults. Owns the rules and their counts. It must never be random
//! without a seed: a test that failed once must fail again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Gate, Reply};

/// What a rule sees of a request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The whole body.
    pub body: Bytes,
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// Forwarded after this time.
    Delay(Duration),
    /// Answered by the proxy; never forwarded.
    Reply(Reply),
    /// Forwarded; the connection is closed after this many bytes of the answer's body (fewer where the body is
    /// shorter: then at its end, before the end is announced).
    CutBody(u64),
    /// Forwarded and acted on; then the connection is closed without an answer. Happens even if the client goes first.
    SwallowAnswer,
    /// Never forwarded and never answered; the connection stays open as long as the client wants.
    Hang,
    /// Held at the gate, then forwarded or thrown away. A request that is let go is forwarded even if its client is
    /// gone by then, as one that was late in the network.
    HoldThenForward(Gate),
    /// Forwarded and acted on, even if the client goes; then the answer waits at the gate.
    HoldAnswer(Gate),
}

/// How often a rule acts.
#[derive(Debug, Clone, Copy)]
enum Turns {
    All,
    First(u64),
    Every(u64),
    Chance { numerator: u64, denominator: u64, seed: u64 },
}

/// Names a rule of one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuleId(u64);

type Predicate = Arc<dyn Fn(&Asked) -> bool + Send + Sync>;

/// One rule: acts on every request that fits all its conditions. Without conditions it fits all.
#[derive(Clone)]
pub struct Rule {
    action: Action,
    conditions: Vec<Predicate>,
    turns: Turns,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("action", &self.action)
            .field("turns", &self.turns)
            .finish_non_exhaustive()
    }
}

impl Rule {
    /// A rule for all requests, always.
    pub fn new(action: Action) -> Self {
        Self { action, conditions: Vec::new(), turns: Turns::All }
    }

    /// Only this HTTP method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        let method = method.to_owned();
        self.when(move |asked| asked.method == method)
    }

    /// Only paths (with query) that begin so.
    #[must_use]
    pub fn path(self, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        self.when(move |asked| asked.path.starts_with(&prefix))
    }

    /// Only paths (with query) that contain this.
    #[must_use]
    pub fn containing(self, part: &str) -> Self {
        let part = part.to_owned();
        self.when(move |asked| asked.path.contains(&part))
    }

    /// Only bodies that contain this text: for creates, whose path doesn't name the object.
    #[must_use]
    pub fn body(self, part: &str) -> Self {
        let part = part.as_bytes().to_vec();
        self.when(move |asked| {
            !part.is_empty() && asked.body.windows(part.len()).any(|window| window == part)
        })
    }

    /// Only what the predicate takes.
    #[must_use]
    pub fn when(mut self, predicate: impl Fn(&Asked) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Arc::new(predicate));
        self
    }

    /// Only the first `count` that fit; later ones go on to the next rule.
    #[must_use]
    pub fn first(mut self, count: u64) -> Self {
        self.turns = Turns::First(count);
        self
    }

    /// Only every `count`-th that fits: the `count`-th, twice that, and so on.
    #[must_use]
    pub fn every(mut self, count: u64) -> Self {
        self.turns = Turns::Every(count.max(1));
        self
    }

    /// `numerator` of `denominator` of those that fit, drawn from `seed`: the same seed draws the same turns.
    #[must_use]
    pub fn chance(mut self, numerator: u64, denominator: u64, seed: u64) -> Self {
        self.turns = Turns::Chance { numerator, denominator: denominator.max(1), seed };
        self
    }

    fn fits(&self, asked: &Asked) -> bool {
        self.conditions.iter().all(|condition| condition(asked))
    }
}

impl Turns {
    /// Whether it acts on the request that fits as number `nth`, counted from 0.
    fn takes(self, nth: u64) -> bool {
        match self {
            Self::All => true,
            Self::First(count) => nth < count,
            Self::Every(count) => (nth + 1).is_multiple_of(count),
            Self::Chance { numerator, denominator, seed } => mix(seed, nth) % denominator < numerator,
        }
    }
}

/// SplitMix64: well mixed numbers from a seed and a position.
fn mix(seed: u64, position: u64) -> u64 {
    let mut z = seed.wrapping_add(position.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Debug, Default)]
pub(crate) struct Rulebook {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    rules: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    id: RuleId,
    rule: Rule,
    fitted: u64,
    hits: u64,
}

impl Rulebook {
    pub(crate) fn add(&self, rule: Rule) -> RuleId {
        let mut inner = self.inner.lock();
        let id = RuleId(inner.next);
        inner.next += 1;
        inner.rules.push(Counted { id, rule, fitted: 0, hits: 0 });
        id
    }

    pub(crate) fn remove(&self, id: RuleId) {
        self.inner.lock().rules.retain(|counted| counted.id != id);
    }

    pub(crate) fn clear(&self) {
        self.inner.lock().rules.clear();
    }

    pub(crate) fn hits(&self, id: RuleId) -> u64 {
        self.inner.lock().rules.iter().find(|counted| counted.id == id).map_or(0, |counted| counted.hits)
    }

    pub(crate) fn decide(&self, asked: &Asked) -> Option<(RuleId, Action)> {
        self.inner.lock().rules.iter_mut().find_map(|counted| {
            if !counted.rule.fits(asked) {
                return None;
            }
            let nth = counted.fitted;
            counted.fitted += 1;
            counted.rule.turns.takes(nth).then(|| {
                counted.hits += 1;
                (counted.id, counted.rule.action.clone())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Asked, Rule, Rulebook};

    fn asked(method: &str, path: &str, body: &str) -> Asked {
        Asked {
            method: method.into(),
            path: path.into(),
            user_agent: "test".into(),
            body: body.to_owned().into(),
        }
    }

    fn turns(rule: Rule, count: usize) -> Vec<bool> {
        let rules = Rulebook::default();
        rules.add(rule);
        (0..count).map(|_| rules.decide(&asked("GET", "/api", "")).is_some()).collect()
    }

    #[test]
    fn turns_are_counted() {
        assert_eq!(turns(Rule::new(Action::Hang).first(2), 4), [true, true, false, false]);
        assert_eq!(turns(Rule::new(Action::Hang).every(3), 6), [false, false, true, false, false, true]);
        let drawn = turns(Rule::new(Action::Hang).chance(1, 4, 7), 4000);
        let hits = drawn.iter().filter(|hit| **hit).count();
        assert!((900..1100).contains(&hits), "{hits}");
        assert_eq!(drawn, turns(Rule::new(Action::Hang).chance(1, 4, 7), 4000));
        assert_ne!(drawn, turns(Rule::new(Action::Hang).chance(1, 4, 8), 4000));
    }

    #[test]
    fn all_conditions_must_fit_and_the_first_rule_wins() {
        let rules = Rulebook::default();
        let narrow = rules.add(
            Rule::new(Action::Hang)
                .method("POST")
                .path("/apis/")
                .containing("/spark")
                .body("\"job-1\"")
                .first(1),
        );
        let wide = rules.add(Rule::new(Action::SwallowAnswer).when(|asked| asked.user_agent == "test"));
        let rule = |asked: &Asked| rules.decide(asked).map(|(id, _)| id);
        assert_eq!(rule(&asked("POST", "/apis/x/sparkapplications", r#"{"name": "job-2"}"#)), Some(wide));
        assert_eq!(rule(&asked("GET", "/apis/x/sparkapplications", r#"{"name": "job-1"}"#)), Some(wide));
        assert_eq!(rule(&asked("POST", "/apis/x/sparkapplications", r#"{"name": "job-1"}"#)), Some(narrow));
        assert_eq!(rule(&asked("POST", "/apis/x/sparkapplications", r#"{"name": "job-1"}"#)), Some(wide));
        assert_eq!((rules.hits(narrow), rules.hits(wide)), (1, 3));
        rules.remove(wide);
        assert_eq!(rule(&asked("GET", "/", "")), None);
    }
}
