//! What can be wrong with what a simulation is given.

/// An error of a simulation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line of the trace cannot be read.
    #[error("line {line}, column {column}: {value:?} is not {expected}")]
    Value {
        /// Counted from 1, the header being the first.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// What is written there.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The header lacks a column.
    #[error("the header has no column {column}; write a first line like {example}")]
    Column {
        /// The column's name.
        column: &'static str,
        /// A header that is complete.
        example: &'static str,
    },
    /// The header has a column that means nothing.
    #[error("the header has a column {column:?}, which is none of {known}")]
    UnknownColumn {
        /// As written.
        column: String,
        /// Those that are.
        known: String,
    },
    /// The file is no CSV.
    #[error("the trace cannot be read")]
    Csv(#[from] csv::Error),
    /// There is nothing to run.
    #[error("the trace has no jobs")]
    NoJobs,
    /// A parameter of a generated load cannot be read.
    #[error("--generate: {key} is {value:?}, and must be {expected}")]
    Parameter {
        /// Its name.
        key: String,
        /// As written.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// Nothing can run there.
    #[error("there is no {0} to run over")]
    Nothing(&'static str),
    /// The clock stands still: a defect of the dispatcher, reported and not waited for.
    #[error(
        "the dispatcher asks for one pass after another at {0} and decides nothing; this is a defect, please report it"
    )]
    Stuck(jiff::Timestamp),
    /// A report cannot be written.
    #[error("the report cannot be written")]
    Write(#[from] std::io::Error),
    /// A report cannot be written as JSON.
    #[error("the report cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}
