//! What a step computes: how much of each sequence, and when one is ended early.

pub(crate) mod clock;
pub(crate) mod interrupt;
pub(crate) mod pace;
pub(crate) mod step;
pub(crate) mod turns;
