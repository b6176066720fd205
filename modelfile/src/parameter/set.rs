//! A set of parameters: what a model, a request or a person asks for.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use super::error::Error;
use super::spec::{Kind, ParameterSpec, find};
use super::value::{Parameter, Value, look_up};

/// Most texts of one list.
pub const MAX_TEXTS: usize = 64;

/// Parameters that were set, each at most once and each with a checked value.
///
/// A parameter that nobody set reads as `None`; defaults are in the table, and it is for the one
/// who runs the model to apply them. As JSON this is the object that Ollama stores as the params
/// layer of a model and takes as `options` of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    scalars: BTreeMap<&'static str, Value>,
    lists: BTreeMap<&'static str, Vec<String>>,
}

impl Parameters {
    /// Sets one parameter from text: the rule of `PARAMETER` lines and of `/set parameter`.
    ///
    /// A list such as `stop` gains one more text; any other parameter gets a new value.
    ///
    /// # Errors
    ///
    /// The name is unknown or retired, the value has the wrong type or is out of range, or there
    /// are too many texts in the list. The set is then as it was before.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let parameter = Parameter::parse(name, text)?;
        let texts = self.lists.get(parameter.name());
        if texts.is_some_and(|texts| texts.len() >= MAX_TEXTS) {
            return Err(Error::ManyTexts(parameter.name()));
        }
        self.put(parameter);
        Ok(())
    }

    /// Forgets one parameter, of a list the whole of it, and says whether it was set.
    pub fn unset(&mut self, name: &str) -> bool {
        self.scalars.remove(name).is_some() || self.lists.remove(name).is_some()
    }

    /// Reads a JSON object and refuses it if anything in it is wrong.
    ///
    /// A member that is `null` counts as not there.
    ///
    /// # Errors
    ///
    /// The first member, in the order of the object, that is unknown, retired, of the wrong type
    /// or out of range. A caller that would rather warn uses [`from_json_lenient`](Self::from_json_lenient).
    pub fn from_json(object: &Map<String, Json>) -> Result<Self, Error> {
        let (parameters, problems) = Self::from_json_lenient(object);
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(parameters),
        }
    }

    /// Reads a JSON object, takes every member that is right, and reports every other one.
    ///
    /// The caller decides what each problem means; [`Error::is_ignorable`] helps.
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

    /// These parameters, and those of `base` where these say nothing.
    ///
    /// Request over model over default is `request.merged_over(&model)`. A list replaces
    /// the other one whole; an empty one takes it away.
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

    /// The parameters one by one, sorted by name, one for each text of a list: the `PARAMETER`
    /// lines that say the same.
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

/// What each parameter is set to, in the units of its description; `None` where nobody set it.
impl Parameters {
    /// Probability around which tokens are drawn.
    pub fn adaptive_target(&self) -> Option<f64> {
        self.float("adaptive_target")
    }

    /// Weight of earlier draws.
    pub fn adaptive_decay(&self) -> Option<f64> {
        self.float("adaptive_decay")
    }

    /// Most tokens that are drafted at a time.
    pub fn draft_num_predict(&self) -> Option<u32> {
        self.unsigned("draft_num_predict")
    }

    /// Tokens that a repeated run may have.
    pub fn dry_allowed_length(&self) -> Option<u32> {
        self.unsigned("dry_allowed_length")
    }

    /// Growth of the penalty of a repeated run with each token.
    pub fn dry_base(&self) -> Option<f64> {
        self.float("dry_base")
    }

    /// Penalty of the shortest run that is not allowed; 0 is off.
    pub fn dry_multiplier(&self) -> Option<f64> {
        self.float("dry_multiplier")
    }

    /// Tokens in which repeated runs are looked for; −1 the whole context.
    pub fn dry_penalty_last_n(&self) -> Option<i32> {
        self.signed("dry_penalty_last_n")
    }

    /// Texts at which a run begins anew. `Some` of nothing is none.
    pub fn dry_sequence_breakers(&self) -> Option<&[String]> {
        self.lists.get("dry_sequence_breakers").map(Vec::as_slice)
    }

    /// How the openness of a choice maps to its temperature.
    pub fn dynatemp_exponent(&self) -> Option<f64> {
        self.float("dynatemp_exponent")
    }

    /// How far the temperature moves around its value.
    pub fn dynatemp_range(&self) -> Option<f64> {
        self.float("dynatemp_range")
    }

