//! The conversation at the prompt.
//!
//! Ctrl-C cancels the answer and never the program; Ctrl-D and `/bye` leave.

mod command;
mod conversation;
mod echo;
mod input;
mod lines;
mod load;
mod parameters;
mod save;
mod typed;

use api::{ChatEvent, ChatRequest, ShowRequest, Think, routes};
use serde_json::Value;

pub(crate) use self::command::COMMANDS;
use self::command::{Command, Entry, Topic};
use self::conversation::Conversation;
use self::input::Input;
use self::parameters::Values;
use self::typed::Typed;
use crate::answer::Answer;
use crate::args::Run;
use crate::context::Context;
use crate::error::{Failure, Interrupted, ReaderGone, Report};
use crate::exit::Exit;
use crate::interrupt::until_ctrl_c;
use crate::overview::overview;
use crate::settings::{AnswerSettings, keep_alive};
use crate::timings::timing_table;
use crate::{env, format, images};

/// Holds a conversation until the user leaves.
pub(crate) async fn run(
    context: Context,
    args: Run,
    AnswerSettings { parameters, format }: AnswerSettings,
) -> anyhow::Result<Exit> {
    if context.out.json() || !context.out.is_terminal() {
        return Err(
            Failure::usage("there is no prompt, and a conversation needs a terminal")
                .hint("write the prompt after the model's name, or pipe it in")
                .into(),
        );
    }
    let is_plain = env::is_plain_terminal(&env::Process);
    let mut session = Session {
        conversation: Conversation::new(&args.model, args.system.clone(), parameters),
        input: Input::new(&context.home.history(), is_plain, &context.out)?,
        verbose: args.verbose,
        word_wrap: !args.nowordwrap,
        format,
        think: args.think(),
        context,
        args,
    };
    let model = session.conversation.model.clone();
    // From here on, typed text is echoed only where it is read.
    let _quiet = (!is_plain).then(|| session.input.quiet());
    let begun = async {
        session.load(&model).await?;
        session.check_thinking(session.think.as_ref()).await
    };
    until_ctrl_c(begun).await?;
    session.talk().await?;
    Ok(Exit::Ok)
}

#[derive(Debug)]
struct Session {
    context: Context,
    args: Run,
    conversation: Conversation,
    input: Input,
    verbose: bool,
    word_wrap: bool,
    /// The `format` field of requests.
    format: Option<Value>,
    /// The `think` field of requests.
    think: Option<Think>,
}

/// What follows an entry.
enum Next {
    Read,
    Leave,
}

impl Session {
    async fn talk(&mut self) -> anyhow::Result<()> {
        let out = self.context.out.clone();
        out.note("Say something, or /? for help.");
        loop {
            let typed = match self.input.read(&out).await? {
                Typed::Text(text) => text,
                Typed::CtrlC => {
                    out.note("(Ctrl-D or /bye leaves)");
                    continue;
                }
                Typed::CtrlD => return Ok(()),
            };
            match self.answer_to(&typed).await {
                Ok(Next::Read) => {}
                Ok(Next::Leave) => return Ok(()),
                // A failure is shown, and the conversation continues.
                Err(error) if error.is::<ReaderGone>() => return Err(error),
                Err(error) if error.is::<Interrupted>() => out.note("(cancelled)"),
                Err(error) => out.report(&Report::of(&error)),
            }
        }
    }

    async fn answer_to(&mut self, typed: &str) -> anyhow::Result<Next> {
        match command::read(typed)? {
            Entry::Nothing => Ok(Next::Read),
            Entry::Say(text) => self.say(text).await.map(|()| Next::Read),
            Entry::Do(Command::Bye) => Ok(Next::Leave),
            Entry::Do(command) => self.perform(command).await.map(|()| Next::Read),
        }
    }

    async fn say(&mut self, text: String) -> anyhow::Result<()> {
        let out = self.context.out.clone();
        let (client, model) = (&self.context.client, &self.conversation.model);
        let question = until_ctrl_c(images::attach(client, &out, model, text)).await?;
        self.conversation.add(question.to_message());
        let request = ChatRequest {
            model: self.conversation.model.clone(),
            messages: self.conversation.to_send(),
            options: self.conversation.options(),
            format: self.format.clone(),
            keep_alive: self.keep_alive(),
            think: self.think.clone(),
            ..ChatRequest::default()
        };
        // Wrapping would break strings of JSON.
        let word_wrap = self.word_wrap && self.format.is_none();
        let mut answer = Answer::new(out.clone(), word_wrap)
            .hide_thinking(self.args.hide_thinking)
            .waiting(format!("{} processes the prompt", self.conversation.model));
        let asked = self
            .context
            .client
            .stream::<ChatEvent>(routes::CHAT, &request);
        let quiet = self.input.quiet();
        let received = answer.receive_until_ctrl_c(asked).await;
        drop(quiet);
        match (&received, answer.text()) {
            // A question without an answer would precede the next one.
            (_, "") => self.conversation.forget_last(),
            _ => self.conversation.add(answer.to_message()),
        }
        match received? {
            Some(timings) => {
                out.print("\n")?;
                if self.verbose {
                    out.say(&format!("{}\n", timing_table(&timings)));
                }
            }
            None => out.note("(stopped)"),
        }
        Ok(())
    }

