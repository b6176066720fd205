//! `slm run`: one answer, or a conversation.

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use api::{
    ChatEvent, ChatRequest, GenerateEvent, GenerateRequest, KeepAlive, Message, Timings, routes,
};
use modelfile::Parameters;
use serde_json::Value;

use super::local;
use super::pull::pull;
use crate::answer::{self, Answer};
use crate::args::Run;
use crate::client::{Client, Error};
use crate::context::Context;
use crate::error::{Failure, Interrupted};
use crate::exit::Exit;
use crate::images::Question;
use crate::interrupt::until_ctrl_c;
use crate::output::{Output, ProgressView};
use crate::{env, format, images, params, repl, text};

/// The longest text that is taken from standard input, in bytes.
const MAX_STDIN: u64 = 16 << 20;

/// Answers one prompt, or holds a conversation when there is none and a person is there.
pub(crate) async fn run(context: Context, args: Run) -> anyhow::Result<Exit> {
    let demands = Demands::of(&args, &context.out)?;
    let args = Run {
        model: until_ctrl_c(local::made(&context, &args.model)).await?,
        ..args
    };
    let prompt = until_ctrl_c(prompt(&args)).await?;
    let Some(prompt) = prompt else {
        if args.raw {
            return Err(Failure::usage("--raw needs a prompt").into());
        }
        return repl::run(context, args, demands).await;
    };
    let word_wrap = !args.nowordwrap && demands.format.is_none();
    let mut answer = Answer::new(context.out.clone(), word_wrap)
        .hide_thoughts(args.hide_thinking)
        .waiting(format!("{} loads and reads the prompt", args.model));
    let done = until_ctrl_c(once(&context, &args, &demands, prompt, &mut answer)).await;
    if done.as_ref().is_err_and(|error| error.is::<Interrupted>()) {
        answer.leave()?;
    }
    done
}

/// What the command line demands of answers, checked before anything is asked.
#[derive(Debug)]
pub(crate) struct Demands {
    /// Parameters that go over those of the model.
    pub(crate) parameters: Parameters,
    /// The form that answers must have, as a request says it.
    pub(crate) format: Option<Value>,
}

impl Demands {
    fn of(args: &Run, out: &Output) -> anyhow::Result<Self> {
        let home = env::home_folder(&env::Process);
        let read = |form: &String| format::read(form, home.as_deref());
        Ok(Self {
            parameters: params::parse(&args.params, out)?,
            format: args.format.as_ref().map(read).transpose()?,
        })
    }
}

/// What to ask.
#[derive(Debug, Default)]
struct Prompt {
    /// What stands on the command line.
    typed: String,
    piped: Piped,
}

/// What was piped in.
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

/// What was piped in, and what stands on the command line; `None` for a conversation.
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
        let message = format!("standard input holds more than {}", text::bytes(MAX_STDIN));
        return Err(Failure::new(message).hint("no model's context holds so much; give it a part"));
    }
    if images::is_image(&bytes) {
        return Ok(Piped::Image(images::encode(&bytes)));
    }
    let text = String::from_utf8(bytes).map_err(|error| failed(&error))?;
    Ok(Piped::Text(text))
}

