//! OpenAI's chat/completions, completions, embeddings and models.

use super::*;

mod completions;
mod embeddings;
mod fields;
mod messages;
mod models;
mod stream;
mod tools;

const CHAT: &str = "/v1/chat/completions";

/// A body with this message of the user and further fields.
fn body(text: &str, fields: Value) -> Value {
    let messages = json!([{"role": "user", "content": text}]);
    with(json!({"model": "m", "messages": messages}), fields)
}

/// A body with further fields.
fn with(mut body: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Tools without parameters.
fn functions(names: &[&str]) -> Value {
    let function = |name: &&str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}});
    names.iter().map(function).collect()
}

impl Service {
    /// The whole answer to a chat.
    async fn whole(&self, body: Value) -> Value {
        let answer = self.post(CHAT, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/json");
        answer.json()
    }

    /// The chunks of a chat.
    async fn chunks(&self, body: Value) -> Vec<Value> {
        let body = with(body, json!({"stream": true}));
        self.post(CHAT, body).await.chunks()
    }

    /// The prompt of a chat that its answer repeats.
    async fn rendered(&self, body: Value) -> String {
        let answer = self.whole(body).await;
        content(&answer).to_owned()
    }
}

impl Answer {
    /// The chunks of a stream that ends well.
    fn chunks(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.headers["content-type"], "text/event-stream");
        let frames = self.text.strip_suffix("data: [DONE]\n\n").unwrap();
        let frames = frames.split_terminator("\n\n");
        let chunk = |frame: &str| serde_json::from_str(frame.strip_prefix("data: ").unwrap());
        frames.map(|frame| chunk(frame).unwrap()).collect()
    }

    /// Checks an error.
    fn fails(&self, status: u16, code: &str, param: Value) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let error = self.json()["error"].clone();
        assert_eq!(error["code"], code, "{}", self.text);
        assert_eq!(error["param"], param, "{}", self.text);
        error["message"].as_str().unwrap().to_owned()
    }
}

/// The text of a whole answer.
fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

/// The joined texts of a field of the deltas.
fn joined(chunks: &[Value], field: &str) -> String {
    let deltas = chunks
        .iter()
        .flat_map(|chunk| chunk["choices"].as_array().unwrap());
    deltas
        .filter_map(|choice| choice["delta"][field].as_str())
        .collect()
}
