//! One walk through all worlds, and what it found.
//!
//! Owns no state.

use std::{fmt, time::Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::{model::Walk, setup::Setup};

/// What a walk found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Worlds that differ.
    pub states: usize,
    /// Length of the longest of the shortest ways.
    pub depth: usize,
    /// How long it took.
    pub seconds: f64,
    /// Properties that are broken, each with a way there, one line for each thing that happens. Walked by one thread it is
    /// the shortest.
    pub broken: Vec<(&'static str, Vec<String>)>,
    /// What ought to be possible and is not.
    pub missing: Vec<&'static str>,
    /// Every world was seen.
    pub complete: bool,
}

/// Walks through every world of a setup, breadth first; ends early as soon as a property is broken.
pub fn check(setup: &Setup, threads: usize) -> Report {
    let start = Instant::now();
    let checker = Walk(setup.clone())
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut broken = Vec::new();
    let mut found = Vec::new();
    for (name, path) in checker.discoveries() {
        found.push(name);
        let always = checker.model().property(name).expectation == stateright::Expectation::Always;
        if always {
            let steps = path.into_actions().into_iter().map(|action| format!("{action:?}")).collect();
            broken.push((name, steps));
        }
    }
    let sometimes = checker
        .model()
        .properties()
        .into_iter()
        .filter(|p| p.expectation == stateright::Expectation::Sometimes);
    Report {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: start.elapsed().as_secs_f64(),
        complete: broken.is_empty(),
        broken,
        missing: sometimes.map(|property| property.name).filter(|name| !found.contains(name)).collect(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states, depth {}, {:.1} s", self.states, self.depth, self.seconds)?;
        for (name, steps) in &self.broken {
            write!(f, "\nbroken: {name}")?;
            for (n, step) in steps.iter().enumerate() {
                write!(f, "\n{:4} {step}", n + 1)?;
            }
        }
        for name in &self.missing {
            write!(f, "\nnever seen: {name}")?;
        }
        Ok(())
    }
}
