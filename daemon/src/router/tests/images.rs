//! Images in requests. The daemon never decodes them.

use gguf_writer::vision::{self, Kind};

use super::*;

/// A service with a vision model of this recipe.
pub(super) async fn with_seeing_model(recipe: Value) -> Service {
    let service = service().await;
    make(&service, recipe).await;
    service
}

async fn make(service: &Service, mut recipe: Value) {
    let mut files = serde_json::Map::new();
    for (name, bytes) in [
        ("tiny.gguf", gguf_writer::tiny::llama(1)),
        ("mmproj.gguf", vision::projector(1, Kind::Causal)),
    ] {
        let digest = Digest::of(&bytes).to_string();
        let upload = Service::request("POST", &api::routes::blob(&digest));
        let status = service.send(upload.body(Body::from(bytes)).unwrap()).await;
        assert!(status.status.is_success());
        files.insert(name.to_owned(), json!(digest));
    }
    recipe["model"] = json!("m");
    recipe["files"] = json!(files);
    let answer = service.post("/api/create", recipe).await;
    assert!(answer.text.contains("success"), "{}", answer.text);
}

fn user(text: &str, images: Value) -> Value {
    json!({"role": "user", "content": text, "images": images})
}

#[tokio::test]
async fn a_model_with_a_projector_has_vision() {
    let service = with_seeing_model(json!({})).await;
    let shown = service
        .post("/api/show", json!({"model": "m"}))
        .await
        .json();
    assert_eq!(shown["capabilities"], json!(["completion", "vision"]));
    assert_eq!(shown["projector_info"]["clip.projector_type"], "janus_pro");
    let tags = service.get("/api/tags").await.json();
    assert_eq!(
        tags["models"][0]["capabilities"],
        json!(["completion", "vision"])
    );
}

#[tokio::test]
async fn an_image_comes_before_the_text_of_its_message() {
    let service = with_seeing_model(json!({})).await;
    let messages = json!([
        user("one", json!(["aGk="])),
        {"role": "assistant", "content": "yes"},
        user("[[mock: echo-prompt]]two [img] three", json!(["aGk=", "data:image/png;base64,aGkh"])),
    ]);
    let (text, last) = service
        .chat(json!({"model": "m", "messages": messages}))
        .await;
    assert!(text.contains("user: [image-1:2]one\n"), "{text}");
    assert!(text.contains("[image-3:3]two [image-2:2] three"), "{text}");
    assert!(last["prompt_eval_count"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_prompt_has_images_with_and_without_a_template() {
    for (recipe, extra, expected) in [
        (json!({}), json!({}), "user: [image-1:2]what"),
        (
            json!({"template": "Q {{ .Prompt }} A"}),
            json!({}),
            "Q [image-1:2]what A",
        ),
        (
            json!({"template": "{{ range .Messages }}<{{ .Content }}>{{ end }}"}),
            json!({}),
            "<[image-1:2]what>",
        ),
        (json!({}), json!({"raw": true}), "[image-1:2]what"),
        (
            json!({}),
            json!({"raw": true, "prompt": "[[mock: echo-prompt]]see [img] there"}),
            "see [image-1:2] there",
        ),
    ] {
        let service = with_seeing_model(recipe).await;
        let mut body =
            json!({"model": "m", "prompt": "[[mock: echo-prompt]]what", "images": ["aGk="]});
        for (key, value) in extra.as_object().unwrap() {
            body[key] = value.clone();
        }
        let (text, _) = service.generate(body).await;
        assert!(text.contains(expected), "{expected:?} in {text:?}");
    }
}

#[tokio::test]
async fn an_image_alone_is_a_prompt() {
    let service = with_seeing_model(json!({})).await;
    let (text, last) = service
        .generate(json!({"model": "m", "prompt": "", "images": ["aGk="], "context": []}))
        .await;
    assert_eq!(
        (text.as_str(), &last["done_reason"]),
        ("[image-1:2]", &json!("stop"))
    );
}

#[tokio::test]
async fn a_model_without_a_projector_is_named() {
    let service = with_model(json!({})).await;
    let body = json!({"model": "m", "prompt": "x", "images": ["aGk="]});
    let answer = service.post("/api/generate", body).await;
    answer.refuses(
        400,
        "invalid_request",
        "does not support vision: it has no projector for images",
    );
    assert!(answer.text.contains("m:latest"), "{}", answer.text);
    let messages = json!([user("x", json!(["aGk="]))]);
    service
        .post("/api/chat", json!({"model": "m", "messages": messages}))
        .await
        .refuses(400, "invalid_request", "does not support vision");
    // No model was loaded.
    service.until_loaded(0).await;
}

#[tokio::test]
async fn an_invalid_image_is_refused_before_the_load() {
    let service = with_seeing_model(json!({})).await;
    for (images, words) in [
        (json!(["http://localhost/cat.png"]), "image 1 is an address"),
        (json!(["aGk=", "not base64!"]), "image 2 is not in base64"),
        (json!([""]), "image 1 is empty"),
        (json!(vec!["aGk="; 17]), "16 images"),
    ] {
        let body = json!({"model": "m", "prompt": "x", "images": images});
        service
            .post("/api/generate", body)
            .await
            .refuses(400, "invalid_request", words);
        let messages = json!([user("x", images)]);
        service
            .post("/api/chat", json!({"model": "m", "messages": messages}))
            .await
            .refuses(400, "invalid_request", words);
    }
    service.until_loaded(0).await;
}

#[tokio::test]
async fn an_error_of_the_runner_about_an_image_is_reported() {
    let service = with_seeing_model(json!({})).await;
    let body = json!({"model": "m", "prompt": "x", "images": ["aGk=", "YmFk"]});
    service.post("/api/generate", body).await.refuses(
        400,
        "invalid_request",
        "image 2 cannot be read",
    );
}

#[tokio::test]
async fn images_with_context_tokens_or_a_suffix_are_refused() {
    let template = json!({"template": "{{ .Prompt }}{{ .Suffix }}"});
    let service = with_seeing_model(template).await;
    for (field, value) in [("context", json!([20, 21])), ("suffix", json!("end"))] {
        let mut body = json!({"model": "m", "prompt": "x", "images": ["aGk="]});
        body[field] = value;
        service.post("/api/generate", body).await.refuses(
            400,
            "invalid_request",
            &format!("images go without {field}"),
        );
    }
}

#[tokio::test]
async fn a_dropped_message_drops_its_images() {
    let service = with_seeing_model(json!({})).await;
    let mut messages: Vec<Value> = (0..6)
        .map(|index| match index % 2 {
            0 => user(&"w ".repeat(30), json!(["aGk="])),
            _ => json!({"role": "assistant", "content": "y"}),
        })
        .collect();
    messages.push(user("[[mock: echo-prompt]]last", json!(["aGkh"])));
    let (text, last) = service
        .chat(json!({"model": "m", "messages": messages}))
        .await;
    assert!(text.contains("[image-4:3]last"), "{text}");
    assert!(!text.contains("[image-1:"), "{text}");
    assert!(last["truncated_messages"].as_u64().unwrap() > 0, "{last}");
}
