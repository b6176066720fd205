//! The LoRA adapters of a model, and their scales for each request.

use llama_cpp_2::model::LlamaLoraAdapter;

use crate::{error::Error, ffi::context::Context};

/// Scales of the adapters, as bits. The KV cache depends on them, so cells are shared only between sequences with equal scales.
pub(crate) type AdapterScales = Vec<u32>;

/// All adapters, and the scales that are set.
#[derive(Debug)]
pub(crate) struct Adapters {
    adapters: Vec<LlamaLoraAdapter>,
    /// Scales of a request that has none.
    usual: AdapterScales,
    /// Scales of the context.
    set: AdapterScales,
}

impl Adapters {
    /// Adapters with their default scales. A new context has none of them set.
    pub(crate) fn new(adapters: Vec<(LlamaLoraAdapter, f32)>) -> Self {
        let (adapters, scales): (Vec<_>, Vec<f32>) = adapters.into_iter().unzip();
        Self {
            set: bits_of(&vec![0.0; scales.len()]),
            usual: bits_of(&scales),
            adapters,
        }
    }

    /// The scales of a request.
    ///
    /// # Errors
    /// [`Error::Invalid`] for scales that are not one finite number for each adapter.
    pub(crate) fn wanted(&self, scales: Option<&[f32]>) -> Result<AdapterScales, Error> {
        let Some(scales) = scales else {
            return Ok(self.usual.clone());
        };
        if scales.len() != self.adapters.len() {
            return Err(Error::Invalid(format!(
                "the request has scales for {} adapters, and the model has {}",
                scales.len(),
                self.adapters.len()
            )));
        }
        if let Some(scale) = scales.iter().find(|scale| !scale.is_finite()) {
            return Err(Error::Invalid(format!(
                "the scale of an adapter is {scale}"
            )));
        }
        Ok(bits_of(scales))
    }

    /// Sets the scales of the context, if they are not set already.
    ///
    /// # Errors
    /// [`Error::Internal`] with llama.cpp's code.
    pub(crate) fn set(
        &mut self,
        context: &mut Context<'_>,
        wanted: &AdapterScales,
    ) -> Result<(), Error> {
        if self.set == *wanted {
            return Ok(());
        }
        let scales = wanted.iter().map(|&bits| f32::from_bits(bits));
        let adapters = self.adapters.iter().zip(scales);
        context
            .set_adapters(adapters.filter(|(_, scale)| *scale != 0.0))
            .map_err(|code| Error::Internal(format!("the adapters cannot be set: code {code}")))?;
        self.set.clone_from(wanted);
        Ok(())
    }
}

/// Equal numbers have equal bits, except for the two zeros.
fn bits_of(scales: &[f32]) -> AdapterScales {
    scales.iter().map(|scale| (scale + 0.0).to_bits()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_zeros_are_one() {
        assert_eq!(bits_of(&[0.0, 1.0]), bits_of(&[-0.0, 1.0]));
        assert_ne!(bits_of(&[0.0]), bits_of(&[1.0]));
    }

    #[test]
    fn scales_for_adapters_that_are_not_there_are_refused() {
        let adapters = Adapters::new(Vec::new());
        assert!(adapters.wanted(Some(&[1.0])).is_err());
        assert_eq!(adapters.wanted(Some(&[])).unwrap(), AdapterScales::new());
        assert_eq!(adapters.wanted(None).unwrap(), AdapterScales::new());
    }
}
