//! The LoRA adapters of a runner, and their scales for each request.

use llama_cpp_2::model::LlamaLoraAdapter;
use runner_protocol::AdapterScale;

use crate::error::Error;

/// Scales of all adapters of the runner, as bits. The KV cache depends on them, so cells are shared only between sequences with equal
/// scales.
pub(crate) type AdapterScales = Vec<u32>;

/// All adapters, and the scales that are set.
#[derive(Debug)]
pub(crate) struct Adapters {
    adapters: Vec<LlamaLoraAdapter>,
    names: AdapterNames,
    /// Scales of the context.
    set: AdapterScales,
}

/// The digests of the adapters, in the order of their scales. The order is of this runner only, so requests and saved states name an
/// adapter by its digest.
#[derive(Debug, Clone, Default)]
pub(crate) struct AdapterNames(Vec<String>);

impl Adapters {
    /// Adapters with their digests. A new context has none of them set.
    pub(crate) fn new(adapters: Vec<(String, LlamaLoraAdapter)>) -> Self {
        let (names, adapters): (Vec<_>, Vec<_>) = adapters.into_iter().unzip();
        Self {
            set: vec![0; names.len()],
            names: AdapterNames(names),
            adapters,
        }
    }

    /// Their digests.
    pub(crate) fn names(&self) -> &AdapterNames {
        &self.names
    }

    /// Sets the scales of a context with `set`, if they are not set already.
    ///
    /// # Errors
    /// [`Error::Internal`] with llama.cpp's code.
    pub(crate) fn set(
        &mut self,
        wanted: &AdapterScales,
        set: impl FnOnce(Vec<(&LlamaLoraAdapter, f32)>) -> Result<(), i32>,
    ) -> Result<(), Error> {
        if self.set == *wanted {
            return Ok(());
        }
        let scales = wanted.iter().map(|&bits| f32::from_bits(bits));
        let adapters = self.adapters.iter().zip(scales);
        set(adapters.filter(|(_, scale)| *scale != 0.0).collect())
            .map_err(|code| Error::Internal(format!("the adapters cannot be set: code {code}")))?;
        self.set.clone_from(wanted);
        Ok(())
    }
}

impl AdapterNames {
    /// The scales of a request; 0 for an adapter that it does not name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an adapter that is not loaded or named twice, and for a scale that is no finite number.
    pub(crate) fn wanted(&self, scales: &[AdapterScale]) -> Result<AdapterScales, Error> {
        let mut wanted = vec![None; self.0.len()];
        for AdapterScale { digest, scale } in scales {
            let place = self.place(digest).ok_or_else(|| {
                Error::Invalid(format!(
                    "the request names the adapter {digest}, which is not loaded"
                ))
            })?;
            if !scale.is_finite() {
                return Err(Error::Invalid(format!(
                    "the scale of an adapter is {scale}"
                )));
            }
            if wanted[place].replace(bits_of(*scale)).is_some() {
                return Err(Error::Invalid(format!(
                    "the request names the adapter {digest} twice"
                )));
            }
        }
        Ok(wanted.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// The adapters with a scale, for a saved state, in the order of their digests.
    pub(crate) fn named(&self, scales: &AdapterScales) -> Vec<(String, u32)> {
        let named = self.0.iter().cloned().zip(scales.iter().copied());
        let mut named: Vec<_> = named.filter(|(_, bits)| *bits != 0).collect();
        named.sort_unstable();
        named
    }

    /// The scales of a saved state; `None` when one of its adapters is not loaded.
    pub(crate) fn scales_of(&self, named: &[(String, u32)]) -> Option<AdapterScales> {
        let mut scales = vec![0; self.0.len()];
        for (digest, bits) in named {
            scales[self.place(digest)?] = *bits;
        }
        Some(scales)
    }

    fn place(&self, digest: &str) -> Option<usize> {
        self.0.iter().position(|name| name == digest)
    }
}

/// Equal numbers have equal bits, except for the two zeros.
fn bits_of(scale: f32) -> u32 {
    (scale + 0.0).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(digest: &str, scale: f32) -> AdapterScale {
        AdapterScale {
            digest: digest.to_owned(),
            scale,
        }
    }

    fn names(names: &[&str]) -> AdapterNames {
        AdapterNames(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn both_zeros_are_one() {
        assert_eq!(bits_of(0.0), bits_of(-0.0));
        assert_ne!(bits_of(0.0), bits_of(1.0));
    }

    #[test]
    fn an_adapter_that_is_not_named_is_off() {
        let names = names(&["a", "b"]);
        let one = bits_of(1.0);
        assert_eq!(names.wanted(&[scale("b", 1.0)]).unwrap(), [0, one]);
        assert_eq!(names.wanted(&[]).unwrap(), [0, 0]);
    }

    #[test]
    fn wrong_scales_are_refused() {
        let names = names(&["a", "b"]);
        for wrong in [
            vec![scale("c", 1.0)],
            vec![scale("a", f32::NAN)],
            vec![scale("a", 1.0), scale("a", 1.0)],
        ] {
            assert!(names.wanted(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_state_finds_its_adapters_in_another_order_and_beside_others() {
        let (one, two) = (bits_of(1.0), bits_of(2.0));
        let named = names(&["b", "a", "c"]).named(&vec![two, one, 0]);
        assert_eq!(named, [("a".to_owned(), one), ("b".to_owned(), two)]);
        let found = names(&["d", "a", "b"]).scales_of(&named);
        assert_eq!(found, Some(vec![0, one, two]));
        assert_eq!(names(&["a"]).scales_of(&named), None);
        assert_eq!(names(&["a"]).scales_of(&[]), Some(vec![0]));
    }
}
