//! Pushing models and logging in: against Debian's `docker-registry` and `skopeo`, and against a server of ours that lies on command.

mod faults;
mod harness;
mod logins;
#[path = "../pull/reopened.rs"]
mod reopened;
mod stock;
