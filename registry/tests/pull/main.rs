//! Pulling, from stand-ins that deliver what each test wants to see refused, or taken.

mod artifacts;
mod disk;
mod harness;
mod networks;
mod packages;
mod remote;
mod reopened;
#[path = "../../src/registry/tests/small_disk.rs"]
mod small_disk;
mod variants;
