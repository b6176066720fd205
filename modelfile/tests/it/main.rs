//! Tests of whole Modelfiles.

#[path = "../../fuzz/body.rs"]
mod fuzz_body;

mod corpus;
mod docs;
mod parameters;
mod round_trip;
