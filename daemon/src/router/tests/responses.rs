//! The Responses API.

use super::*;

mod fields;
mod saved;
mod stream;
mod tools;

const PATH: &str = "/v1/responses";

/// A body with this input.
fn body(input: impl Into<Value>) -> Value {
    json!({"model": "m", "input": input.into()})
}

/// A body with further fields.
fn with(input: impl Into<Value>, fields: Value) -> Value {
    let mut body = body(input);
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn functions(names: &[&str]) -> Value {
    let function = |name: &&str| json!({"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}});
    names.iter().map(function).collect()
}

/// The text of a response.
fn text(response: &Value) -> String {
    let items = response["output"].as_array().unwrap().iter();
    let parts = items
        .filter_map(|item| item["content"].as_array())
        .flatten();
    let texts = parts.filter(|part| part["type"] == "output_text");
    texts.map(|part| part["text"].as_str().unwrap()).collect()
}

impl Answer {
    /// The events of a stream, whose names are their types.
    fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.headers["content-type"], "text/event-stream");
        let frames = self.text.split("\n\n").filter(|frame| !frame.is_empty());
        let event = |frame: &str| {
            let (name, data) = frame.split_once("\ndata: ").unwrap();
            let event: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name.strip_prefix("event: "), event["type"].as_str());
            event
        };
        frames.map(event).collect()
    }

    /// Checks an error in OpenAI's shape.
    fn refuses_field(&self, status: u16, code: &str, param: Value) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["param"], param, "{error}");
        assert!(
            error["message"].is_string() && error["type"].is_string(),
            "{error}"
        );
    }
}

impl Service {
    /// A whole response.
    async fn respond(&self, body: Value) -> Value {
        let answer = self.post(PATH, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// The events of a streamed response.
    async fn respond_stream(&self, mut body: Value) -> Vec<Value> {
        body["stream"] = json!(true);
        self.post(PATH, body).await.events()
    }

    /// The prompt of a request, as the mock renders it.
    async fn prompt_of(&self, body: Value) -> String {
        text(&self.respond(body).await)
    }
}
