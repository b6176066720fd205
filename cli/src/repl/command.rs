//! The commands of a conversation in `slm run`.

use api::Think;
use clap::ValueEnum as _;

use crate::args::Thinking;
use crate::error::Failure;
use crate::output::definitions;

/// Every command with its meaning, for `/?`, for completion, and for the reference page.
pub(crate) const COMMANDS: [(&str, &str); 24] = [
    (
        "/set parameter NAME VALUE",
        "Set a parameter; without VALUE, explain it; without NAME, list all.",
    ),
    (
        "/set system TEXT",
        "Replace the system prompt; without TEXT, go back to the model's.",
    ),
    (
        "/set format json",
        "Answer in JSON; a file instead of json is a JSON Schema to obey.",
    ),
    ("/set noformat", "Answer in any format."),
    (
        "/set think",
        "Think before each answer; low, medium, high or max after it sets the level.",
    ),
    ("/set nothink", "Answer without thinking first."),
    (
        "/set verbose",
        "Show timings and token counts of each answer.",
    ),
    ("/set quiet", "Show only the answers."),
    ("/set wordwrap", "Wrap lines between words."),
    ("/set nowordwrap", "Leave lines as the model writes them."),
    (
        "/set history",
        "Keep typed lines for the arrow keys and the next session.",
    ),
    ("/set nohistory", "Keep no typed lines from now on."),
    ("/show info", "Show an overview of the model."),
    ("/show license", "Show its licence."),
    ("/show modelfile", "Show a Modelfile that creates it again."),
    (
        "/show parameters",
        "Show its parameters and those of this conversation.",
    ),
    ("/show system", "Show the current system prompt."),
    ("/show template", "Show its chat template."),
    (
        "/load MODEL",
        "Begin a new conversation with another model; settings are kept.",
    ),
    (
        "/save NAME",
        "Save this conversation as a model that starts with it.",
    ),
    ("/clear", "Forget the conversation."),
    ("/bye", "Leave; so do /exit and Ctrl-D."),
    ("/?", "Show this; so does /help."),
    ("\"\"\"", "Begin and end a text of several lines."),
];

/// A typed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Only white space.
    Nothing,
    /// Text for the model.
    Say(String),
    /// A command.
    Do(Command),
}

/// A command of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Set a parameter.
    SetParameter {
        /// Its name.
        name: String,
        /// Its value, not yet checked.
        value: String,
    },
    /// List the parameters, or explain one, with current values.
    ExplainParameters(Option<String>),
    /// Replace the system prompt; the empty text goes back to the model's.
    SetSystem(String),
    /// Set the format of answers: `json`, or a file with a JSON Schema; `None` permits any answer.
    SetFormat(Option<String>),
    /// Set whether and how much the model thinks.
    SetThink(Think),
    /// Whether to show timings and token counts of each answer.
    SetVerbose(bool),
    /// Whether to wrap lines.
    SetWordWrap(bool),
    /// Whether to keep typed lines.
    SetHistory(bool),
    /// Show a part of the model.
    Show(Topic),
    /// Begin a new conversation with another model.
    Load(String),
    /// Save this conversation as a model.
    Save(String),
    /// Forget the conversation.
    Clear,
    /// Leave.
    Bye,
    /// Show the commands that start with this text.
    Help(&'static str),
}

/// A part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// An overview.
    Info,
    /// Its licence.
    License,
    /// A Modelfile that creates it again.
    Modelfile,
    /// Its parameters and those of the conversation.
    Parameters,
    /// The current system prompt.
    System,
    /// Its chat template.
    Template,
}

const QUOTES: &str = "\"\"\"";

/// Parses an entry.
///
/// A line is a command if its first word is `/?` or a slash and letters; `/etc/hosts is …` goes to the
/// model.
///
/// # Errors
/// The command is unknown, or an argument is missing.
pub(crate) fn read(typed: &str) -> Result<Entry, Failure> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(Entry::Nothing);
    }
    let (word, rest) = split(typed);
    let is_command = word == "/?"
        || word
            .strip_prefix('/')
            .is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()));
    if !is_command {
        let text = unquoted(typed);
        return Ok(if text.trim().is_empty() {
            Entry::Nothing
        } else {
            Entry::Say(text)
        });
    }
    match word {
        "/set" => set(rest),
        "/show" => show(rest),
        "/load" => named(rest, "/load MODEL").map(Command::Load),
        "/save" => named(rest, "/save NAME").map(Command::Save),
        "/clear" => alone(word, rest, Command::Clear),
        "/bye" | "/exit" => alone(word, rest, Command::Bye),
        "/?" | "/help" => alone(word, rest, Command::Help("")),
        _ => Err(unknown(word, &first_words())),
    }
    .map(Entry::Do)
}

/// Whether the entry goes on in the next line, because its `"""` is not closed.
pub(crate) fn is_open(typed: &str) -> bool {
    let typed = typed.trim_start();
    let may_open = typed.starts_with(QUOTES) || typed.starts_with("/set");
    may_open && typed.matches(QUOTES).count() == 1
}

