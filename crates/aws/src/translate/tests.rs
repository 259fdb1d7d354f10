//! Translations as tests see them: whole ones, every row of the table, and what holds for all.

mod case;
mod holds;
mod rows;
mod whole;

use case::{Case, ETL};
