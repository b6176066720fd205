//! The scales of the adapters of a request.

use registry::Model;
use runner_protocol::AdapterScale;

use crate::error::Error;

/// The scales of the adapters of a model. A request can state scales by the indices of the adapters; otherwise each adapter has the scale 1.
/// Adapters of other models in the runner have the scale 0.
///
/// # Errors
/// When the request states an adapter that the model does not have, or states one twice.
pub(super) fn scales(
    model: &Model,
    stated: Option<&[(u32, f32)]>,
) -> Result<Vec<AdapterScale>, Error> {
    let count = model.adapters().count();
    let all = match stated {
        Some(stated) => all_scales(stated, count)?,
        None => vec![1.0; count],
    };
    let mut scales: Vec<AdapterScale> = Vec::new();
    for (layer, scale) in model.adapters().zip(all) {
        let digest = layer.digest.hex();
        // A manifest may name one adapter twice, which then has twice the effect.
        match scales.iter_mut().find(|known| known.digest == digest) {
            Some(known) => known.scale += scale,
            None => scales.push(AdapterScale { digest, scale }),
        }
    }
    Ok(scales)
}

/// The scales of all adapters of a model, in order; 0 for an adapter that the request does not name.
fn all_scales(scales: &[(u32, f32)], adapters: usize) -> Result<Vec<f32>, Error> {
    let mut all = vec![None; adapters];
    for (id, scale) in scales {
        let slot = usize::try_from(*id).ok().and_then(|id| all.get_mut(id));
        let slot = slot.ok_or_else(|| {
            Error::Invalid(format!(
                "lora names the adapter {id}, but the model has {adapters}, counted from 0"
            ))
        })?;
        if slot.replace(*scale).is_some() {
            return Err(Error::Invalid(format!("lora names the adapter {id} twice")));
        }
    }
    Ok(all.into_iter().map(Option::unwrap_or_default).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_without_a_scale_is_off() {
        assert_eq!(
            all_scales(&[(2, 0.5), (0, 1.0)], 3).unwrap(),
            [1.0, 0.0, 0.5]
        );
        assert_eq!(all_scales(&[], 3).unwrap(), [0.0; 3]);
    }

    #[test]
    fn an_unknown_adapter_and_a_second_scale_are_errors() {
        let refusal = |scales: &[(u32, f32)]| all_scales(scales, 1).unwrap_err().to_string();
        assert!(refusal(&[(1, 1.0)]).contains("the adapter 1"));
        assert!(refusal(&[(0, 1.0), (0, 2.0)]).contains("twice"));
    }
}