    async fn perform(&mut self, command: Command) -> anyhow::Result<()> {
        let out = self.context.out.clone();
        match command {
            Command::SetParameter { name, value } => {
                self.conversation.set_parameter(&name, &value)?;
                out.note(&format!("set `{name}` to `{value}`"));
            }
            Command::ExplainParameters(name) => {
                until_ctrl_c(self.explain_parameters(name.as_deref())).await?;
            }
            Command::SetSystem(text) => {
                out.note(if text.is_empty() {
                    "the model's own system prompt is used"
                } else {
                    "set the system prompt"
                });
                self.conversation.system = (!text.is_empty()).then_some(text);
            }
            Command::SetFormat(Some(form)) => {
                let home = env::home_folder(&env::Process);
                let format = format::read(&form, home.as_deref())?;
                out.note(&match &format {
                    Value::Object(_) => format!("answers obey the schema in `{form}`"),
                    _ => "answers are JSON".to_owned(),
                });
                self.format = Some(format);
            }
            Command::SetFormat(None) => {
                self.format = None;
                out.note("answers have any formatat");
            }
            Command::SetVerbose(verbose) => {
                self.verbose = verbose;
                out.note(if verbose {
                    "timings are shown"
                } else {
                    "timings are not shown"
                });
            }
            Command::SetWordWrap(word_wrap) => {
                self.word_wrap = word_wrap;
                out.note(if word_wrap {
                    "lines are wrapped"
                } else {
                    "lines are not wrapped"
                });
            }
            Command::SetThink(think) => {
                until_ctrl_c(self.check_thinking(Some(&think))).await?;
                out.note(match &think {
                    Think::Switch(true) => "the model thinks before it answers",
                    Think::Switch(false) => "the model does not think before it answers",
                    Think::Level(_) => "the model thinks before it answers, at this level",
                });
                self.think = Some(think);
            }
            Command::SetHistory(history) => {
                self.input.keep_history(history)?;
                out.note(if history {
                    "typed lines are kept"
                } else {
                    "typed lines are not kept"
                });
            }
            Command::Show(topic) => until_ctrl_c(self.show(topic)).await?,
            Command::Load(model) => {
                until_ctrl_c(self.load_other(&model)).await?;
            }
            Command::Save(name) => until_ctrl_c(self.save(&name)).await?,
            Command::Clear => {
                self.conversation.clear();
                out.note("the conversation is cleared");
            }
            Command::Help(start) => out.print(&command::help(start, out.width()))?,
            Command::Bye => {}
        }
        Ok(())
    }

    async fn show(&self, topic: Topic) -> anyhow::Result<()> {
        let out = &self.context.out;
        let shown = self.ask_about_model().await?;
        let conversation = &self.conversation;
        match topic {
            Topic::Info => out.print(&overview(out, &shown, false)),
            Topic::License => out.line(or_none(&shown.license)),
            Topic::Modelfile => out.line(or_none(&shown.modelfile)),
            Topic::Template => out.line(or_none(&shown.template)),
            Topic::System => out.line(or_none(
                conversation.system.as_deref().unwrap_or(&shown.system),
            )),
            Topic::Parameters => {
                out.line("of the model:")?;
                out.line(or_none(&shown.parameters))?;
                out.line("of this conversation:")?;
                out.line(or_none(&conversation.parameter_lines()))
            }
        }
    }

    /// Explains one parameter or lists all, with current values.
    async fn explain_parameters(&self, name: Option<&str>) -> anyhow::Result<()> {
        let out = &self.context.out;
        let shown = self.ask_about_model().await?;
        let values = Values::new(self.conversation.parameters(), &shown.parameters);
        let text = match name {
            None => values.table(out),
            Some(name) => values.explain(out, name).map_err(conversation::refuse)?,
        };
        out.print(&text)
    }

    async fn ask_about_model(&self) -> anyhow::Result<api::ShowResponse> {
        let request = ShowRequest {
            model: self.conversation.model.clone(),
            ..ShowRequest::default()
        };
        Ok(self.context.client.post(routes::SHOW, &request).await?)
    }

    fn keep_alive(&self) -> Option<api::KeepAlive> {
        self.args.keepalive.as_deref().map(keep_alive)
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}
