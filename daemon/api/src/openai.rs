//! OpenAI's API.

pub mod responses;
