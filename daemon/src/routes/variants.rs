//! `POST /slm/v1/variants`: the variants of a model, and which of them this machine takes.

use api::{ErrorBody, ModelVariant, VariantsRequest, VariantsResponse};
use axum::extract::State;
use registry::WeightFormat;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, SMALL, reference};

/// Lists the variants of a model where a pull would fetch it, with the memory and the speed that each would have here.
///
/// The header of one variant is fetched, if no variant is in the store. *Cancel*.
#[utoipa::path(
    post,
    path = api::routes::VARIANTS,
    request_body = VariantsRequest,
    responses(
        (status = 200, description = "The variants", body = VariantsResponse),
        (status = "4XX", description = "A field is wrong, or no source has this model", body = ErrorBody),
        (status = "5XX", description = "The source failed", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn post(
    State(app): State<App>,
    Json(request): Json<VariantsRequest, SMALL>,
) -> Result<axum::Json<VariantsResponse>, Error> {
    let reference = reference(&request.model)?;
    let survey = app.variants.survey(&reference, request.insecure).await?;
    let chosen = survey.choice.as_ref().map(|choice| choice.index);
    let variants = survey.found.all.iter().enumerate();
    let variants = variants.map(|(index, variant)| ModelVariant {
        name: variant.name.clone(),
        quantization: variant.quantization.clone(),
        format: match variant.format {
            WeightFormat::Gguf => "gguf".to_owned(),
            WeightFormat::Safetensors => "safetensors".to_owned(),
        },
        size: variant.size,
        digest: variant.digest.map(|digest| digest.to_string()),
        here: variant.here,
        usual: variant.is_usual,
        chosen: chosen == Some(index),
        fits: survey.fits(index),
        memory: survey.estimates[index].memory,
        tokens_per_second: survey.estimates[index].speed,
    });
    Ok(axum::Json(VariantsResponse {
        model: survey.found.name.to_string(),
        variants: variants.collect(),
        place: survey.found.place,
        reason: survey.choice.map(|choice| choice.reason),
        memory: survey.bounds.memory,
    }))
}