/// What is piped in, and what is typed behind it. Raw, nothing is added and nothing left out: white space counts.
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
    demands: &Demands,
    prompt: Prompt,
    answer: &mut Answer,
) -> anyhow::Result<Exit> {
    let Context { client, out, .. } = context;
    let asked = ask(context, args, demands, &prompt, answer).await;
    let timings = match asked {
        Err(error) if is_missing(&error) && !args.no_pull => {
            fetch(client, out, &args.model).await?;
            ask(context, args, demands, &prompt, answer).await?
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
    Demands { parameters, format }: &Demands,
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

/// The conversation of one question. An empty question asks nothing: it loads the model.
fn messages(system: Option<&str>, question: &Question) -> Vec<Message> {
    if question.is_empty() {
        return Vec::new();
    }
    let system = system.map(|text| answer::message("system", text));
    system.into_iter().chain([question.to_message()]).collect()
}

/// A number is seconds; anything else is a text that the daemon reads.
pub(crate) fn keep_alive(text: &str) -> KeepAlive {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => KeepAlive::Seconds(seconds),
        _ => KeepAlive::Text(text.to_owned()),
    }
}

/// Whether it failed because the model is not here.
pub(crate) fn is_missing(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Error>()
        .is_some_and(Error::is_missing_model)
}

/// Fetches a model that is not here, and says so first.
///
/// With `--json`, standard output belongs to the answer, so nothing is said.
pub(crate) async fn fetch(client: &Client, out: &Output, model: &str) -> anyhow::Result<()> {
    out.note(&format!("`{model}` is not here yet: fetching it"));
    let view = if out.json() {
        ProgressView::silent()
    } else {
        out.progress()
    };
    pull(client, out, view, model).await
}

/// What an answer took, a line each.
pub(crate) fn timing_table(timings: &Timings) -> String {
    let duration = |nanoseconds| text::duration(Duration::from_nanos(nanoseconds));
    let rate = |count: u32, nanoseconds: u64| match nanoseconds {
        0 => "-".to_owned(),
        _ => format!(
            "{:.2} tokens/s",
            f64::from(count) * 1e9 / nanoseconds as f64
        ),
    };
    let remembered = match timings.cached_tokens {
        0 => String::new(),
        count => format!(" ({count} remembered)"),
    };
    // What was remembered was not computed, so it says nothing about speed.
    let computed = timings
        .prompt_eval_count
        .saturating_sub(timings.cached_tokens);
    let mut rows = vec![
        ("total duration", duration(timings.total_duration)),
        ("load duration", duration(timings.load_duration)),
        (
            "prompt eval count",
            format!("{} tokens{remembered}", timings.prompt_eval_count),
        ),
        (
            "prompt eval duration",
            duration(timings.prompt_eval_duration),
        ),
        (
            "prompt eval rate",
            rate(computed, timings.prompt_eval_duration),
        ),
        ("eval count", format!("{} tokens", timings.eval_count)),
        ("eval duration", duration(timings.eval_duration)),
        ("eval rate", rate(timings.eval_count, timings.eval_duration)),
    ];
    if timings.drafted_tokens > 0 {
        let share = f64::from(timings.accepted_tokens) / f64::from(timings.drafted_tokens);
        rows.push((
            "drafts accepted",
            format!(
                "{} of {} tokens ({:.0} %)",
                timings.accepted_tokens,
                timings.drafted_tokens,
                share * 100.0
            ),
        ));
    }
    if let Some(seed) = timings.seed {
        rows.push(("seed", seed.to_string()));
    }
    rows.iter()
        .map(|(name, value)| format!("{:22}{value}\n", format!("{name}:")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_piped_in_comes_before_what_is_typed() {
        let join = |piped, typed| super::join(piped, typed, false);
        assert_eq!(join("", ""), "");
        assert_eq!(join("\n", "why"), "why");
        assert_eq!(join("text\n", ""), "text");
        assert_eq!(join("  text\n\n", "why"), "  text\n\nwhy");
    }

    #[test]
    fn a_raw_prompt_is_the_text_to_its_last_byte() {
        assert_eq!(join("1, 2, \n", "", true), "1, 2, \n");
        assert_eq!(join("Once upon ", "a time", true), "Once upon a time");
        assert_eq!(join("", "hi", true), "hi");
    }

    #[test]
    fn a_number_keeps_alive_for_seconds() {
        assert_eq!(keep_alive("-1"), KeepAlive::Seconds(-1.0));
        assert_eq!(keep_alive("2.5"), KeepAlive::Seconds(2.5));
        assert_eq!(keep_alive("10m"), KeepAlive::Text("10m".to_owned()));
        assert_eq!(keep_alive("inf"), KeepAlive::Text("inf".to_owned()));
    }

    #[test]
    fn what_timings_look_like() {
        let timings = Timings {
            total_duration: 2_500_000_000,
            load_duration: 120_000_000,
            prompt_eval_count: 30,
            prompt_eval_duration: 200_000_000,
            eval_count: 100,
            eval_duration: 2_000_000_000,
            cached_tokens: 10,
            drafted_tokens: 48,
            accepted_tokens: 36,
            seed: Some(42),
            ..Timings::default()
        };
        insta::assert_snapshot!(timing_table(&timings), @r"
        total duration:       2.50s
        load duration:        120.0ms
        prompt eval count:    30 tokens (10 remembered)
        prompt eval duration: 200.0ms
        prompt eval rate:     100.00 tokens/s
        eval count:           100 tokens
        eval duration:        2.00s
        eval rate:            50.00 tokens/s
        drafts accepted:      36 of 48 tokens (75 %)
        seed:                 42
        ");
        let nothing = timing_table(&Timings::default());
        assert!(
            !nothing.contains("NaN") && !nothing.contains("inf"),
            "{nothing}"
        );
    }
}
