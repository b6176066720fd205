//! Prompt templates in the language of Modelfiles (Go's `text/template`), rendered within bounds.
//!
//! A template is hostile input, because it can come with any model. [`Template::parse`] refuses a malformed template, and
//! [`Template::render`] fails when a template makes more than [`MAX_OUTPUT`] bytes, exceeds its budget of steps, or runs for longer
//! than [`MAX_TIME`]. `instrument` enforces this: it rewrites the parsed tree so that each body, each printed value and each argument
//! of a function is charged to the budget (`budget`).
//!
//! A template has the fields `.System`, `.Messages`, `.Prompt`, `.Response`, `.Suffix`, `.Tools`, `.Think`, `.ThinkLevel` and
//! `.IsThinkSet`, Go's functions, and `json`, `currentDate`, `yesterdayDate` and `toTypeScriptType`.
//! A template with `.Messages` is rendered once. A template with only `.Prompt` and `.Response` is rendered once for each exchange,
//! and its last rendering ends before `.Response`, where the model continues.

mod blocks;
mod budget;
mod cache;
mod data;
mod functions;
mod instrument;
mod turns;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gotmpl::TemplateError;
use gotmpl::parse::{DefineNode, ListNode, Node, Parser, TextNode};
use jiff::civil::Date;
use runner_protocol::{Message, Tool};

use budget::{Budget, Excess};

pub use cache::Cache;

/// Longest template in bytes.
pub const MAX_SOURCE: usize = 256 * 1024;
/// Most `else if` and `else with` in one template.
pub const MAX_ELSE_LINKS: usize = 128;
/// Most bytes of a rendered text.
pub const MAX_OUTPUT: usize = 4 << 20;
/// Longest time of a rendering.
pub const MAX_TIME: Duration = Duration::from_secs(1);

/// An error in a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not parse. The message has line and column.
    #[error("{0}")]
    Syntax(String),
    /// It is too long.
    #[error("it has {0} bytes, at most {MAX_SOURCE} are allowed")]
    TooLong(usize),
    /// It calls a function that does not exist.
    #[error("line {line}: function {name:?} is not defined")]
    UnknownFunction {
        /// The function.
        name: String,
        /// Line of the template, from 1.
        line: usize,
    },
    /// It fails to render.
    #[error("{0}")]
    Failed(String),
    /// It makes too much text.
    #[error("it makes more than {MAX_OUTPUT} bytes of text")]
    TooMuchText,
    /// It takes too many steps or too long.
    #[error("it takes too many steps or more than {} s", MAX_TIME.as_secs())]
    TooMuchWork,
}

/// The input of a rendering.
#[derive(Debug, Clone, Default)]
pub struct Input<'a> {
    /// The conversation in order, with system messages.
    pub messages: &'a [Message],
    /// The text to continue; used only with a suffix.
    pub prompt: &'a str,
    /// Text after the answer.
    pub suffix: &'a str,
    /// Whether the model thinks; `None` if it is not set.
    pub think: Option<bool>,
    /// The level of thinking; empty without one.
    pub level: &'a str,
    /// The tools that the model may call.
    pub tools: &'a [Tool],
    /// The result of `currentDate`.
    pub today: Date,
}

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    /// The whole template, instrumented.
    whole: Arc<Tree>,
    /// The template up to `.Response`, for the last exchange.
    open: Arc<Tree>,
    names: BTreeSet<String>,
    warnings: Vec<String>,
}

