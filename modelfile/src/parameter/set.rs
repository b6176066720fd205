//! A set of parameters: those of a model, of a request or of a conversation.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use super::error::Error;
use super::spec::{Kind, MAX_TEXTS, ParameterSpec, find};
use super::value::{Parameter, Value, look_up};

/// Parameters that were set, each at most once and each with a checked value.
///
/// A parameter that is not set reads as `None`; the table has the defaults, and the daemon applies
/// them. As JSON this is the object that Ollama stores as the params layer of a model and takes as
/// `options` of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    scalars: BTreeMap<&'static str, Value>,
    lists: BTreeMap<&'static str, Vec<String>>,
}

impl Parameters {
    /// Sets one parameter from text, as `PARAMETER` lines and `/set parameter` do.
    ///
    /// A list such as `stop` gains one more text; any other parameter gets a new value.
    ///
    /// # Errors
    ///
    /// The name is unknown or retired, the value has the wrong type or is out of range, or there
    /// are too many texts in the list. The set then stays unchanged.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let parameter = Parameter::parse(name, text)?;
        let texts = self.lists.get(parameter.name());
        if texts.is_some_and(|texts| texts.len() >= MAX_TEXTS) {
            return Err(Error::ManyTexts(parameter.name()));
        }
        self.put(parameter);
        Ok(())
    }

    /// Removes one parameter (a list as a whole), and returns whether it was set.
    pub fn unset(&mut self, name: &str) -> bool {
        self.scalars.remove(name).is_some() || self.lists.remove(name).is_some()
    }

    /// Reads a JSON object, and refuses it as a whole if a member is wrong.
    ///
    /// A member that is `null` counts as absent.
    ///
    /// # Errors
    ///
    /// The first member, in the order of the object, that is unknown, retired, of the wrong type
    /// or out of range. [`from_json_lenient`](Self::from_json_lenient) collects them instead.
    pub fn from_json(object: &Map<String, Json>) -> Result<Self, Error> {
        let (parameters, problems) = Self::from_json_lenient(object);
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(parameters),
        }
    }

    /// Reads a JSON object, takes every correct member, and reports every other one.
    ///
    /// [`Error::is_ignorable`] tells which of the problems deserve only a warning.
    pub fn from_json_lenient(object: &Map<String, Json>) -> (Self, Vec<Error>) {
        let mut parameters = Self::default();
        let mut problems = Vec::new();
        for (name, json) in object {
            if json.is_null() {
                continue;
            }
            match look_up(name).and_then(|spec| parameters.put_json(spec, json)) {
                Ok(()) => {}
                Err(problem) => problems.push(problem),
            }
        }
        (parameters, problems)
    }

    /// Sets one parameter; null leaves it as it is.
    ///
    /// # Errors
    /// When no parameter has this name, or the value has the wrong type or is out of range.
    pub fn set_json(&mut self, name: &str, json: &Json) -> Result<(), Error> {
        match json {
            Json::Null => Ok(()),
            _ => self.put_json(look_up(name)?, json),
        }
    }

    /// The JSON object, sorted by name.
    pub fn to_json(&self) -> Map<String, Json> {
        let scalars = self
            .scalars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value_to_json(value)));
        let lists = self
            .lists
            .iter()
            .map(|(name, texts)| ((*name).to_owned(), Json::from(texts.clone())));
        let mut members: Vec<_> = scalars.chain(lists).collect();
        members.sort_by(|(left, _), (right, _)| left.cmp(right));
        members.into_iter().collect()
    }

    /// These parameters, with those of `base` where these are not set.
    ///
    /// `request.merged_over(&model)` gives the request priority over the model. A list replaces
    /// the base's list as a whole; an empty list removes it.
    #[must_use]
    pub fn merged_over(&self, base: &Self) -> Self {
        let mut merged = base.clone();
        merged.scalars.extend(
            self.scalars
                .iter()
                .map(|(name, value)| (*name, value.clone())),
        );
        let lists = self.lists.iter();
        merged
            .lists
            .extend(lists.map(|(name, texts)| (*name, texts.clone())));
        merged
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.scalars.is_empty() && self.lists.is_empty()
    }

    /// The parameters sorted by name, one item for each text of a list, as equivalent `PARAMETER`
    /// lines.
    pub fn iter(&self) -> impl Iterator<Item = Parameter> {
        let mut lines: Vec<_> = self
            .scalars
            .iter()
            .map(|(name, value)| (*name, value.clone()))
            .chain(self.lists.iter().flat_map(|(name, texts)| {
                texts.iter().map(|text| (*name, Value::Text(text.clone())))
            }))
            .collect();
        // A stable sort, so that the texts of a list keep their order.
        lines.sort_by_key(|(name, _)| *name);
        lines.into_iter().map(|(name, value)| {
            let spec = find(name).expect("only names of the table get into a set");
            Parameter::known(spec, value)
        })
    }

    fn put(&mut self, parameter: Parameter) {
        let name = parameter.name();
        match parameter.into_value() {
            Value::Text(text) => self.lists.entry(name).or_default().push(text),
            value => {
                self.scalars.insert(name, value);
            }
        }
    }

    fn put_json(&mut self, spec: &'static ParameterSpec, json: &Json) -> Result<(), Error> {
        if spec.kind != Kind::TextList {
            self.put(Parameter::from_json(spec, json)?);
            return Ok(());
        }
        let Some(elements) = json.as_array() else {
            let found = crate::diagnostic::displayable(&json.to_string(), 40);
            return Err(Error::Invalid { spec, found });
        };
        if elements.len() > MAX_TEXTS {
            return Err(Error::ManyTexts(spec.name));
        }
        let lines = elements
            .iter()
            .map(|element| Parameter::from_json(spec, element));
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        self.lists.insert(spec.name, Vec::new());
        lines.into_iter().for_each(|line| self.put(line));
        Ok(())
    }
}

