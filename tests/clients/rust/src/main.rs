//! Calls of `async-openai` against a daemon with the mock runner; a failed check ends the program with its place.

mod chat;
mod embeddings;
mod responses;
mod service;

use service::Service;

/// One test is a call, and a check that no answer goes on after it.
macro_rules! run {
    ($service:ident: $($test:path),+ $(,)?) => {
        $($test(&$service).await; $service.wait_until_idle(stringify!($test)).await;)+
    };
}

#[tokio::main]
async fn main() {
    let service = Service::from_environment();
    let all = async {
        run!(service:
            chat::whole_answers,
            chat::streams,
            chat::loops_with_results,
            chat::structured_output,
            chat::errors,
            chat::cancels_in_mid_stream,
            chat::answers_several_at_once,
            embeddings::embeds,
            embeddings::lists_models,
            responses::answers,
            responses::streams,
            responses::loops_with_results,
            responses::structured_output,
            responses::errors,
            responses::cancels_in_mid_stream,
            responses::reads_and_removes,
        );
    };
    let limit = std::time::Duration::from_secs(120);
    tokio::time::timeout(limit, all)
        .await
        .expect("the tests end within two minutes");
}
