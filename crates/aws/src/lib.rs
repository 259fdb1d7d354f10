//! Amazon EMR on EKS as a member.
//!
//! What decides here is pure: a template comes in and a request goes out, what AWS says is folded into the words of the
//! core, limits are kept by state that is handed the time. Nothing below does I/O, reads a clock or draws a random number.
//!
//! | module | decides |
//! |---|---|
//! | [`settings`] | what a MemberCluster says of its virtual cluster |
//! | [`translate`] | what a SparkApplication becomes, and what of it cannot be said to EMR |
//! | [`request`] | what StartJobRun takes: every length, pattern and count; the hash of a request |
//! | [`token`] | the token by which AWS knows a repeated start |
//! | [`state`] | what a job run's state means |
//! | [`answer`] | what a failed StartJobRun means |
//! | [`bucket`] | how fast AWS may be called |

pub mod answer;
pub mod bucket;
pub mod problem;
pub mod request;
pub mod settings;
pub mod state;
pub mod token;
pub mod translate;

pub use problem::{Note, Problem};
pub use request::Request;
pub use settings::EmrSettings;
pub use translate::{Order, Translation, translate};