    /// Penalty for each earlier use of a token.
    pub fn frequency_penalty(&self) -> Option<f64> {
        self.float("frequency_penalty")
    }

    /// The GPU that holds a model which is not split.
    pub fn main_gpu(&self) -> Option<u32> {
        self.unsigned("main_gpu")
    }

    /// Least share of the likeliest token's probability.
    pub fn min_p(&self) -> Option<f64> {
        self.float("min_p")
    }

    /// Version of Mirostat, 1 or 2; 0 is off.
    pub fn mirostat(&self) -> Option<u32> {
        self.unsigned("mirostat")
    }

    /// How fast Mirostat corrects.
    pub fn mirostat_eta(&self) -> Option<f64> {
        self.float("mirostat_eta")
    }

    /// The surprise that Mirostat keeps, in bits.
    pub fn mirostat_tau(&self) -> Option<f64> {
        self.float("mirostat_tau")
    }

    /// Most tokens computed in one step.
    pub fn num_batch(&self) -> Option<u32> {
        self.unsigned("num_batch")
    }

    /// Length of the context in tokens.
    pub fn num_ctx(&self) -> Option<u32> {
        self.unsigned("num_ctx")
    }

    /// Layers on a GPU; −1 as many as fit.
    pub fn num_gpu(&self) -> Option<i32> {
        self.signed("num_gpu")
    }

    /// Tokens that truncation keeps at the start; −1 the whole prompt.
    pub fn num_keep(&self) -> Option<i32> {
        self.signed("num_keep")
    }

    /// Most tokens to answer with; −1 no limit of its own, −2 until the context is full.
    pub fn num_predict(&self) -> Option<i32> {
        self.signed("num_predict")
    }

    /// CPU threads; 0 lets the engine choose.
    pub fn num_thread(&self) -> Option<u32> {
        self.unsigned("num_thread")
    }

    /// Penalty for a token that was used at all.
    pub fn presence_penalty(&self) -> Option<f64> {
        self.float("presence_penalty")
    }

    /// Tokens that the penalties look back on; −1 the whole context.
    pub fn repeat_last_n(&self) -> Option<i32> {
        self.signed("repeat_last_n")
    }

    /// Divisor for the score of repeated tokens.
    pub fn repeat_penalty(&self) -> Option<f64> {
        self.float("repeat_penalty")
    }

    /// Start of the random numbers; −1 takes one at random. Engines count from 0 to 2^32 − 1, and of larger and negative ones
    /// take the lower 32 bits.
    pub fn seed(&self) -> Option<i64> {
        self.int("seed")
    }

    /// Texts that end the answer. `Some` of nothing takes away the texts of a base.
    pub fn stop(&self) -> Option<&[String]> {
        self.lists.get("stop").map(Vec::as_slice)
    }

    /// Spread of the choice.
    pub fn temperature(&self) -> Option<f64> {
        self.float("temperature")
    }

    /// How many of the likeliest tokens are kept; 0 all, which is also how −1 reads.
    pub fn top_k(&self) -> Option<u32> {
        self.int("top_k").map(|number| narrow(number.max(0)))
    }

    /// Standard deviations below the likeliest token up to which tokens are kept; 0 all, which is
    /// also how −1 reads.
    pub fn top_n_sigma(&self) -> Option<f64> {
        self.float("top_n_sigma").map(|number| number.max(0.0))
    }

    /// Share of probability up to which the likeliest tokens are kept.
    pub fn top_p(&self) -> Option<f64> {
        self.float("top_p")
    }

    /// Share of probability up to which typical tokens are kept.
    pub fn typical_p(&self) -> Option<f64> {
        self.float("typical_p")
    }

    /// Whether the weights file is mapped instead of read.
    pub fn use_mmap(&self) -> Option<bool> {
        match self.scalars.get("use_mmap") {
            Some(Value::Bool(truth)) => Some(*truth),
            _ => None,
        }
    }

    /// Chance that the likeliest tokens are left out.
    pub fn xtc_probability(&self) -> Option<f64> {
        self.float("xtc_probability")
    }

    /// Probability from which on a token may be left out by chance.
    pub fn xtc_threshold(&self) -> Option<f64> {
        self.float("xtc_threshold")
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

/// The number in the type of its getter, which the range in the table fits into.
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
