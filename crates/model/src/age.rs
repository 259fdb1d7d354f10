//! Time in the small world: how long ago something happened, in ticks, cut off where no rule asks any more.
//!
//! Owns no state.

/// Ticks since something happened.
pub(crate) type Age = u8;

/// Where ages are cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) settle: Age,
    pub(crate) lease: Age,
    pub(crate) patience: Age,
    pub(crate) retention: Age,
    pub(crate) hang: Age,
    pub(crate) run: Age,
}

pub(crate) fn older(age: &mut Age, cap: Age) {
    *age = age.saturating_add(1).min(cap);
}