fn set(rest: &str) -> Result<Command, Failure> {
    let (word, rest) = split(rest);
    let alone = |command| alone(&format!("/set {word}"), rest, command);
    match word {
        "parameter" => {
            let (name, value) = split(rest);
            let name = name.to_owned();
            Ok(match value {
                "" => Command::ExplainParameters((!name.is_empty()).then_some(name)),
                value => Command::SetParameter {
                    name,
                    value: unquoted(value),
                },
            })
        }
        "system" => Ok(Command::SetSystem(unquoted(rest))),
        "format" if rest.is_empty() => Err(usage("/set format json")),
        "format" => Ok(Command::SetFormat(Some(unquoted(rest)))),
        "noformat" => alone(Command::SetFormat(None)),
        "think" => match Thinking::from_str(rest.trim_end(), true) {
            _ if rest.is_empty() => Ok(Command::SetThink(Think::Switch(true))),
            Ok(how) => Ok(Command::SetThink(how.to_wire())),
            Err(_) => Err(usage("/set think low|medium|high|max")),
        },
        "nothink" => alone(Command::SetThink(Think::Switch(false))),
        "verbose" => alone(Command::SetVerbose(true)),
        "quiet" => alone(Command::SetVerbose(false)),
        "wordwrap" => alone(Command::SetWordWrap(true)),
        "nowordwrap" => alone(Command::SetWordWrap(false)),
        "history" => alone(Command::SetHistory(true)),
        "nohistory" => alone(Command::SetHistory(false)),
        "" => Ok(Command::Help("/set ")),
        _ => Err(unknown(&format!("/set {word}"), &two_words("/set "))),
    }
}

fn show(rest: &str) -> Result<Command, Failure> {
    let (word, rest) = split(rest);
    let topic = match word {
        "info" | "" => Topic::Info,
        "license" => Topic::License,
        "modelfile" => Topic::Modelfile,
        "parameters" => Topic::Parameters,
        "system" => Topic::System,
        "template" => Topic::Template,
        _ => return Err(unknown(&format!("/show {word}"), &two_words("/show "))),
    };
    alone(&format!("/show {word}"), rest, Command::Show(topic))
}

fn named(rest: &str, form: &str) -> Result<String, Failure> {
    let (name, more) = split(rest);
    if name.is_empty() {
        return Err(usage(form));
    }
    alone(form, more, name.to_owned())
}

/// A command without further arguments.
fn alone<T>(form: &str, rest: &str, command: T) -> Result<T, Failure> {
    if rest.is_empty() {
        return Ok(command);
    }
    let failure = Failure::usage(format!("`{form}` takes no more arguments"));
    Err(failure.hint(format!("leave out `{rest}`")))
}

fn usage(form: &str) -> Failure {
    Failure::usage(format!("this command is not complete: `{form}`"))
}

fn unknown(typed: &str, known: &[String]) -> Failure {
    let failure = Failure::usage(format!("there is no `{typed}`"));
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(typed, known), known))
        .filter(|(distance, known)| {
            let word = known.rsplit(['/', ' ']).next().unwrap_or_default();
            *distance <= (word.len() / 3).clamp(1, 2)
        })
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((_, nearest)) => failure.hint(format!("did you mean `{nearest}`?")),
        None => failure.hint("`/?` shows all commands"),
    }
}

fn first_words() -> Vec<String> {
    let mut words: Vec<String> = COMMANDS
        .iter()
        .map(|(form, _)| split(form).0.to_owned())
        .filter(|word| word.starts_with('/'))
        .collect();
    words.extend(["/exit".to_owned(), "/help".to_owned()]);
    words.dedup();
    words
}

