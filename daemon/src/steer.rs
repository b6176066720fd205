//! What a request asks of single tokens and of the model's adapters.

use std::collections::BTreeMap;

use api::AdapterScale;
use runner_protocol::{Bias, Generate, MAX_BIASES};

use crate::error::Error;

/// How an answer is led away from what the model alone would say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Steer {
    biases: Vec<Bias>,
    /// One for each adapter of the model; `None` takes the model's own.
    scales: Option<Vec<f32>>,
}

impl Steer {
    /// Reads the fields of a request to a model with so many adapters.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the token or the adapter. Whether the token exists and the number is in its range is for the
    /// runner to say.
    pub(crate) fn read(
        logit_bias: Option<&BTreeMap<String, f32>>,
        lora: Option<&[AdapterScale]>,
        adapters: usize,
    ) -> Result<Self, Error> {
        Ok(Self {
            biases: logit_bias.map(biases).transpose()?.unwrap_or_default(),
            scales: lora.map(|lora| scales(lora, adapters)).transpose()?,
        })
    }

    /// Puts it into the call.
    pub(crate) fn apply(&self, call: &mut Generate) {
        call.sampling.logit_bias.clone_from(&self.biases);
        call.adapter_scales.clone_from(&self.scales);
    }
}

fn biases(shifts: &BTreeMap<String, f32>) -> Result<Vec<Bias>, Error> {
    if shifts.len() > MAX_BIASES {
        return Err(Error::Invalid(format!(
            "logit_bias names {} tokens, but at most {MAX_BIASES} are allowed",
            shifts.len()
        )));
    }
    let bias = |(token, &shift): (&String, &f32)| match token.parse() {
        Ok(token) => Ok(Bias { token, shift }),
        Err(_) => Err(Error::Invalid(format!(
            "logit_bias names '{}', which is not the number of a token",
            token.chars().take(40).collect::<String>()
        ))),
    };
    shifts.iter().map(bias).collect()
}

/// Adapters that are not named are left out.
fn scales(lora: &[AdapterScale], adapters: usize) -> Result<Vec<f32>, Error> {
    let mut scales = vec![None; adapters];
    for AdapterScale { id, scale } in lora {
        let place = usize::try_from(*id).ok().and_then(|id| scales.get_mut(id));
        let place = place.ok_or_else(|| {
            Error::Invalid(format!(
                "lora names the adapter {id}, but the model has {adapters}, counted from 0"
            ))
        })?;
        if place.replace(*scale).is_some() {
            return Err(Error::Invalid(format!("lora names the adapter {id} twice")));
        }
    }
    Ok(scales.into_iter().map(Option::unwrap_or_default).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(scales: &[(u32, f32)]) -> Vec<AdapterScale> {
        let scale = |&(id, scale)| AdapterScale { id, scale };
        scales.iter().map(scale).collect()
    }

    fn refusal(read: Result<Steer, Error>) -> String {
        read.unwrap_err().to_string()
    }

    #[test]
    fn nothing_asked_is_the_models_own() {
        assert_eq!(Steer::read(None, None, 2).unwrap(), Steer::default());
    }

    #[test]
    fn adapters_that_are_not_named_are_left_out() {
        let read = |asked: &[(u32, f32)]| Steer::read(None, Some(&lora(asked)), 3).unwrap().scales;
        assert_eq!(read(&[(2, 0.5), (0, 1.0)]), Some(vec![1.0, 0.0, 0.5]));
        assert_eq!(read(&[]), Some(vec![0.0; 3]));
    }

    #[test]
    fn adapters_that_are_not_there_are_named() {
        let read = |asked: &[(u32, f32)]| Steer::read(None, Some(&lora(asked)), 1);
        assert!(refusal(read(&[(1, 1.0)])).contains("the adapter 1"));
        assert!(refusal(read(&[(0, 1.0), (0, 2.0)])).contains("twice"));
    }

    #[test]
    fn tokens_are_named_by_their_number() {
        let read = |token: &str| {
            let shifts = BTreeMap::from([(token.to_owned(), -1.5)]);
            Steer::read(Some(&shifts), None, 0)
        };
        let biases = read("17").unwrap().biases;
        assert_eq!(
            biases,
            [Bias {
                token: 17,
                shift: -1.5
            }]
        );
        for token in ["", "1.5", "the", "99999999999"] {
            assert!(refusal(read(token)).contains("not the number of a token"));
        }
        let many = (0..=MAX_BIASES).map(|token| (token.to_string(), 1.0));
        let many = many.collect();
        assert!(refusal(Steer::read(Some(&many), None, 0)).contains("at most"));
    }
}
