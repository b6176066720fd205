//! Compiles a rule to the automaton of `llguidance`.

use std::{cell::RefCell, fmt, sync::Arc, thread, time::Instant};

use llguidance::{
    Matcher, ParserFactory,
    api::{ParserLimits, TopLevelGrammar},
    toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie},
};
use runner_protocol::{MAX_CONSTRAINT_BYTES, Shape};
use serde_json::Value;

use super::{Calls, calls, gbnf, lark, names::Names, pattern, schema};
use crate::{error::Error, vocabulary::Vocabulary};

/// Stack of the compiling thread: the compiler recurses into each reference.
const STACK: usize = 256 * 1024 * 1024;

/// Maximum length of a quoted message of the compiler, in characters.
const MAX_QUOTE: usize = 300;

/// Limits on the work and memory of a rule, in the units of the library.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2000,
        // About 20 ms.
        initial_lexer_fuel: 1_000_000,
        // About 14 ms for one token.
        step_lexer_fuel: 200_000,
        // About 10 ms for one token.
        step_max_items: 200_000,
        // About 1.5 kB each.
        max_lexer_states: 30_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

/// Maximum number of compiled rules that are kept for requests with the same rule.
const MAX_KEPT: usize = 16;

/// Compiles rules for the tokens of one model.
pub(crate) struct Compiler {
    factory: ParserFactory,
    /// The most recently used one is the last.
    kept: RefCell<Vec<(Rule, Compiled)>>,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

/// The input of the compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// A constraint of a client, or a grammar of llama.cpp.
    Asked(Shape),
    /// Tool calls.
    Calls(Calls),
}

/// A compiled rule at the start of an answer.
pub(super) struct Compiled {
    pub(super) matcher: Matcher,
    /// Whether computing the whole mask takes much longer than checking one token.
    pub(super) costly: bool,
    /// Tracks the names of members, if a schema leaves them open.
    pub(super) names: Option<Names>,
}

/// A rule that passed our checks, in the compiler's language.
struct Source {
    grammar: TopLevelGrammar,
    /// The kind of rule, for messages.
    name: &'static str,
    costly: bool,
    names: Option<Names>,
}

impl Compiler {
    /// Sorts the tokens of a model into a tree. This takes some hundred milliseconds for a large vocabulary.
    ///
    /// No rule allows control tokens, except those of `spelled`, which count as their text.
    ///
    /// # Errors
    /// [`Error::Internal`] when the tokens cannot be sorted.
    pub(crate) fn new(vocabulary: &impl Vocabulary, spelled: &[i32]) -> Result<Self, Error> {
        let failed = |why: &dyn fmt::Display| {
            Error::Internal(format!(
                "the vocabulary cannot be read for constraints: {why}"
            ))
        };
        let count = u32::try_from(vocabulary.count()).map_err(|error| failed(&error))?;
        let tokens = || (0..count).map(|token| token as i32);
        let ends: Vec<u32> = tokens()
            .filter(|&token| vocabulary.ends(token))
            .map(|token| token as u32)
            .collect();
        let spelt = tokens().map(|token| match spelled.contains(&token) {
            true => vocabulary.spell(token),
            false => entry(vocabulary, token),
        });
        let spelt: Vec<Vec<u8>> = spelt.collect();
        let info = TokRxInfo::new(count, ends.first().copied().unwrap_or(INVALID_TOKEN));
        let mut trie = TokTrie::from(&info, &spelt);
        if !ends.is_empty() {
            trie = trie.with_eos_tokens(&ends);
        }
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&env).map_err(|error| failed(&error))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self {
            factory,
            kept: RefCell::default(),
        })
    }

    /// The tokens of the model.
    pub(super) fn env(&self) -> &TokEnv {
        self.factory.tok_env()
    }

    /// Compiles one rule.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is too large, is invalid, cannot be enforced, or allows nothing.
    pub(super) fn compile(&self, rule: &Rule) -> Result<Compiled, Error> {
        let mut kept = self.kept.borrow_mut();
        let known = kept.iter().position(|(other, _)| other == rule);
        let factory = &self.factory;
        let began = Instant::now();
        let known = match (known, rule) {
            (Some(index), _) => kept.remove(index).1,
            (None, Rule::Asked(shape)) => {
                let source = source(shape)?;
                on_large_stack(|| source.build(factory))?
            }
            (None, Rule::Calls(calls)) => on_large_stack(|| of_calls(calls, factory))?,
        };
        let fresh = known.fresh();
        tracing::debug!(took = ?began.elapsed(), "a constraint is ready");
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push((rule.clone(), known));
        Ok(fresh)
    }
}

impl Compiled {
    fn fresh(&self) -> Self {
        Self {
            matcher: self.matcher.deep_clone(),
            costly: self.costly,
            names: self.names.clone(),
        }
    }
}

