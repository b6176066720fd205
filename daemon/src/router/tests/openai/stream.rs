//! Chunks of a stream, and the same in a whole answer.

use super::*;

#[tokio::test]
async fn a_whole_answer_has_every_member() {
    let service = able().await;
    let answer = service
        .whole(body("[[mock: think hm; answer hello there]]x", json!({})))
        .await;
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "m");
    assert!(answer["created"].as_i64().unwrap() > 1_700_000_000);
    let message = json!({
        "role": "assistant", "content": "hello there", "refusal": null,
        "reasoning_content": "hm", "reasoning": "hm",
    });
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
    assert_eq!(answer["choices"], json!([choice]));
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], 3);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 1);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    let total = usage["prompt_tokens"].as_u64().unwrap() + 3;
    assert_eq!(usage["total_tokens"], total);
    let other = service.whole(body("x", json!({}))).await;
    assert_ne!(answer["id"], other["id"]);
}

#[tokio::test]
async fn each_chunk_has_a_finish_reason_that_is_null_until_the_last_one() {
    let service = able().await;
    let chunks = service
        .chunks(body("[[mock: think hm; answer a b]]x", json!({})))
        .await;
    let (last, others) = chunks.split_last().unwrap();
    for chunk in others {
        let choice = chunk["choices"][0].as_object().unwrap();
        assert!(choice.contains_key("finish_reason"), "{chunk}");
        assert_eq!(choice["finish_reason"], Value::Null, "{chunk}");
        assert_eq!(chunk["id"], last["id"]);
        assert_eq!(chunk["object"], "chat.completion.chunk");
    }
    assert_eq!(
        last["choices"][0],
        json!({"index": 0, "delta": {}, "finish_reason": "stop"})
    );
    assert_eq!(
        chunks[0]["choices"][0]["delta"],
        json!({"role": "assistant", "content": ""})
    );
    assert_eq!(joined(&chunks, "content"), "a b");
    assert_eq!(joined(&chunks, "reasoning_content"), "hm");
    assert_eq!(joined(&chunks, "reasoning"), "hm");
}

