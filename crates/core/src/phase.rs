//! Phases: the one word shown for a job.
//!
//! Owns no state. For display only: no decision reads a phase. A state that says nothing of its own keeps the phase it
//! came from.

use std::{fmt, str::FromStr};

use crate::observe::RunState;

/// The one word shown for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Waits for a member, or for its owner to mend it.
    Queued,
    /// Its placement is committed.
    Dispatched,
    /// The member's operator submitted it.
    Submitted,
    /// The driver runs.
    Running,
    /// Failed once; its operator tries again.
    Retrying,
    /// Held.
    Suspended,
    /// Being stopped.
    Cancelling,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Dispatched,
        Self::Submitted,
        Self::Running,
        Self::Retrying,
        Self::Suspended,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Dispatched => "Dispatched",
            Self::Submitted => "Submitted",
            Self::Running => "Running",
            Self::Retrying => "Retrying",
            Self::Suspended => "Suspended",
            Self::Cancelling => "Cancelling",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether it is an end.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The phase of a placed job whose application is in `run`, coming from `previous`.
    pub fn of(run: &RunState, previous: Option<Self>) -> Self {
        match run {
            RunState::Accepted => Self::Dispatched,
            RunState::Submitted => Self::Submitted,
            RunState::Running => Self::Running,
            RunState::Retrying => Self::Retrying,
            RunState::Suspended => Self::Suspended,
            RunState::Succeeded => Self::Succeeded,
            RunState::Failed(sign) if sign.proves_end() => Self::Failed,
            RunState::Passing | RunState::Failed(_) => match previous {
                Some(phase) if !matches!(phase, Self::Queued) => phase,
                _ => Self::Dispatched,
            },
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no phase of this build.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no known phase")]
pub struct UnknownPhase(String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(word: &str) -> Result<Self, UnknownPhase> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == word)
            .ok_or_else(|| UnknownPhase(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::FailureSign;

    #[test]
    fn every_word_reads_back() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse::<Phase>().unwrap(), phase);
        }
        assert!("Done".parse::<Phase>().is_err());
    }

    #[test]
    fn passing_states_keep_the_phase_they_came_from() {
        for previous in [Phase::Dispatched, Phase::Submitted, Phase::Running, Phase::Retrying] {
            assert_eq!(Phase::of(&RunState::Passing, Some(previous)), previous);
        }
        assert_eq!(Phase::of(&RunState::Passing, Some(Phase::Queued)), Phase::Dispatched);
        assert_eq!(Phase::of(&RunState::Passing, None), Phase::Dispatched);
    }

    #[test]
    fn a_driver_that_already_exists_is_no_failure() {
        for sign in [FailureSign::DriverExists, FailureSign::MonitoringLost] {
            assert_eq!(Phase::of(&RunState::Failed(sign), Some(Phase::Running)), Phase::Running, "{sign:?}");
        }
        assert_eq!(
            Phase::of(&RunState::Failed(FailureSign::Application), Some(Phase::Running)),
            Phase::Failed
        );
    }
}
