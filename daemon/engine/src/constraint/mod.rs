//! Constraints on answers: a token after which no valid answer is possible is never sampled.
//!
//! The rule of a constraint comes from a client and may be hostile. It passes three checks:
//! 1. our own checks of size, depth and repetition ([`schema`], [`pattern`], [`gbnf`]), before anything recursive sees it;
//! 2. the compiler of `llguidance`, with limits on memory and work, on a separate stack ([`compile`]);
//! 3. limits on the work of each token: a rule that costs more ends the answer with an error.
//!
//! After any failure the request fails: no answer comes without its constraint.

mod bounds;
mod calls;
mod closed;
mod compile;
pub(crate) mod compilers;
mod gbnf;
pub(crate) mod grammar;
mod lark;
mod mask;
mod names;
mod pattern;
mod schema;
#[cfg(test)]
mod tests;
mod triggers;
mod watch;

use std::sync::Arc;

use llguidance::{Matcher, toktrie::TokEnv};
use runner_protocol::{self as protocol, MAX_MARKER_BYTES, Shape};

use self::{
    compile::Rule,
    grammar::{Grammar, Thinking, Trigger},
    names::{Names, Repeated},
    triggers::Triggers,
    watch::{Begins, Thoughts, Watch},
};
use crate::{error::Error, vocabulary::Vocabulary};

pub(crate) use self::{calls::Calls, compile::Compiler, mask::Mask};

/// Maximum number of states that are searched for a name that its object does not have yet.
const MAX_AHEAD: usize = 128;

/// A constraint on one answer, with its state after the tokens so far.
pub(crate) struct Constraint {
    state: State,
    matcher: Matcher,
    /// Tracks the names of members, if the rule leaves them open.
    names: Option<Names>,
    env: TokEnv,
    costly: bool,
}

enum State {
    /// The constraint has not begun yet.
    Before(Watch),
    Holds,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let holds = matches!(self.state, State::Holds);
        f.debug_struct("Constraint")
            .field("holds", &holds)
            .finish_non_exhaustive()
    }
}

impl Constraint {
    /// Compiles the rule of a request.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is too large, is invalid, cannot be enforced, or allows nothing.
    pub(crate) fn new(
        compiler: &Compiler,
        protocol::Constraint { shape, after }: &protocol::Constraint,
    ) -> Result<Self, Error> {
        let state = match after {
            None => State::Holds,
            Some(marker) if (1..=MAX_MARKER_BYTES).contains(&marker.len()) => {
                State::Before(Watch::behind(marker))
            }
            Some(marker) => {
                return Err(Error::Invalid(format!(
                    "a constraint begins after a text of {} bytes, but 1 to {MAX_MARKER_BYTES} are allowed",
                    marker.len()
                )));
            }
        };
        Self::compiled(compiler, &Rule::Asked(shape.clone()), state)
    }

    /// Compiles the grammar of an answer that may call tools. `begun` is the start of the answer in the prompt, and `thinking`
    /// says whether the answer starts inside thinking.
    ///
    /// `None` for a grammar with a trigger pattern that is not supported.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the grammar of these tools is too large or cannot be compiled.
    pub(crate) fn of_calls(
        compiler: &Compiler,
        grammar: &Grammar,
        thoughts: &Thinking,
        begun: &str,
        thinking: bool,
    ) -> Result<Option<Self>, Error> {
        let rules = grammar.rules();
        if grammar.triggers.is_empty() {
            // The grammar is that of the whole turn, whose start is in the prompt.
            let whole = |rule: &Rule| {
                let mut constraint = Self::compiled(compiler, rule, State::Holds)?;
                constraint.write(begun.as_bytes())?;
                Ok(constraint)
            };
            return first_of(&rules, whole).map(Some);
        }
        let Some(begins) = begins(&grammar.triggers) else {
            return Ok(None);
        };
        let thoughts = Thoughts {
            start: thoughts.start.trim().into(),
            ends: thoughts.ends.iter().map(|end| end.trim().into()).collect(),
        };
        let watch = Watch::outside(begins, thoughts, thinking);
        let later = |rule: &Rule| Self::compiled(compiler, rule, State::Before(watch.clone()));
        first_of(&rules, later).map(Some)
    }

    fn compiled(compiler: &Compiler, rule: &Rule, state: State) -> Result<Self, Error> {
        let compile::Compiled {
            matcher,
            costly,
            names,
        } = compiler.compile(rule)?;
        Ok(Self {
            state,
            matcher,
            names,
            env: compiler.env().clone(),
            costly,
        })
    }