#[tokio::test]
async fn token_counts_come_only_when_they_are_asked_for() {
    let service = able().await;
    for option in [
        json!(null),
        json!({}),
        json!({"include_usage": false}),
        json!({"include_usage": null}),
    ] {
        let chunks = service
            .chunks(body("x", json!({"stream_options": option})))
            .await;
        assert!(chunks.iter().all(|chunk| chunk["usage"].is_null()));
        assert!(
            chunks
                .iter()
                .all(|chunk| chunk["choices"].as_array().unwrap().len() == 1)
        );
    }
    let asked = json!({"stream_options": {"include_usage": true, "include_obfuscation": false}});
    let chunks = service
        .chunks(body("[[mock: answer a b]]x", asked.clone()))
        .await;
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 2);
    assert!(others.iter().all(|chunk| chunk["usage"].is_null()));
    assert_eq!(
        others.last().unwrap()["choices"][0]["finish_reason"],
        "stop"
    );
    let whole = service.whole(body("x", asked)).await;
    assert!(whole["usage"]["total_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn the_cap_of_tokens_ends_an_answer_with_length() {
    let service = able().await;
    for fields in [
        json!({"max_tokens": 5}),
        json!({"max_completion_tokens": 5}),
        json!({"max_tokens": 50, "max_completion_tokens": 5}),
        json!({"max_tokens": null, "n_predict": 5}),
    ] {
        let answer = service
            .whole(body("[[mock: count 20]]x", fields.clone()))
            .await;
        assert_eq!(answer["choices"][0]["finish_reason"], "length", "{fields}");
        assert_eq!(answer["usage"]["completion_tokens"], 5, "{fields}");
    }
    let free = service
        .whole(body("[[mock: count 20]]x", json!({"max_tokens": -1})))
        .await;
    assert_eq!(free["usage"]["completion_tokens"], 20);
}

#[tokio::test]
async fn the_begin_of_a_stop_text_is_shown_when_the_text_ends_with_it() {
    let service = able().await;
    for (script, shown) in [("one TRE", "one TRE"), ("one TRE\nAAAA two", "one ")] {
        for stop in [json!("TRE\nAAAA"), json!(["TRE\nAAAA", "x", "y", "z"])] {
            let fields = json!({"stop": stop});
            let whole = service.whole(body(script, fields.clone())).await;
            assert_eq!(content(&whole), shown);
            let chunks = service.chunks(body(script, fields)).await;
            assert_eq!(joined(&chunks, "content"), shown);
            let last = &chunks.last().unwrap()["choices"][0];
            assert_eq!(last["finish_reason"], "stop");
        }
    }
}

#[tokio::test]
async fn a_stop_text_is_never_shown() {
    let service = able().await;
    let script = "[[mock: answer one two three]]x";
    for stop in [json!(" two"), json!([" two"]), json!(["", " two", null])] {
        let answer = service.whole(body(script, json!({"stop": stop}))).await;
        assert_eq!(content(&answer), "one");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    }
    for stop in [json!(""), json!(["", null]), json!(null)] {
        let answer = service.whole(body(script, json!({"stop": stop}))).await;
        assert_eq!(content(&answer), "one two three");
    }
}

#[tokio::test]
async fn choices_have_their_index_and_share_the_prompt() {
    let service = able().await;
    let one = service
        .whole(body("[[mock: answer a b]]x", json!({})))
        .await;
    let three = service
        .whole(body("[[mock: answer a b]]x", json!({"n": 3, "seed": 7})))
        .await;
    let indexes: Vec<u64> = three["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, [0, 1, 2]);
    assert_eq!(three["usage"]["completion_tokens"], 6);
    assert_eq!(
        three["usage"]["prompt_tokens"],
        one["usage"]["prompt_tokens"]
    );
    let asked = json!({"n": 6, "stream_options": {"include_usage": true}});
    let chunks = service.chunks(body("[[mock: answer a b]]x", asked)).await;
    for index in 0..6 {
        let own = chunks
            .iter()
            .flat_map(|chunk| chunk["choices"].as_array().unwrap());
        let own: Vec<&Value> = own.filter(|choice| choice["index"] == index).collect();
        let text: String = own
            .iter()
            .filter_map(|choice| choice["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, "a b");
        assert_eq!(
            own.iter()
                .filter(|choice| choice["finish_reason"] == "stop")
                .count(),
            1
        );
    }
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 12);
}

#[tokio::test]
async fn logprobs_have_the_shape_of_a_chat() {
    let service = able().await;
    let fields = json!({"logprobs": true, "top_logprobs": 2});
    let script = "[[mock: answer a b]]x";
    let answer = service.whole(body(script, fields.clone())).await;
    let first = json!({
        "token": "a", "logprob": -0.125, "bytes": [97],
        "top_logprobs": [
            {"token": "a", "logprob": -0.125, "bytes": [97]},
            {"token": "other1", "logprob": -1.125, "bytes": b"other1"},
        ],
    });
    let logprobs = &answer["choices"][0]["logprobs"];
    assert_eq!(logprobs["content"][0], first);
    assert_eq!(logprobs["content"].as_array().unwrap().len(), 2);
    let chunks = service.chunks(body(script, fields)).await;
    for chunk in &chunks {
        let choice = &chunk["choices"][0];
        if let Some(text) = choice["delta"]["content"]
            .as_str()
            .filter(|text| !text.is_empty())
        {
            assert_eq!(choice["logprobs"]["content"][0]["token"], text);
        }
    }
    let without = service
        .whole(body(script, json!({"logprobs": false})))
        .await;
    assert_eq!(without["choices"][0]["logprobs"], Value::Null);
    let probs = service.whole(body(script, json!({"n_probs": 1}))).await;
    assert_eq!(probs["choices"][0]["logprobs"]["content"][0]["token"], "a");
    let refused = service
        .post(CHAT, body("x", json!({"top_logprobs": 3})))
        .await;
    refused.fails(400, "invalid_request", json!("top_logprobs"));
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_is_its_last_event() {
    let service = able().await;
    let asked = body(
        "[[mock: answer a b c d; fail-at-token 3]]x",
        json!({"stream": true}),
    );
    let answer = service.post(CHAT, asked).await;
    assert_eq!(answer.status, 200);
    let frames: Vec<&str> = answer.text.split_terminator("\n\n").collect();
    let last: Value =
        serde_json::from_str(frames.last().unwrap().strip_prefix("data: ").unwrap()).unwrap();
    let error = &last["error"];
    assert_eq!(error["type"], "server_error");
    assert_eq!(error["param"], Value::Null);
    assert!(
        error["message"].is_string() && error["code"].is_string(),
        "{error}"
    );
    assert!(!answer.text.contains("[DONE]"));
    assert!(frames.len() > 3, "{frames:?}");
}

#[tokio::test]
async fn an_error_before_the_first_output_has_its_status() {
    let service = able().await;
    for stream in [false, true] {
        let asked = body("[[mock: fail memory]]x", json!({"stream": stream}));
        service
            .post(CHAT, asked)
            .await
            .fails(500, "out_of_memory", Value::Null);
        let unknown = with(
            body("x", json!({"stream": stream})),
            json!({"model": "nowhere"}),
        );
        let answer = service.post(CHAT, unknown).await;
        answer.fails(404, "model_not_found", Value::Null);
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_never_cut() {
    let service = able().await;
    let long = "word ".repeat(100);
    for stream in [false, true] {
        let answer = service
            .post(CHAT, body(&long, json!({"num_ctx": 64, "stream": stream})))
            .await;
        let message = answer.fails(400, "context_length_exceeded", Value::Null);
        assert!(
            message.contains("maximum context length is 64 tokens"),
            "{message}"
        );
        assert!(
            message.contains("exceeds the available context size"),
            "{message}"
        );
        let error = answer.json()["error"].clone();
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(error["n_ctx"], 64);
        assert!(error["n_prompt_tokens"].as_u64().unwrap() > 64);
    }
    let filled = service
        .whole(body("[[mock: count 100]]x", json!({"num_ctx": 64})))
        .await;
    assert_eq!(filled["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn timings_and_progress_come_when_they_are_asked_for() {
    let service = able().await;
    let asked = json!({"timings_per_token": true, "return_progress": true});
    let chunks = service
        .chunks(body("[[mock: answer a b]]x", asked.clone()))
        .await;
    let progress = chunks
        .iter()
        .find(|chunk| !chunk["prompt_progress"].is_null())
        .unwrap();
    assert!(progress["prompt_progress"]["total"].as_u64().unwrap() > 0);
    let last = chunks.last().unwrap();
    assert_eq!(last["timings"]["predicted_n"], 2);
    assert_eq!(joined(&chunks, "content"), "a b");
    let whole = service.whole(body("[[mock: answer a b]]x", asked)).await;
    assert_eq!(whole["timings"]["predicted_n"], 2);
    assert_eq!(
        service.whole(body("x", json!({}))).await["timings"],
        Value::Null
    );
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_slot() {
    let service = able().await;
    let asked = body(
        "[[mock: count 900; delay-ms 1000]]x",
        json!({"stream": true, "n": 2}),
    );
    let request = Service::request("POST", CHAT)
        .body(Body::from(asked.to_string()))
        .unwrap();
    let response = service.router.clone().oneshot(request).await.unwrap();
    let mut frames = response.into_body().into_data_stream();
    frames.next().await.unwrap().unwrap();
    assert_eq!(service.loaded().await[0]["active"], 2);
    drop(frames);
    while service.loaded().await[0]["active"] != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_error_before_the_first_progress_has_its_status() {
    let service = able().await;
    let fields = json!({"stream": true, "return_progress": true});
    let mut unknown = body("x", fields.clone());
    unknown["model"] = json!("nowhere");
    assert_eq!(service.post(CHAT, unknown).await.status, 404);
    let long = service
        .post(CHAT, body(&"word ".repeat(3000), fields))
        .await;
    assert_eq!(long.status, 400, "{}", long.text);
}
