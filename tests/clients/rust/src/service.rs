//! The daemon under test, and scripts for its mock runner.

use std::time::{Duration, Instant};

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::{ApiError, OpenAIError};
use serde_json::Value;

pub struct Service {
    /// The client under test.
    pub client: Client<OpenAIConfig>,
    /// A model that holds conversations; with the mock runner it has tools and thinking.
    pub model: String,
    address: String,
}

impl Service {
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        let address = variable("SLM_ADDRESS");
        let config = OpenAIConfig::new()
            .with_api_base(format!("{address}/v1"))
            .with_api_key("none");
        Self {
            client: Client::with_config(config),
            model: variable("SLM_MODEL"),
            address,
        }
    }

    /// Number of requests that the daemon is answering.
    pub async fn active(&self) -> u64 {
        let reply = reqwest::get(format!("{}/api/ps", self.address))
            .await
            .expect("the daemon answers");
        let reply: Value = reply.json().await.expect("JSON");
        let models = reply["models"].as_array().expect("a list");
        models
            .iter()
            .map(|model| model["active"].as_u64().expect("a number"))
            .sum()
    }

    /// Waits until no request is answered: the answer of a client that left was cancelled.
    pub async fn wait_until_idle(&self, test: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.active().await > 0 {
            assert!(Instant::now() < deadline, "an answer of {test} goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A text that makes the mock runner do this; see `tests/runner-mock/src/lib.rs`.
pub fn script(directives: &[&str]) -> String {
    format!("[[mock: {}]]", directives.join("; "))
}

/// The status and the error of a refused request.
pub fn refused<T>(answer: Result<T, OpenAIError>) -> (u16, ApiError) {
    match answer {
        Err(OpenAIError::ApiError(error)) => (error.status_code.as_u16(), error.api_error),
        Err(error) => panic!("not an error of the API: {error}"),
        Ok(_) => panic!("the request is answered"),
    }
}