/// Defines a getter for each parameter that is a number.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $kind:ident -> $number:ty;)*) => {
        $($(#[$doc])* pub fn $name(&self) -> Option<$number> {
            self.$kind(stringify!($name))
        })*
    };
}

/// The value of each parameter, in the unit of its description; `None` if it is not set.
impl Parameters {
    getters! {
        /// Target probability of adaptive-p sampling.
        adaptive_target: float -> f64;
        /// Weight of earlier draws in adaptive-p sampling.
        adaptive_decay: float -> f64;
        /// Maximum number of tokens of a draft.
        draft_num_predict: unsigned -> u32;
        /// Longest repeated sequence of tokens without a DRY penalty.
        dry_allowed_length: unsigned -> u32;
        /// Factor by which the DRY penalty grows with each token.
        dry_base: float -> f64;
        /// DRY penalty of the shortest penalized repetition; 0 is off.
        dry_multiplier: float -> f64;
        /// Number of last tokens that DRY searches; −1 the whole context.
        dry_penalty_last_n: signed -> i32;
        /// Exponent of the map from entropy to temperature.
        dynatemp_exponent: float -> f64;
        /// Range of the dynamic temperature around its value.
        dynatemp_range: float -> f64;
        /// Penalty for each earlier use of a token.
        frequency_penalty: float -> f64;
        /// The GPU of a model that is not split over several.
        main_gpu: unsigned -> u32;
        /// Minimum probability, relative to the most likely token.
        min_p: float -> f64;
        /// Version of Mirostat, 1 or 2; 0 is off.
        mirostat: unsigned -> u32;
        /// Learning rate of Mirostat.
        mirostat_eta: float -> f64;
        /// Target surprise of Mirostat, in bits.
        mirostat_tau: float -> f64;
        /// Maximum number of tokens in a batch.
        num_batch: unsigned -> u32;
        /// Length of the context in tokens.
        num_ctx: unsigned -> u32;
        /// Layers on a GPU; −1 as many as fit.
        num_gpu: signed -> i32;
        /// Tokens that truncation keeps at the start; −1 the whole prompt.
        num_keep: signed -> i32;
        /// Maximum number of tokens to generate; −1 no limit, −2 until the context is full.
        num_predict: signed -> i32;
        /// CPU threads; 0 lets the engine choose.
        num_thread: unsigned -> u32;
        /// Penalty of every token that was used before.
        presence_penalty: float -> f64;
        /// Number of last tokens that the penalties consider; −1 the whole context.
        repeat_last_n: signed -> i32;
        /// Divisor of the logits of repeated tokens.
        repeat_penalty: float -> f64;
        /// Seed of the sampler; −1 takes a random one. Engines have seeds from 0 to 2^32 − 1, and take the lower 32 bits of
        /// others.
        seed: int -> i64;
        /// Temperature of the sampler.
        temperature: float -> f64;
        /// Cumulative probability up to which the most likely tokens are kept.
        top_p: float -> f64;
        /// Cumulative probability up to which the locally typical tokens are kept.
        typical_p: float -> f64;
        /// Probability that XTC removes the most likely tokens.
        xtc_probability: float -> f64;
        /// Probability above which XTC may remove a token.
        xtc_threshold: float -> f64;
    }

    /// Texts that DRY repetitions do not cross. `Some` of an empty list is none.
    pub fn dry_sequence_breakers(&self) -> Option<&[String]> {
        self.lists.get("dry_sequence_breakers").map(Vec::as_slice)
    }

    /// Stop texts. `Some` of an empty list removes those of the base.
    pub fn stop(&self) -> Option<&[String]> {
        self.lists.get("stop").map(Vec::as_slice)
    }

    /// Number of most likely tokens to keep; 0 keeps all, and −1 reads as 0.
    pub fn top_k(&self) -> Option<u32> {
        self.int("top_k").map(|number| narrow(number.max(0)))
    }

    /// Standard deviations below the highest logit within which tokens are kept; 0 keeps all, and −1
    /// reads as 0.
    pub fn top_n_sigma(&self) -> Option<f64> {
        self.float("top_n_sigma").map(|number| number.max(0.0))
    }

    /// Whether the weights file is memory-mapped.
    pub fn use_mmap(&self) -> Option<bool> {
        match self.scalars.get("use_mmap") {
            Some(Value::Bool(truth)) => Some(*truth),
            _ => None,
        }
    }

    fn int(&self, name: &str) -> Option<i64> {
        match self.scalars.get(name) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    fn signed(&self, name: &str) -> Option<i32> {
        self.int(name).map(narrow)
    }

    fn unsigned(&self, name: &str) -> Option<u32> {
        self.int(name).map(narrow)
    }

    fn float(&self, name: &str) -> Option<f64> {
        match self.scalars.get(name) {
            Some(Value::Float(number)) => Some(*number),
            _ => None,
        }
    }
}

/// The number in the type of its getter; the range in the table fits that type.
fn narrow<T: TryFrom<i64, Error: Debug>>(number: i64) -> T {
    T::try_from(number).expect("the range in the table fits the type of the getter")
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Bool(truth) => Json::from(*truth),
        Value::Text(text) => Json::from(text.as_str()),
    }
}

impl FromIterator<Parameter> for Parameters {
    fn from_iter<I: IntoIterator<Item = Parameter>>(lines: I) -> Self {
        let mut parameters = Self::default();
        lines.into_iter().for_each(|line| parameters.put(line));
        parameters
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Map::deserialize(deserializer)?;
        Self::from_json(&object).map_err(serde::de::Error::custom)
    }
}