impl Source {
    fn build(self, factory: &ParserFactory) -> Result<Compiled, Error> {
        let Source {
            grammar,
            name,
            costly,
            names,
        } = self;
        let unusable = |why: String| {
            Error::Invalid(match unheld(&why) {
                Some(keywords) => format!(
                    "the {name} uses {keywords}, which cannot be held; leave it out, and ask for it in the prompt"
                ),
                None => format!("the {name} cannot be used: {}", brief(&why)),
            })
        };
        let parser = factory
            .create_parser(grammar)
            .map_err(|error| unusable(format!("{error:#}")))?;
        let mut matcher = Matcher::new(Ok(parser));
        // A rule that allows nothing, or costs too much at its start, fails before prefill.
        let first = matcher.compute_mask_or_eos();
        let first = first.map_err(|error| unusable(format!("{error:#}")))?;
        if first.is_zero() {
            return Err(unusable("no answer would be allowed".into()));
        }
        Ok(Compiled {
            matcher,
            costly,
            names,
        })
    }
}

/// Compiles tool calls. A tool whose schema cannot be enforced takes any object; the schemas of the others are enforced.
fn of_calls(calls: &Calls, factory: &ParserFactory) -> Result<Compiled, Error> {
    let build = |written: calls::Written| {
        let source = Source {
            grammar: TopLevelGrammar::from_lark(written.lark),
            name: "form of calls",
            costly: false,
            names: written.is_open.then(Names::amid_text),
        };
        source.build(factory)
    };
    build(calls.lark(|_| true)).or_else(|_| {
        let holds = |schema: &Value| {
            let alone = TopLevelGrammar::from_json_schema(schema.clone());
            factory.create_parser(alone).is_ok()
        };
        build(calls.lark(holds))
    })
}

/// Runs work on a thread with a large stack.
fn on_large_stack(
    work: impl FnOnce() -> Result<Compiled, Error> + Send,
) -> Result<Compiled, Error> {
    let failed = || Error::Internal("the compiler of constraints failed".into());
    thread::scope(|scope| {
        thread::Builder::new()
            .name("constraint".into())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|_| failed())?
            .join()
            .map_err(|_| failed())?
    })
}

/// The bytes of a token in the tree. A marker byte starts those of control tokens, so that no text equals them.
fn entry(vocabulary: &impl Vocabulary, token: i32) -> Vec<u8> {
    let piece = vocabulary.piece(token);
    if !piece.is_empty() {
        return piece;
    }
    let spelt = vocabulary.spell(token);
    if spelt.is_empty() {
        return spelt;
    }
    [&[TokTrie::SPECIAL_TOKEN_MARKER], spelt.as_slice()].concat()
}

/// Checks a rule and translates it into the compiler's language.
fn source(shape: &Shape) -> Result<Source, Error> {
    let (name, text) = match shape {
        Shape::Json => ("JSON mode", ""),
        Shape::Schema(text) => ("JSON schema", text.as_str()),
        Shape::Grammar(text) => ("grammar", text.as_str()),
        Shape::Regex(text) => ("pattern", text.as_str()),
    };
    if text.len() > MAX_CONSTRAINT_BYTES {
        return Err(Error::Invalid(format!(
            "the {name} has {} bytes, but at most {MAX_CONSTRAINT_BYTES} are allowed",
            text.len()
        )));
    }
    let of_json = |schema: Value| {
        let names = schema::has_open_names(&schema).then(Names::of_json);
        (TopLevelGrammar::from_json_schema(schema), false, names)
    };
    let (grammar, costly, names) = match shape {
        Shape::Json => of_json(schema::any_object()),
        Shape::Schema(text) => of_json(schema::read(text)?),
        Shape::Grammar(text) => {
            let grammar = gbnf::read(text)?;
            let costly = !grammar.is_regular();
            let lark = TopLevelGrammar::from_lark(lark::write(&grammar));
            (lark, costly, None)
        }
        Shape::Regex(text) => {
            pattern::check(text)?;
            (TopLevelGrammar::from_regex(text), false, None)
        }
    };
    Ok(Source {
        grammar,
        name,
        costly,
        names,
    })
}

/// The keywords that the compiler does not support, as a list for a message.
fn unheld(why: &str) -> Option<String> {
    let (_, keywords) = why.split_once("Unimplemented keys: ")?;
    let keywords: Vec<String> = serde_json::from_str(&brief(keywords)).ok()?;
    let quoted: Vec<String> = keywords.iter().map(|it| format!("`{it}`")).collect();
    Some(quoted.join(" and "))
}

/// The start of a library's message, on one line.
pub(super) fn brief(why: &str) -> String {
    let why = why.trim().trim_end_matches("<non-verbose/>").trim();
    let line = why.lines().next().unwrap_or_default();
    let mut brief: String = line.chars().take(MAX_QUOTE).collect();
    if brief.len() < line.len() {
        brief.push('…');
    }
    brief
}
