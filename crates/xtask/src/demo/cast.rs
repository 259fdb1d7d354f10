//! The jobs of the demo, and how each of them must end.
//!
//! Purpose: read the manifests of `demo/` and multiply them. Owns no state. It must never change a manifest beyond its
//! name: users copy them.

use kube::ResourceExt as _;
use spark_router_api::RoutedSparkJob;
use spark_router_api::condition::reason;
use spark_router_testkit::manifest;
use spark_router_testkit::router::jobs;

use super::Error;

/// The MemberClusters, as applied.
pub(super) const MEMBERS: &str = include_str!("../../demo/members.yaml");

/// The MemberClusters of three kinds; the virtual cluster is still to be filled in.
pub(super) const MIXED_MEMBERS: &str = include_str!("../../demo/mixed/members.yaml");

/// The queue, as applied.
pub(super) const QUEUE: &str = include_str!("../../demo/queue.yaml");

/// The name of the queue.
pub(super) const QUEUE_NAME: &str = "etl";

/// What a member says of a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// The same on each.
    Everywhere(&'static str),
    /// These on this one, whose drivers' logs can be read, and those on all others.
    On(&'static str, &'static str, &'static str),
}

impl Words {
    fn of(self, member: &str) -> &'static str {
        match self {
            Self::On(only, words, _) if only == member => words,
            Self::Everywhere(words) | Self::On(_, _, words) => words,
        }
    }
}

/// How a job must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Succeeded after this many runs by the member's operator.
    Succeeded { runs: u32 },
    /// Failed because of its own code; the error has the line of the member where it ran.
    Failed { error: Words },
    /// Failed because members refused it; the message has these words of theirs.
    Rejected { words: &'static str },
    /// Still Queued, and Placed=False says why.
    Queued { reason: &'static str },
}

/// One manifest, how often it is applied, and how each of the jobs must end.
struct Role {
    manifest: &'static str,
    copies: usize,
    end: End,
}

/// What the code of the job that fails raises.
const RAISED: &str = "ValueError: column 'amount' is missing";

const SUCCEEDS: End = End::Succeeded { runs: 1 };

// Those that are withdrawn or fit only some members come first, so that the others find the account settled.
const ROLES: [Role; 7] = [
    Role {
        manifest: include_str!("../../demo/jobs/rejected.yaml"),
        copies: 1,
        end: End::Rejected { words: "spec.executor.instances" },
    },
    Role {
        manifest: include_str!("../../demo/jobs/never-fits.yaml"),
        copies: 1,
        end: End::Queued { reason: reason::NEVER_FITS },
    },
    Role { manifest: include_str!("../../demo/jobs/big.yaml"), copies: 1, end: SUCCEEDS },
    Role {
        manifest: include_str!("../../demo/jobs/fails.yaml"),
        copies: 1,
        end: End::Failed { error: Words::Everywhere(RAISED) },
    },
    Role {
        manifest: include_str!("../../demo/jobs/retried.yaml"),
        copies: 1,
        end: End::Succeeded { runs: 2 },
    },
    Role { manifest: include_str!("../../demo/jobs/scala-pi.yaml"), copies: 8, end: SUCCEEDS },
    Role { manifest: include_str!("../../demo/jobs/python-pi.yaml"), copies: 7, end: SUCCEEDS },
];

/// A job and how it must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Player {
    /// Its name.
    pub(super) name: String,
    /// How it must end.
    pub(super) end: End,
}

/// All jobs as one manifest, in the order in which they are applied, and how each must end.
pub(super) fn all() -> Result<(String, Vec<Player>), Error> {
    assemble(&ROLES)
}

