//! Pulling, from stand-ins that deliver what each test wants to see refused, or taken.

mod harness;
mod packages;
mod remote;