    /// Whether computing the whole mask takes much longer than checking one token.
    pub(crate) fn is_costly(&self) -> bool {
        self.costly || matches!(self.state, State::Before(_))
    }

    /// Whether this token is allowed next.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the rule is too complex to follow.
    pub(crate) fn allows(&mut self, token: i32) -> Result<bool, Error> {
        Ok(self.fits(token)? && self.leads_on(token)?)
    }

    /// Whether a token that the rule allows repeats no name of a member, and forces no repetition later.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the rule is too complex to follow.
    pub(crate) fn leads_on(&mut self, token: i32) -> Result<bool, Error> {
        let (Some(names), State::Holds) = (&self.names, &self.state) else {
            return Ok(true);
        };
        let token = id(token);
        match after(&self.env, names, token) {
            Err(Repeated) => Ok(false),
            Ok(names) if names.may_repeat() => {
                let ahead = stepped(&self.matcher, token)?;
                can_differ(&self.env, ahead, &mut vec![names])
            }
            Ok(_) => Ok(true),
        }
    }

    /// Removes a token that does not lead on from the mask, with all tokens to the same state and all that repeat a name.
    ///
    /// # Errors
    /// [`Error::Invalid`] when nothing is left.
    pub(crate) fn narrow(&self, mask: &mut Mask, token: i32) -> Result<(), Error> {
        let token = id(token);
        mask.forbid(token);
        if let Some(names) = &self.names {
            let wrong = after(&self.env, names, token);
            // A token to the same state does not lead on either.
            mask.retain(|other| {
                let other = after(&self.env, names, other);
                other.is_ok() && other != wrong
            });
        }
        match mask.first() {
            Some(_) => Ok(()),
            None => Err(repeated()),
        }
    }

    /// Whether the rule allows this token.
    fn fits(&mut self, token: i32) -> Result<bool, Error> {
        let token = id(token);
        match &self.state {
            State::Holds => {
                let allowed = self.matcher.validate_tokens(&[token]);
                allowed.map(|count| count == 1).map_err(too_complex)
            }
            State::Before(watch) if self.env.tok_trie().eos_tokens().contains(&token) => {
                Ok(watch.is_optional())
            }
            State::Before(watch) => {
                let bytes = written(&self.env, token);
                let Some(begun) = watch.would_begin(&bytes) else {
                    return Ok(true);
                };
                let tokens = self.env.tokenize_bytes(&begun);
                let allowed = self.matcher.validate_tokens(&tokens);
                allowed
                    .map(|count| count == tokens.len())
                    .map_err(too_complex)
            }
        }
    }

    /// The mask of the next token. For the chosen token, [`Constraint::leads_on`] must be checked too.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the rule is too complex to follow.
    pub(crate) fn mask(&mut self) -> Result<Mask, Error> {
        if matches!(self.state, State::Holds) {
            let mask = self.matcher.compute_mask_or_eos();
            return mask.map(Mask::from).map_err(too_complex);
        }
        let mut mask = self.env.tok_trie().alloc_token_set();
        for token in 0..u32::try_from(self.env.tok_trie().vocab_size()).unwrap_or(u32::MAX) {
            if self.fits(i32::try_from(token).unwrap_or(0))? {
                mask.allow_token(token);
            }
        }
        Ok(mask.into())
    }

    /// Advances by one allowed token.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the token is not allowed, or when the rule is too complex to follow.
    pub(crate) fn accept(&mut self, token: i32, vocabulary: &impl Vocabulary) -> Result<(), Error> {
        let State::Before(watch) = &mut self.state else {
            let token = id(token);
            if let Some(names) = &mut self.names {
                *names = after(&self.env, names, token).map_err(|Repeated| repeated())?;
            }
            return self.matcher.consume_token(token).map_err(too_complex);
        };
        let Some(begun) = watch.push(&vocabulary.spell(token)) else {
            return Ok(());
        };
        self.state = State::Holds;
        self.write(&begun)
    }

    /// Advances by a text.
    fn write(&mut self, text: &[u8]) -> Result<(), Error> {
        if let Some(names) = &mut self.names {
            names.push(text).map_err(|Repeated| repeated())?;
        }
        let tokens = self.env.tokenize_bytes(text);
        self.matcher.consume_tokens(&tokens).map_err(too_complex)
    }

