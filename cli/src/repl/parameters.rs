//! The output of `/set parameter`: names, meanings and current values of parameters.

use std::collections::BTreeMap;

use modelfile::Parameters;
use modelfile::parameter::{self, ParameterSpec, specs};
use serde_json::Value;

use crate::output::{Cell, Output, Shrink, Table, section};

/// The longest value in a narrow table, in characters: with it, a table of defaults fits 80 columns.
const LONGEST: usize = 26;

/// The columns that the table gives up on a narrow terminal, in order.
const SHRINK_ORDER: [Shrink; 2] = [Shrink::Shorten("NOW"), Shrink::Drop("DEFAULT")];

/// The current values: those of the conversation override those of the model.
#[derive(Debug)]
pub(super) struct Values<'a> {
    here: &'a Parameters,
    /// The model's parameters, as `show` lists them.
    model: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Values<'a> {
    /// `model` has a name and a value in each line.
    pub(super) fn new(here: &'a Parameters, model: &'a str) -> Self {
        let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let lines = model.lines().map(str::trim);
        for (name, value) in lines.filter_map(|line| line.split_once(char::is_whitespace)) {
            values.entry(name).or_default().push(value.trim());
        }
        Self {
            here,
            model: values,
        }
    }

    /// A value and its origin; `None` for the default.
    fn of(&self, name: &str) -> Option<(String, &'static str)> {
        if let Some(value) = self.here.to_json().get(name) {
            return Some((in_words(value), "set here"));
        }
        let texts = self.model.get(name)?;
        Some((texts.join(", "), "of the model"))
    }

    /// Every parameter with its value and its default.
    pub(super) fn table(&self, out: &Output) -> String {
        let mut table = Table::new(&["PARAMETER", "NOW", "DEFAULT"], &SHRINK_ORDER);
        for spec in specs() {
            let now = self.of(spec.name).map_or_else(
                || default(spec),
                |(value, _)| Cell::or_short(value.clone(), shortened(&value)),
            );
            table.row([spec.name.to_owned().into(), now, default(spec)]);
        }
        table.render(out)
    }

    /// Explains one parameter.
    ///
    /// # Errors
    /// The parameter is unknown or retired.
    pub(super) fn explain(&self, out: &Output, name: &str) -> Result<String, parameter::Error> {
        let Some(spec) = parameter::find(name) else {
            Parameters::default().set(name, "")?;
            return Ok(String::new());
        };
        let now = match self.of(name) {
            Some((value, from)) => format!("{value} ({from})"),
            None => "the default".to_owned(),
        };
        let rows = [
            ("meaning", spec.description.to_owned()),
            ("values", spec.kind.to_string()),
            ("default", spec.default.to_string()),
            ("now", now),
        ];
        Ok(section(
            out,
            name,
            &rows.map(|(name, value)| (name.to_owned(), value)),
        ))
    }
}

fn default(spec: &ParameterSpec) -> Cell {
    spec.default.to_string().into()
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Array(texts) => {
            let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
            texts.join(", ")
        }
        value => value.to_string(),
    }
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputMode;

    fn here() -> Parameters {
        let mut here = Parameters::default();
        here.set("seed", "7").unwrap();
        here.set("stop", "STOP").unwrap();
        here.set("stop", "END").unwrap();
        here
    }

    const MODEL: &str = "seed                1\ntemperature    0.2\nstop    \"<|im_end|>\"";

    #[test]
    fn the_table_has_every_parameter_with_its_current_value() {
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        let here = here();
        let table = Values::new(&here, MODEL).table(&out);
        assert_eq!(table.lines().count(), specs().len() + 1);
        let rows: Vec<&str> = table
            .lines()
            .filter(|row| ["seed", "stop", "temp", "use_"].contains(&&row[..4]))
            .collect();
        insta::assert_snapshot!(rows.join("\n"), @r#"
        seed                    7                             -1
        stop                    "STOP", "END"                 none
        temperature             0.2                           0.8
        use_mmap                true                          true
        "#);
    }

    #[test]
    fn one_parameter_is_explained() {
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        let here = here();
        let values = Values::new(&here, MODEL);
        insta::assert_snapshot!(values.explain(&out, "temperature").unwrap(), @r"
        temperature
          meaning   Temperature of the sampler; 0 always takes the most likely token.
          values    a number from 0 to 100
          default   0.8
          now       0.2 (of the model)
        ");
        let now = |name| {
            let text = values.explain(&out, name).unwrap();
            text.lines().last().unwrap().trim().to_owned()
        };
        assert_eq!(now("seed"), "now       7 (set here)");
        assert_eq!(now("top_k"), "now       the default");
        assert!(values.explain(&out, "temprature").is_err());
        assert!(values.explain(&out, "use_mlock").is_err());
    }
}
