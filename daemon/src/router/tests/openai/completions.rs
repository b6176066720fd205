//! `/v1/completions`.

use super::*;

const COMPLETIONS: &str = "/v1/completions";

impl Service {
    async fn complete(&self, fields: Value) -> Value {
        let answer = self
            .post(COMPLETIONS, with(json!({"model": "m"}), fields))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}

/// The texts of all choices in order.
fn texts(answer: &Value) -> Vec<&str> {
    let choices = answer["choices"].as_array().unwrap().iter();
    choices
        .map(|choice| choice["text"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_prompt_is_continued_without_the_chat_template() {
    let service = able().await;
    let answer = service.complete(json!({"prompt": "one two"})).await;
    assert!(answer["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(answer["object"], "text_completion");
    let choice = json!({"index": 0, "text": "one two", "logprobs": null, "finish_reason": "stop"});
    assert_eq!(answer["choices"], json!([choice]));
    assert_eq!(answer["usage"]["prompt_tokens"], 2);
    assert_eq!(answer["usage"]["completion_tokens"], 2);
    let cut = service
        .complete(json!({"prompt": "one two three", "max_tokens": 2}))
        .await;
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn each_prompt_has_its_choices_in_order() {
    let service = able().await;
    let answer = service
        .complete(json!({"prompt": ["a", "b c"], "n": 2}))
        .await;
    assert_eq!(texts(&answer), ["a", "a", "b c", "b c"]);
    assert_eq!(answer["usage"]["prompt_tokens"], 3);
    assert_eq!(answer["usage"]["completion_tokens"], 6);
    let answer = service
        .complete(json!({"prompt": [[100, 101], [102]]}))
        .await;
    assert_eq!(texts(&answer).len(), 2);
    let answer = service.complete(json!({"prompt": [100, 101]})).await;
    assert_eq!(texts(&answer), ["<100> <101>"]);
    let many: Vec<&str> = vec!["x"; 65];
    let answer = service
        .post(COMPLETIONS, json!({"model": "m", "prompt": many}))
        .await;
    answer.fails(400, "invalid_request", json!("prompt"));
}

#[tokio::test]
async fn an_echo_begins_with_the_prompt() {
    let service = able().await;
    let script = "[[mock: answer  two]]";
    let answer = service
        .complete(json!({"prompt": format!("one{script}"), "echo": true}))
        .await;
    assert_eq!(texts(&answer), [format!("one{script}two")]);
    let tokens = service
        .complete(json!({"prompt": [100], "echo": true}))
        .await;
    assert_eq!(texts(&tokens), [" <100><100>"]);
    let fields = json!({"model": "m", "prompt": "one", "echo": true, "stream": true});
    let chunks = service.post(COMPLETIONS, fields).await.chunks();
    let text: String = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap())
        .collect();
    assert_eq!(text, "oneone");
    for (field, value) in [("logprobs", json!(1)), ("suffix", json!("x"))] {
        let fields = json!({"model": "m", "prompt": "one", "echo": true, field: value});
        service
            .post(COMPLETIONS, fields)
            .await
            .fails(400, "invalid_request", json!("echo"));
    }
}

#[tokio::test]
async fn a_stream_has_the_pieces_and_then_the_token_counts() {
    let service = able().await;
    let fields = json!({"model": "m", "prompt": ["a b", "c"], "stream": true, "stream_options": {"include_usage": true}});
    let chunks = service.post(COMPLETIONS, fields).await.chunks();
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 6);
    for (index, expected) in [(0, "a b"), (1, "c")] {
        let own: Vec<&Value> = others
            .iter()
            .map(|chunk| &chunk["choices"][0])
            .filter(|choice| choice["index"] == index)
            .collect();
        let text: String = own
            .iter()
            .map(|choice| choice["text"].as_str().unwrap())
            .collect();
        assert_eq!(text, expected);
        assert!(
            own.iter()
                .all(|choice| choice.as_object().unwrap().contains_key("finish_reason"))
        );
        assert_eq!(own.last().unwrap()["finish_reason"], "stop");
    }
    assert!(others.iter().all(|chunk| chunk["usage"].is_null()));
}

#[tokio::test]
async fn logprobs_have_the_shape_of_completions() {
    let service = able().await;
    let answer = service
        .complete(json!({"prompt": "ab cd", "logprobs": 1}))
        .await;
    let logprobs = json!({
        "tokens": ["ab", " cd"],
        "token_logprobs": [-0.125, -0.25],
        "top_logprobs": [{"ab": -0.125}, {" cd": -0.25}],
        "text_offset": [0, 2],
    });
    assert_eq!(answer["choices"][0]["logprobs"], logprobs);
    let fields = json!({"model": "m", "prompt": "ab cd", "logprobs": 0, "stream": true});
    let chunks = service.post(COMPLETIONS, fields).await.chunks();
    assert_eq!(
        chunks[1]["choices"][0]["logprobs"],
        json!({"tokens": [" cd"], "token_logprobs": [-0.25], "top_logprobs": null, "text_offset": [2]})
    );
}

#[tokio::test]
async fn a_suffix_needs_a_template_with_a_place_for_it() {
    let service = able().await;
    let answer = service
        .post(
            COMPLETIONS,
            json!({"model": "m", "prompt": "a", "suffix": "b"}),
        )
        .await;
    let message = answer.fails(400, "invalid_request", Value::Null);
    assert!(message.contains("does not support insert"), "{message}");
    let template =
        "{{ if .Suffix }}<pre>{{ .Prompt }}<suf>{{ .Suffix }}<mid>{{ else }}{{ .Prompt }}{{ end }}";
    let service = with_model(json!({"template": template})).await;
    let answer = service
        .complete(json!({"prompt": "a[[mock: echo-prompt]]", "suffix": "b"}))
        .await;
    assert_eq!(texts(&answer), ["<pre>a<suf>b<mid>"]);
    let answer = service.complete(json!({"prompt": "a", "suffix": ""})).await;
    assert_eq!(texts(&answer), ["a"]);
    let tokens = service
        .post(
            COMPLETIONS,
            json!({"model": "m", "prompt": [100], "suffix": "b"}),
        )
        .await;
    tokens.fails(400, "invalid_request", json!("suffix"));
}

#[tokio::test]
async fn prompts_of_other_kinds_are_refused() {
    let service = able().await;
    for (prompt, field) in [
        (json!(null), "prompt"),
        (json!([]), "prompt"),
        (json!(""), "prompt"),
        (json!(["a", ""]), "prompt[1]"),
        (json!([-1]), "prompt"),
        (json!([[1], [4_294_967_296_u64]]), "prompt[1]"),
        (json!([1, "a"]), "prompt"),
        (json!({}), "prompt"),
    ] {
        let answer = service
            .post(COMPLETIONS, json!({"model": "m", "prompt": prompt}))
            .await;
        answer.fails(400, "invalid_request", json!(field));
    }
    let outside = service
        .post(
            COMPLETIONS,
            json!({"model": "m", "prompt": [2_000_000_000]}),
        )
        .await;
    outside.fails(400, "invalid_request", Value::Null);
    let best = service
        .post(
            COMPLETIONS,
            json!({"model": "m", "prompt": "a", "best_of": 2}),
        )
        .await;
    best.fails(400, "invalid_request", json!("best_of"));
    service.complete(json!({"prompt": "a", "best_of": 1})).await;
}

#[tokio::test]
async fn every_field_takes_null_and_refuses_wrong_values() {
    let base = json!({"model": "m", "prompt": "[[mock: answer a]]x"});
    fields::check_fields(&able().await, COMPLETIONS, "CompletionRequest", base).await;
}
