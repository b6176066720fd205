//! Shared functions of these tests.

use std::{fs::File, io::Write as _};

use futures::StreamExt as _;
use runner_protocol::{
    Done, Generate, KvType, Load, LoadSettings, Loaded, Message, Prompt, Speculation, Template,
};
use supervisor::{Error, Files, Generation, Options, Program, Runner, Spawner, Step};

/// The mock runner as a program, with these directives in its environment.
pub(crate) fn program(directives: &str) -> Program {
    let mut program = Program::new(env!("CARGO_BIN_EXE_slm-mock-runner"));
    program.env.push(("SLM_MOCK".into(), directives.into()));
    program
}

/// A spawner of processes.
pub(crate) fn processes() -> Spawner {
    Spawner::start().expect("the thread starts")
}

/// A weights file with this text.
pub(crate) fn weights(text: &str) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("room for a line");
    file
}

/// A model with a context of 64 cells, 2 sequences and batches of 4 tokens.
pub(crate) fn load() -> Load {
    Load {
        weights_fd: Files::FIRST,
        shard_fds: Vec::new(),
        adapters: Vec::new(),
        sequences: 2,
        settings: LoadSettings {
            context: 64,
            batch: 4,
            threads: 0,
            gpu_layers: 0,
            host_experts: 0,
            main_gpu: 0,
            mmap: true,
            kv_type: KvType::F16,
        },
        chat_template: None,
        draft_fd: None,
        speculation: Speculation::Auto,
        projector: None,
    }
}

/// A conversation of one message.
pub(crate) fn chat(content: &str) -> Generate {
    let messages = vec![Message {
        role: "user".to_owned(),
        content: content.to_owned(),
        ..Message::default()
    }];
    Generate::new(Prompt::Chat(Template {
        messages,
        add_generation_prompt: true,
        ..Template::default()
    }))
}

/// Starts a runner with a file of these weights.
pub(crate) async fn spawn(
    spawner: &Spawner,
    directives: &str,
    weights: File,
    options: Options,
) -> Result<Runner, Error> {
    let mut files = Files::new();
    assert_eq!(files.push(weights), Files::FIRST);
    spawner.spawn(&program(directives), files, options).await
}

/// A runner with a loaded model.
pub(crate) async fn loaded(spawner: &Spawner, options: Options) -> Runner {
    let runner = spawn(spawner, "", weights("GGUF"), options)
        .await
        .expect("the mock starts");
    load_it(&runner).await.expect("the mock loads");
    runner
}

pub(crate) async fn load_it(runner: &Runner) -> Result<Loaded, Error> {
    runner.load(load(), |_| {}).await
}

/// The text and the end of an answer. Panics if the stream continues after its end.
pub(crate) async fn finish(mut generation: Generation) -> (String, Result<Done, Error>) {
    let mut text = String::new();
    loop {
        let end = match generation
            .next()
            .await
            .expect("an end before the stream ends")
        {
            Ok(Step::Started { .. } | Step::Prefill { .. }) => continue,
            Ok(Step::Delta(delta)) => {
                text.push_str(&delta.text);
                continue;
            }
            Ok(Step::Done(done)) => Ok(*done),
            Err(error) => Err(error),
        };
        assert!(generation.next().await.is_none(), "something after the end");
        return (text, end);
    }
}

/// The answer to one message.
pub(crate) async fn ask(runner: &Runner, content: &str) -> (String, Result<Done, Error>) {
    match runner.generate(chat(content)).await {
        Ok(generation) => finish(generation).await,
        Err(error) => (String::new(), Err(error)),
    }
}

/// Reads until the first word.
pub(crate) async fn first_word(generation: &mut Generation) -> String {
    loop {
        match generation
            .next()
            .await
            .expect("a word before the end")
            .expect("a word, no error")
        {
            Step::Started { .. } | Step::Prefill { .. } => {}
            Step::Delta(delta) => return delta.text,
            Step::Done(done) => panic!("no word at all: {done:?}"),
        }
    }
}
