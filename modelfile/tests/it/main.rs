//! Everything about Modelfiles that is told in whole texts.

#[path = "../../fuzz/body.rs"]
mod fuzz_body;

mod corpus;
mod docs;
mod parameters;
mod round_trip;