/// A body with the templates that it can call.
#[derive(Debug)]
struct Tree {
    body: ListNode,
    defines: Vec<DefineNode>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`Error::Syntax`], [`Error::TooLong`] or [`Error::UnknownFunction`].
    pub fn parse(source: &str) -> Result<Self, Error> {
        if source.len() > MAX_SOURCE {
            return Err(Error::TooLong(source.len()));
        }
        let (mut body, defines) = parse(source)?;
        let instrument::Names {
            mut names, roots, ..
        } = instrument::names(&body, &defines)?;
        if !names.contains("Messages") && !names.contains("Response") {
            // The answer follows the template.
            let (rest, _) = parse("{{ .Response }}")?;
            body.nodes.extend(rest.nodes);
            names.insert("Response".to_owned());
        }
        let open = turns::cut_at_response(&body);
        let tree = |body| {
            Arc::new(Tree {
                body: instrument::meter(body),
                defines: defines
                    .iter()
                    .map(|define| DefineNode {
                        pos: define.pos,
                        name: define.name.clone(),
                        body: instrument::meter(define.body.clone()),
                    })
                    .collect(),
            })
        };
        Ok(Self {
            open: tree(open),
            whole: tree(body),
            names,
            warnings: roots
                .into_iter()
                .filter_map(|(name, line)| data::unknown(&name, line))
                .collect(),
        })
    }

    /// Warnings about unknown fields, which print nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the template mentions a field, such as `Suffix`.
    pub fn mentions(&self, field: &str) -> bool {
        self.names.contains(field)
    }

    /// Renders it. Blocks for little more than [`MAX_TIME`] at most, so it must run on a blocking thread.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::TooMuchText`] or [`Error::TooMuchWork`].
    pub fn render(&self, input: &Input<'_>) -> Result<String, Error> {
        let budget = Budget::new();
        let mut out = budget.writer();
        let result = if !input.suffix.is_empty() {
            let whole = self.whole.prepare(&budget, input.today);
            execute(&whole, &mut out, &data::of_suffix(input))
        } else if self.mentions("Messages") {
            let whole = self.whole.prepare(&budget, input.today);
            execute(&whole, &mut out, &data::of_messages(input))
        } else {
            self.render_turns(&budget, &mut out, input)
        };
        match (result, budget.excess()) {
            (Ok(()), None) => Ok(out.into_text()),
            (_, Some(Excess::Text)) => Err(Error::TooMuchText),
            (_, Some(Excess::Work)) | (Err(TemplateError::RangeIterLimit), None) => {
                Err(Error::TooMuchWork)
            }
            (Err(error), None) => Err(Error::Failed(error.to_string())),
        }
    }

    fn render_turns(
        &self,
        budget: &Arc<Budget>,
        out: &mut budget::Writer,
        input: &Input<'_>,
    ) -> Result<(), TemplateError> {
        let mut exchanges = turns::exchanges(input.messages);
        let last = exchanges.pop().unwrap_or_default();
        let whole = self.whole.prepare(budget, input.today);
        for exchange in &exchanges {
            execute(&whole, out, &data::of_exchange(exchange, input))?;
        }
        let open = self.open.prepare(budget, input.today);
        execute(&open, out, &data::of_exchange(&last, input))
    }
}

/// Name of the main body; no definition can have it.
const MAIN: &str = "";

fn execute(
    template: &gotmpl::Template,
    out: &mut budget::Writer,
    data: &gotmpl::Value,
) -> Result<(), TemplateError> {
    template.execute_template_fmt(out, MAIN, data)
}

impl Tree {
    /// Prepares one rendering, with functions that charge its budget.
    fn prepare(&self, budget: &Arc<Budget>, today: Date) -> gotmpl::Template {
        let mut template = functions::add(gotmpl::Template::new(MAIN), budget, today)
            .max_range_iters(budget::STEPS);
        for define in &self.defines {
            template = template.add_parse_tree(&define.name, define.body.clone());
        }
        template.add_parse_tree(MAIN, self.body.clone())
    }
}

/// Appended to a template, to check that the parser reaches the end.
const SENTINEL: &str = "\u{1}the end of the template\u{1}";

/// Parses a template. The parser of gotmpl stops without an error at an unmatched `{{ end }}` or `{{ else }}`, and the rest of the
/// prompt would be missing. The sentinel detects it.
///
/// The parser bounds the depth of nested blocks, but not the length of a chain of `else if`. Each link is one level of recursion,
/// in the parser, in the walks over the tree, and when the tree is dropped. So links are counted first.
fn parse(source: &str) -> Result<(ListNode, Vec<DefineNode>), Error> {
    if else_links(source) > MAX_ELSE_LINKS {
        return Err(Error::Syntax(format!(
            "there are more than {MAX_ELSE_LINKS} {{{{ else if }}}} and {{{{ else with }}}}"
        )));
    }
    blocks::check(source)?;
    let marked = format!("{source}{SENTINEL}");
    let (mut body, defines) = Parser::new(&marked, "{{", "}}")
        .and_then(Parser::parse)
        .map_err(|error| Error::Syntax(error.to_string()))?;
    match body.nodes.pop() {
        Some(Node::Text(text)) if text.text.ends_with(SENTINEL) => {
            let rest = &text.text[..text.text.len() - SENTINEL.len()];
            if !rest.is_empty() {
                body.nodes.push(Node::Text(TextNode {
                    pos: text.pos,
                    text: rest.into(),
                }));
            }
            Ok((body, defines))
        }
        _ => Err(Error::Syntax(
            "there is an {{ end }} or {{ else }} that belongs to nothing".into(),
        )),
    }
}

/// Counts `else` before `if` or `with`, also in texts and comments, so that the count cannot differ from the parser's view.
fn else_links(source: &str) -> usize {
    source
        .match_indices("else")
        .filter(|(at, word)| {
            let rest = source[at + word.len()..].trim_start();
            rest.starts_with("if") || rest.starts_with("with")
        })
        .count()
}

#[cfg(test)]
mod tests;