fn two_words(start: &str) -> Vec<String> {
    COMMANDS
        .iter()
        .filter(|(form, _)| form.starts_with(start))
        .map(|(form, _)| form.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// The text without the quotes around it, `"""` or `"`.
fn unquoted(text: &str) -> String {
    if let Some(inner) = text.strip_prefix(QUOTES) {
        let inner = inner.strip_suffix(QUOTES).unwrap_or(inner);
        return inner
            .strip_prefix('\n')
            .unwrap_or(inner)
            .trim_end_matches('\n')
            .to_owned();
    }
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('"') && !text.contains('\n') => inner.to_owned(),
        _ => text.to_owned(),
    }
}

/// The help of the commands that start with `start`, for `/?` and `/set`.
pub(crate) fn help(start: &str, columns: Option<usize>) -> String {
    let commands = COMMANDS.into_iter();
    let mut text = definitions(
        commands.filter(|(form, _)| form.starts_with(start)),
        columns,
    );
    if start.is_empty() {
        let keys = [(
            "Ctrl-C",
            "Stops the answer; the arrow keys bring back earlier lines.",
        )];
        text.push('\n');
        text.push_str(&definitions(keys, columns));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expected: &str) {
        let shown = match read(typed) {
            Ok(entry) => format!("{entry:?}"),
            Err(failure) => {
                let body = crate::error::Report::of(&failure.into()).body.unwrap();
                format!("{} ({})", body.error, body.hint.unwrap_or_default())
            }
        };
        assert_eq!(shown, expected, "{typed:?}");
    }

    #[test]
    fn text_goes_to_the_model() {
        check("", "Nothing");
        check("  \n ", "Nothing");
        check(" why? ", r#"Say("why?")"#);
        check("/etc/hosts is what?", r#"Say("/etc/hosts is what?")"#);
        check("/ is a slash", r#"Say("/ is a slash")"#);
        check("\"\"\"one\ntwo\"\"\"", r#"Say("one\ntwo")"#);
        check("\"\"\"\none\n\"\"\"", r#"Say("one")"#);
        check("\"\"\"\"\"\"", "Nothing");
        check("\"quoted\" and not", r#"Say("\"quoted\" and not")"#);
    }

    #[test]
    fn commands_are_parsed() {
        check(
            "/set parameter temperature 0.5",
            r#"Do(SetParameter { name: "temperature", value: "0.5" })"#,
        );
        check(
            "/set parameter stop \"a b\"",
            r#"Do(SetParameter { name: "stop", value: "a b" })"#,
        );
        check("/set system Be brief.", r#"Do(SetSystem("Be brief."))"#);
        check(
            "/set system \"\"\"Be\nbrief.\"\"\"",
            r#"Do(SetSystem("Be\nbrief."))"#,
        );
        check("/set system", r#"Do(SetSystem(""))"#);
        check("/set format json", r#"Do(SetFormat(Some("json")))"#);
        check(
            "/set format \"my schema.json\"",
            r#"Do(SetFormat(Some("my schema.json")))"#,
        );
        check("/set noformat", "Do(SetFormat(None))");
        check("/set think", "Do(SetThink(Switch(true)))");
        check("/set think Low", r#"Do(SetThink(Level("low")))"#);
        check("/set nothink", "Do(SetThink(Switch(false)))");
        check("/set quiet", "Do(SetVerbose(false))");
        check("/set nohistory", "Do(SetHistory(false))");
        check("/show", "Do(Show(Info))");
        check("/show template", "Do(Show(Template))");
        check("/load smollm2", r#"Do(Load("smollm2"))"#);
        check("/save mine", r#"Do(Save("mine"))"#);
        check("/exit", "Do(Bye)");
        check("/?", r#"Do(Help(""))"#);
        check("/set", r#"Do(Help("/set "))"#);
        check("/set parameter", "Do(ExplainParameters(None))");
        check(
            "/set parameter seed",
            r#"Do(ExplainParameters(Some("seed")))"#,
        );
    }

    #[test]
    fn mistakes_get_a_suggestion() {
        check("/byee", "there is no `/byee` (did you mean `/bye`?)");
        check("/xyzzy", "there is no `/xyzzy` (`/?` shows all commands)");
        check(
            "/set worwrap",
            "there is no `/set worwrap` (did you mean `/set wordwrap`?)",
        );
        check(
            "/show licence",
            "there is no `/show licence` (did you mean `/show license`?)",
        );
        check("/load", "this command is not complete: `/load MODEL` ()");
        check(
            "/save a b",
            "`/save NAME` takes no more arguments (leave out `b`)",
        );
        check(
            "/bye now",
            "`/bye` takes no more arguments (leave out `now`)",
        );
        check(
            "/set verbose on",
            "`/set verbose` takes no more arguments (leave out `on`)",
        );
        check("/foo", "there is no `/foo` (`/?` shows all commands)");
        check(
            "/set format",
            "this command is not complete: `/set format json` ()",
        );
    }

    #[test]
    fn an_open_quote_continues_the_entry() {
        assert!(is_open("\"\"\"one"));
        assert!(is_open("/set system \"\"\"one"));
        assert!(!is_open("\"\"\"one\ntwo\"\"\""));
        assert!(
            !is_open("python has \"\"\"docstrings"),
            "only a text that starts with quotes is quoted"
        );
    }

    #[test]
    fn every_command_of_the_table_is_parsed() {
        for (form, _) in COMMANDS.iter().filter(|(form, _)| form.starts_with('/')) {
            assert!(matches!(read(form), Ok(Entry::Do(_))), "{form}");
        }
    }

    #[test]
    fn help_shows_all_and_fits_every_terminal() {
        for columns in [50, 80, 120] {
            let text = help("", Some(columns));
            for (form, _) in COMMANDS {
                assert!(text.contains(form), "{form} at {columns}");
            }
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(columns), "{text}");
        }
        let forms = help("/set ", None);
        assert!(
            forms.contains("/set think") && !forms.contains("/show"),
            "{forms}"
        );
    }
}
