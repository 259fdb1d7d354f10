//! Amazon EMR on EKS as a member, and tokens for clusters on EKS.
//!
//! The only crate that knows an AWS client. A member here is one virtual cluster: what is placed on it becomes a job run
//! there. Nothing of AWS is touched before a member asks for it: a fleet without any makes no client, and no call leaves
//! the process. Must never decide where a job goes, and never send a start whose token is not on the hub's record.
//!
//! What decides here is pure: a template comes in and a request goes out, what AWS says is folded into the words of the
//! core, limits are kept by state that is handed the time. It does no I/O, reads no clock and draws no random number.
//!
//! | module | decides |
//! |---|---|
//! | [`settings`] | what a MemberCluster says of its virtual cluster |
//! | [`mod@translate`] | what a SparkApplication becomes, and what of it cannot be said to EMR |
//! | [`request`] | what StartJobRun takes: every length, pattern and count; the hash of a request |
//! | [`token`] | the token by which AWS knows a repeated start |
//! | [`state`] | what a job run's state means |
//! | [`answer`] | what a failed StartJobRun means |
//! | [`mod@links`] | where a run and its logs are to be looked at |
//! | [`bucket`] | how fast AWS may be called |
//! | [`poll::rows`] | which runs live, which have ended, and which are to be looked at |
//!
//! What calls AWS is thin.
//!
//! | module | calls |
//! |---|---|
//! | [`client`] | EMR on EKS |
//! | [`poll`] | it for all runs of a virtual cluster |
//! | [`member`] | both, as the controller asks for it |
//! | [`eks`] | EKS for where a cluster is, STS for roles, and makes the tokens that such a cluster takes |

pub mod answer;
pub mod bucket;
pub mod client;
pub mod eks;
pub mod links;
pub mod member;
pub mod poll;
pub mod problem;
pub mod request;
pub mod settings;
pub mod state;
pub mod token;
pub mod translate;

pub use client::{Access, Clients, Credentials, Role};
pub use eks::{Eks, EksTarget};
pub use problem::{Note, Problem};
pub use request::Request;
pub use settings::EmrSettings;
pub use translate::{Order, Translation, translate};