/// The same jobs for members of three kinds. Only Kubeflow's definition refuses a job, which names its member therefore;
/// and only there is a driver's log to be read.
pub(super) fn mixed() -> Result<(String, Vec<Player>), Error> {
    assemble(&ROLES.map(|role| match role.end {
        End::Rejected { .. } => Role { manifest: include_str!("../../demo/mixed/rejected.yaml"), ..role },
        End::Failed { .. } => {
            Role { end: End::Failed { error: Words::On("alpha", RAISED, "exit code 1") }, ..role }
        }
        End::Succeeded { .. } | End::Queued { .. } => role,
    }))
}

fn assemble(roles: &[Role]) -> Result<(String, Vec<Player>), Error> {
    let mut yaml = String::new();
    let mut players = Vec::new();
    for role in roles {
        for object in manifest::parse(role.manifest)? {
            for copy in 1..=role.copies {
                let mut job = object.clone();
                if role.copies > 1 {
                    job.metadata.name = Some(format!("{}-{copy}", object.name_any()));
                }
                players.push(Player { name: job.name_any(), end: role.end });
                yaml.push_str("---\n");
                yaml.push_str(&serde_json::to_string(&job)?);
                yaml.push('\n');
            }
        }
    }
    Ok((yaml, players))
}

impl End {
    /// Whether nothing more will happen to the job: it has finished, or it waits for what it must wait for.
    pub(super) fn is_reached(self, job: &RoutedSparkJob) -> bool {
        match self {
            Self::Queued { reason } => jobs::phase(job) == "Queued" && jobs::reason(job) == reason,
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Rejected { .. } => jobs::is_finished(job),
        }
    }

    /// What is wrong with how the job ended; `None` if nothing is.
    pub(super) fn objection(self, job: &RoutedSparkJob) -> Option<String> {
        let application = jobs::application(job);
        let error = application.and_then(|application| application.error.as_deref()).unwrap_or_default();
        let right = match self {
            Self::Succeeded { runs } => {
                jobs::phase(job) == "Succeeded"
                    && jobs::is_true(job, spark_router_api::condition::SUCCEEDED)
                    && application.is_some_and(|application| application.attempts == Some(runs))
            }
            Self::Failed { error: words } => {
                jobs::phase(job) == "Failed"
                    && jobs::reason(job) == reason::JOB_FAILED
                    && error.contains(words.of(jobs::cluster(job)))
            }
            Self::Rejected { words } => {
                jobs::phase(job) == "Failed"
                    && jobs::reason(job) == reason::REJECTED_BY_MEMBER
                    && jobs::message(job).contains(words)
            }
            Self::Queued { .. } => self.is_reached(job),
        };
        (!right).then(|| format!("it should be {self:?}, but {}", jobs::describe(job)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_twenty_jobs_with_different_names() {
        for (yaml, players) in [all().unwrap(), mixed().unwrap()] {
            let names: std::collections::BTreeSet<_> = players.iter().map(|player| &player.name).collect();
            assert_eq!((players.len(), names.len()), (20, 20));
            let jobs = manifest::parse(&yaml).unwrap();
            for object in jobs {
                let job: RoutedSparkJob =
                    serde_json::from_value(serde_json::to_value(&object).unwrap()).unwrap();
                assert_eq!(job.spec.queue, QUEUE_NAME);
            }
        }
    }

    #[test]
    fn only_the_job_that_is_to_be_refused_is_another_one_for_three_kinds() {
        let of = |yaml: &str| {
            let objects = manifest::parse(yaml).unwrap();
            objects.into_iter().filter(|job| job.name_any() != "rejected").collect::<Vec<_>>()
        };
        let (plain, mixed) = (of(&all().unwrap().0), of(&super::mixed().unwrap().0));
        assert_eq!((plain.len(), &plain), (19, &mixed));
    }

    #[test]
    fn what_a_failed_job_must_say_depends_on_its_member() {
        let words = Words::On("alpha", "line", "code");
        assert_eq!((words.of("alpha"), words.of("beta")), ("line", "code"));
        assert_eq!(Words::Everywhere("line").of("beta"), "line");
    }
}
