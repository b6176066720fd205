//! The dialects of the API: one folder for each.
//!
//! A dialect turns its bodies into an [`Ask`](crate::ask::Ask), gives that to [`crate::serve`], and writes the
//! [`Event`](crate::answer::Event)s of the answer as its clients expect them. It has routes and an error format
//! (`error::rendered`). It chooses no template and leases no model.

pub mod fields;
pub mod ollama;
