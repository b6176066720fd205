//! A toy dialect: routes, bodies, events and an error format are all that a dialect needs.

use super::*;

/// The toy dialect: `POST /toy` takes a model and a line, and responds with server-sent events.
mod toy {
    use axum::extract::State;
    use axum::middleware::map_response;
    use axum::response::sse::Event as Frame;
    use axum::routing::post;
    use futures::stream::iter;

    use super::*;
    use crate::answer::Event;
    use crate::ask::Ask;
    use crate::dialect::fields::target;
    use crate::error::rendered;
    use crate::extract::{Json, SMALL};
    use crate::serve;
    use crate::transport::sse;
    use crate::turn::{Role, Turn};

    pub(super) fn routes() -> Router<App> {
        Router::new()
            .route("/toy", post(answer))
            .route_layer(map_response(async |response| rendered(response, error)))
    }

    async fn answer(
        State(app): State<App>,
        Json((model, line)): Json<(String, String), SMALL>,
    ) -> Result<axum::response::Response, Error> {
        let turns = vec![Turn::text(Role::User, line)];
        let ask = Ask::new(target(Instant::now(), &model, None, None)?, turns);
        let batches = serve::answer(&app, ask)
            .await?
            .with_output()
            .await?
            .into_stream();
        let frames = batches.flat_map(|batch| {
            iter(match batch {
                Ok(events) => events.into_iter().map(frame).map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        Ok(sse::stream(frames, sse::comments(), |error| {
            frame_of("oops", &error.message())
        }))
    }

    fn frame(event: Event) -> Frame {
        match event {
            Event::Started { prompt_tokens, .. } => frame_of("start", &prompt_tokens.to_string()),
            Event::Text(text) => frame_of("text", &text),
            Event::End(end) => frame_of("end", &format!("{:?}", end.finish)),
            _ => Frame::default().comment("something else"),
        }
    }

    fn frame_of(name: &str, data: &str) -> Frame {
        Frame::default().event(name).data(data)
    }

    fn error(error: &Error) -> (StatusCode, Value) {
        (StatusCode::IM_A_TEAPOT, json!({"oops": error.code()}))
    }
}

async fn toy(service: &Service, body: Value) -> (StatusCode, String) {
    let router =
        behind(OriginCheck::default().into(), toy::routes()).with_state(service.app.clone());
    let request = http::Request::post("/toy")
        .header("host", "localhost")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    (status, String::from_utf8(bytes.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_toy_dialect_answers_through_the_same_request_and_stream() {
    let service = with_model(json!({})).await;
    let (status, frames) = toy(&service, json!(["m", "one two"])).await;
    assert_eq!(status, StatusCode::OK);
    let frames: Vec<&str> = frames
        .split("\n\n")
        .filter(|it| !it.starts_with(':'))
        .collect();
    let expected = [
        "event: start",
        "event: text\ndata: one",
        "event: text\ndata:  two",
        "event: end\ndata: Turn",
        "",
    ];
    assert_eq!(frames.len(), expected.len(), "{frames:?}");
    for (frame, expected) in frames.iter().zip(expected) {
        assert!(frame.starts_with(expected), "{frame:?} is not {expected:?}");
    }
}

#[tokio::test]
async fn an_end_has_the_stop_text_that_came() {
    let service = with_model(json!({"parameters": {"stop": ["x", " two"]}})).await;
    let (_, frames) = toy(&service, json!(["m", "one two three"])).await;
    let end = "event: end\ndata: StopText(\" two\")\n\n";
    assert!(frames.ends_with(end), "{frames}");
}

#[tokio::test]
async fn a_dialect_writes_errors_in_its_format() {
    let service = service().await;
    let (status, body) = toy(&service, json!(["nowhere", "one"])).await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::IM_A_TEAPOT, r#"{"oops":"model_not_found"}"#)
    );
}
