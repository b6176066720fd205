//! `slm run`: one answer, or a conversation.

use std::io::{IsTerminal as _, Read as _};

use api::{ChatEvent, ChatRequest, GenerateEvent, GenerateRequest, Message, Timings, routes};

use super::{local, variants};
use crate::answer::{self, Answer};
use crate::args::Run;
use crate::client::Error;
use crate::context::Context;
use crate::error::{Failure, Interrupted};
use crate::exit::Exit;
use crate::fetch::fetch_missing;
use crate::images::Question;
use crate::interrupt::until_ctrl_c;
use crate::settings::{AnswerSettings, keep_alive};
use crate::timings::timing_table;
use crate::{images, repl, text};

/// The maximum size of standard input, in bytes.
const MAX_STDIN: u64 = 16 << 20;

/// Answers one prompt; without a prompt on a terminal, holds a conversation.
pub(crate) async fn run(context: Context, args: Run) -> anyhow::Result<Exit> {
    let settings = AnswerSettings::of(&args, &context.out)?;
    let args = Run {
        model: until_ctrl_c(local::made(&context, &args.model)).await?,
        ..args
    };
    let prompt = until_ctrl_c(prompt(&args)).await?;
    if let Some(variant) = &args.variant {
        until_ctrl_c(variants::ensure(&context, &args.model, variant)).await?;
    }
    let Some(prompt) = prompt else {
        if args.raw {
            return Err(Failure::usage("--raw needs a prompt").into());
        }
        return repl::run(context, args, settings).await;
    };
    let word_wrap = !args.nowordwrap && settings.format.is_none();
    let mut answer = Answer::new(context.out.clone(), word_wrap)
        .hide_thinking(args.hide_thinking)
        .waiting(format!("{} loads and processes the prompt", args.model));
    let done = until_ctrl_c(once(&context, &args, &settings, prompt, &mut answer)).await;
    if done.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
        answer.leave()?;
    }
    done
}

/// The prompt of one answer.
#[derive(Debug, Default)]
struct Prompt {
    /// The words of the command line.
    typed: String,
    piped: Piped,
}

/// Piped standard input.
#[derive(Debug)]
enum Piped {
    Text(String),
    /// An image, in base64.
    Image(String),
}

impl Default for Piped {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// The prompt from standard input and the command line; `None` for a conversation.
async fn prompt(args: &Run) -> anyhow::Result<Option<Prompt>> {
    let typed = args.prompt.join(" ");
    if std::io::stdin().is_terminal() {
        let piped = Piped::default();
        return Ok((!typed.is_empty()).then_some(Prompt { typed, piped }));
    }
    let piped = tokio::task::spawn_blocking(read_stdin).await??;
    Ok(Some(Prompt { typed, piped }))
}

fn read_stdin() -> Result<Piped, Failure> {
    let mut bytes = Vec::new();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!("cannot read standard input as text: {error}"))
    };
    std::io::stdin()
        .lock()
        .take(MAX_STDIN + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > MAX_STDIN {
        let message = format!("standard input is longer than {}", text::bytes(MAX_STDIN));
        return Err(Failure::new(message).hint("no model has a context of that size; send a part"));
    }
    if images::is_image(&bytes) {
        return Ok(Piped::Image(images::encode(&bytes)));
    }
    let text = String::from_utf8(bytes).map_err(|error| failed(&error))?;
    Ok(Piped::Text(text))
}

/// The piped text, a blank line, and the typed text. With `raw`, both texts without a change or a blank line.
fn join(piped: &str, typed: &str, raw: bool) -> String {
    match (piped.trim_end(), typed) {
        _ if raw => format!("{piped}{typed}"),
        ("", typed) => typed.to_owned(),
        (piped, "") => piped.to_owned(),
        (piped, typed) => format!("{piped}\n\n{typed}"),
    }
}

async fn once(
    context: &Context,
    args: &Run,
    settings: &AnswerSettings,
    prompt: Prompt,
    answer: &mut Answer,
) -> anyhow::Result<Exit> {
    let Context { client, out, .. } = context;
    let asked = ask(context, args, settings, &prompt, answer).await;
    let timings = match asked {
        Err(error) if is_missing(&error) && !args.no_pull => {
            fetch_missing(client, out, &args.model).await?;
            ask(context, args, settings, &prompt, answer).await?
        }
        asked => asked?,
    };
    if args.verbose && !out.json() {
        out.say(&timing_table(&timings));
    }
    Ok(Exit::Ok)
}

async fn ask(
    Context { client, out, .. }: &Context,
    args: &Run,
    AnswerSettings { parameters, format }: &AnswerSettings,
    prompt: &Prompt,
    answer: &mut Answer,
) -> anyhow::Result<Timings> {
    let typed = prompt.typed.clone();
    let mut question = images::attach(client, out, &args.model, typed).await?;
    match &prompt.piped {
        Piped::Text(text) => question.text = join(text, &question.text, args.raw),
        Piped::Image(image) => question.images.insert(0, image.clone()),
    }
    let options = (!parameters.is_empty()).then(|| parameters.to_json());
    let keep_alive = args.keepalive.as_deref().map(keep_alive);
    if args.raw {
        let request = GenerateRequest {
            model: args.model.clone(),
            images: (!question.images.is_empty()).then_some(question.images),
            prompt: question.text,
            raw: Some(true),
            format: format.clone(),
            options,
            keep_alive,
            ..GenerateRequest::default()
        };
        return answer
            .receive(client.stream::<GenerateEvent>(routes::GENERATE, &request))
            .await;
    }
    let request = ChatRequest {
        model: args.model.clone(),
        messages: messages(args.system.as_deref(), &question),
        format: format.clone(),
        options,
        keep_alive,
        think: args.think(),
        ..ChatRequest::default()
    };
    answer
        .receive(client.stream::<ChatEvent>(routes::CHAT, &request))
        .await
}

/// The messages of one question. An empty question has none, which loads the model.
fn messages(system: Option<&str>, question: &Question) -> Vec<Message> {
    if question.is_empty() {
        return Vec::new();
    }
    let system = system.map(|text| answer::message("system", text));
    system.into_iter().chain([question.to_message()]).collect()
}

/// Whether the error says that the model is not in the store.
fn is_missing(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Error>()
        .is_some_and(Error::is_missing_model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piped_text_comes_before_typed_text() {
        let join = |piped, typed| super::join(piped, typed, false);
        assert_eq!(join("", ""), "");
        assert_eq!(join("\n", "why"), "why");
        assert_eq!(join("text\n", ""), "text");
        assert_eq!(join("  text\n\n", "why"), "  text\n\nwhy");
    }

    #[test]
    fn a_raw_prompt_is_verbatim() {
        assert_eq!(join("1, 2, \n", "", true), "1, 2, \n");
        assert_eq!(join("Once upon ", "a time", true), "Once upon a time");
        assert_eq!(join("", "hi", true), "hi");
    }
}