    /// Whether the answer is complete and nothing can follow.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Holds) && self.matcher.is_stopped()
    }
}

impl Grammar {
    /// The rules for a grammar, the best first.
    fn rules(&self) -> Vec<Rule> {
        let calls = self.calls.iter().map(|calls| Rule::Calls(calls.clone()));
        let gbnf = Rule::Asked(Shape::Grammar(self.gbnf.clone()));
        calls.chain([gbnf]).collect()
    }
}

/// The constraint of the first usable rule, or the error of the last one.
fn first_of<T>(rules: &[Rule], make: impl Fn(&Rule) -> Result<T, Error>) -> Result<T, Error> {
    let mut last = Error::Internal("there is no rule for calls".into());
    for rule in rules {
        match make(rule) {
            Err(error) => {
                tracing::debug!(%error, "calls cannot be held in one of the ways to say them");
                last = error;
            }
            made => return made,
        }
    }
    Err(last)
}

/// Where a grammar with these triggers begins. `None` if a trigger is not supported.
fn begins(triggers: &[Trigger]) -> Option<Begins> {
    let vocabulary = triggers.iter().map(|trigger| match trigger {
        Trigger::Word(word) => Some(word.clone().into_bytes()),
        Trigger::Pattern(_) | Trigger::WholePattern(_) => None,
    });
    if let Some(vocabulary) = vocabulary.collect() {
        return Some(Begins::With(vocabulary));
    }
    let patterns = triggers.iter().map(|trigger| match trigger {
        Trigger::Word(word) => Some(regex_syntax::escape(word)),
        Trigger::Pattern(pattern) => Some(pattern.clone()),
        // No family has one.
        Trigger::WholePattern(_) => None,
    });
    let patterns: Vec<_> = patterns.collect::<Option<_>>()?;
    Some(Begins::At(Arc::new(Triggers::new(&patterns)?)))
}

/// The names after a token. A token that ends the answer has no text.
fn after(env: &TokEnv, names: &Names, token: u32) -> Result<Names, Repeated> {
    if env.tok_trie().eos_tokens().contains(&token) {
        return Ok(names.clone());
    }
    names.after(&written(env, token))
}

fn stepped(matcher: &Matcher, token: u32) -> Result<Matcher, Error> {
    let mut ahead = matcher.clone();
    ahead.consume_token(token).map_err(too_complex)?;
    Ok(ahead)
}

/// Whether the next member name can still differ from all names of its object. True if the search takes too long.
///
/// `seen` are the states of the search, the current one last.
fn can_differ(env: &TokEnv, mut matcher: Matcher, seen: &mut Vec<Names>) -> Result<bool, Error> {
    let mask = matcher.compute_mask_or_eos().map_err(too_complex)?;
    let Some(here) = seen.last().cloned().filter(|_| seen.len() < MAX_AHEAD) else {
        return Ok(true);
    };
    let (mut ways, mut space) = (Vec::<(u32, Names)>::new(), None);
    for token in mask.iter() {
        match after(env, &here, token) {
            Err(Repeated) => {}
            Ok(names) if !names.may_repeat() => return Ok(true),
            Ok(names) if names == here => space = space.or(Some((token, names))),
            // One path to each state is enough.
            Ok(names) if seen.contains(&names) || ways.iter().any(|(_, it)| *it == names) => {}
            Ok(names) => ways.push((token, names)),
        }
    }
    // White space makes no difference, unless the rule demands it.
    ways.extend(space.filter(|_| ways.is_empty()));
    for (token, names) in ways {
        seen.push(names);
        if can_differ(env, stepped(&matcher, token)?, seen)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The bytes of a token in the answer.
fn written(env: &TokEnv, token: u32) -> Vec<u8> {
    let bytes = env.tok_trie().token(token);
    // Control tokens have a marker byte that no text has.
    let mark = llguidance::toktrie::TokTrie::SPECIAL_TOKEN_MARKER;
    bytes.strip_prefix(&[mark]).unwrap_or(bytes).to_vec()
}

/// Tokens of a model are not negative.
fn id(token: i32) -> u32 {
    u32::try_from(token).expect("tokens are checked when they come in")
}

fn repeated() -> Error {
    Error::Invalid(
        "the answer cannot go on: its form demands a member with a name that the object has".into(),
    )
}

fn too_complex(why: impl std::fmt::Display) -> Error {
    Error::Invalid(format!(
        "the constraint cannot be followed any further: {}",
        compile::brief(&why.to_string())
    ))
}
