//! `slm list --variants`: the variants of a model, and which of them this machine takes.

use api::{
    ModelSummary, ModelVariant, ShowRequest, ShowResponse, VariantsRequest, VariantsResponse,
    routes,
};

use crate::client::Error;
use crate::context::Context;
use crate::exit::Exit;
use crate::fetch::fetch_variant;
use crate::output::{Output, Shrink, Table};
use crate::text;

/// Shows the variants that the source of a model has.
pub(crate) async fn of(context: &Context, model: &str) -> anyhow::Result<Exit> {
    let found = ask(context, model).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&found)?;
        return Ok(Exit::Ok);
    }
    if found.variants.len() < 2 {
        let text = format!("`{model}` has one variant only; `slm pull {model}` fetches it");
        out.note(&text);
        return Ok(Exit::Ok);
    }
    out.print(&shown(out, &found))?;
    out.note(&format!(
        "`slm pull {model}` takes the marked one, `slm pull {model} --variant NAME` another"
    ));
    Ok(Exit::Ok)
}

async fn ask(context: &Context, model: &str) -> Result<VariantsResponse, Error> {
    let request = VariantsRequest {
        model: model.to_owned(),
        insecure: false,
    };
    context.client.post(routes::VARIANTS, &request).await
}

/// The columns that the table gives up on a narrow terminal, in order.
const SHRINK_ORDER: [Shrink; 3] = [
    Shrink::Drop("HERE"),
    Shrink::Drop("SPEED"),
    Shrink::Drop("MEMORY"),
];

fn shown(out: &Output, found: &VariantsResponse) -> String {
    let memory = found.memory.map(|bytes| {
        let bytes = text::bytes(bytes);
        format!("; models may take {bytes} of memory here")
    });
    let title = format!(
        "`{}` in {}{}",
        found.model,
        found.place,
        memory.unwrap_or_default()
    );
    let mut text = out.paragraph(&title, "  ") + "\n\n";
    let head = ["VARIANT", "SIZE", "MEMORY", "SPEED", "FITS", "HERE"];
    let mut table = Table::new(&head, &SHRINK_ORDER);
    for variant in &found.variants {
        table.row([
            name(variant).into(),
            variant.size.map_or_else(unknown, text::bytes).into(),
            variant.memory.map_or_else(unknown, text::bytes).into(),
            variant.tokens_per_second.map_or_else(unknown, speed).into(),
            variant.fits.map_or_else(unknown, yes_or_no).into(),
            yes_or_no(variant.here).into(),
        ]);
    }
    text += &table.render(out);
    let chosen = found.variants.iter().find(|variant| variant.chosen);
    if let (Some(chosen), Some(reason)) = (chosen, &found.reason) {
        let line = format!("{} is taken: {reason}", chosen.name);
        text += &format!("\n{}\n", out.paragraph(&line, "  "));
    }
    text
}

/// Its name, with a star if a pull takes it.
fn name(variant: &ModelVariant) -> String {
    match variant.chosen {
        true => format!("{} *", variant.name),
        false => variant.name.clone(),
    }
}

fn unknown() -> String {
    "-".to_owned()
}

fn yes_or_no(yes: bool) -> String {
    match yes {
        true => "yes".to_owned(),
        false => "no".to_owned(),
    }
}

fn speed(tokens: f64) -> String {
    format!("{} tok/s", text::speed(tokens))
}

/// Shows the variants of the models on disk.
pub(crate) fn of_stored(out: &Output, models: &[ModelSummary]) -> anyhow::Result<()> {
    let mut table = Table::new(
        &["NAME", "VARIANT", "FORMAT", "SIZE"],
        &[Shrink::Drop("SIZE")],
    );
    for model in models {
        let or_none = |text: &str| match text {
            "" => unknown(),
            text => text.to_owned(),
        };
        table.row([
            model.name.clone().into(),
            or_none(&model.details.quantization_level).into(),
            or_none(&model.details.format).into(),
            text::bytes(model.size).into(),
        ]);
    }
    out.print(&table.render(out))?;
    out.note("`slm list --variants NAME` shows all variants that the source of a model has");
    Ok(())
}

/// Sees to it that the model on disk has this variant.
pub(crate) async fn ensure(context: &Context, model: &str, variant: &str) -> anyhow::Result<()> {
    let request = ShowRequest {
        model: model.to_owned(),
        ..ShowRequest::default()
    };
    let shown = context.client.post::<ShowResponse>(routes::SHOW, &request);
    match shown.await {
        Ok(shown) if is(&shown.details.quantization_level, variant) => return Ok(()),
        // A name such as `small` tells no quantization.
        Ok(_) if is_here(context, model, variant).await => return Ok(()),
        Ok(_) => {}
        Err(error) if error.is_missing_model() => {}
        Err(error) => return Err(error.into()),
    }
    fetch_variant(&context.client, &context.out, model, variant).await
}

/// Whether the source of the model tells that its weights on disk are this variant.
async fn is_here(context: &Context, model: &str, variant: &str) -> bool {
    ask(context, model).await.is_ok_and(|found| {
        let mut variants = found.variants.iter();
        variants.any(|it| it.here && it.chosen && it.name.eq_ignore_ascii_case(variant))
    })
}

/// Whether the weights have the quantization that a variant names, as in `q8_0` and `0.6b-q8_0`.
fn is(quantization: &str, variant: &str) -> bool {
    let (quantization, variant) = (
        quantization.to_ascii_lowercase(),
        variant.to_ascii_lowercase(),
    );
    let before = variant.strip_suffix(&quantization);
    !quantization.is_empty() && before.is_some_and(|it| it.is_empty() || it.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::OutputMode;

    fn variant(name: &str, size: u64, speed: f64, fits: bool) -> ModelVariant {
        ModelVariant {
            name: name.to_owned(),
            quantization: name.to_owned(),
            format: "gguf".to_owned(),
            size: Some(size),
            memory: Some(size + 1_000_000_000),
            tokens_per_second: Some(speed),
            fits: Some(fits),
            ..ModelVariant::default()
        }
    }

    #[test]
    fn what_variants_look_like() {
        let mut variants = vec![
            variant("Q4_K_M", 4_900_000_000, 12.24, true),
            variant("Q6_K", 6_600_000_000, 9.12, true),
            variant("Q8_0", 8_500_000_000, 7.06, false),
        ];
        variants[1].chosen = true;
        variants[0].here = true;
        variants.push(ModelVariant {
            name: "BF16".to_owned(),
            ..ModelVariant::default()
        });
        let found = VariantsResponse {
            model: "hf.co/acme/notes:latest".to_owned(),
            place: "huggingface.co acme/notes".to_owned(),
            variants,
            reason: Some("Q8_0 needs 9.5 GB of the 8 GB that models may take here".to_owned()),
            memory: Some(8_000_000_000),
        };
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        insta::assert_snapshot!(shown(&out, &found), @r"
        `hf.co/acme/notes:latest` in huggingface.co acme/notes; models may take 8.0 GB of memory here

        VARIANT   SIZE     MEMORY   SPEED       FITS   HERE
        Q4_K_M    4.9 GB   5.9 GB   12 tok/s    yes    yes
        Q6_K *    6.6 GB   7.6 GB   9.1 tok/s   yes    no
        Q8_0      8.5 GB   9.5 GB   7.1 tok/s   no     no
        BF16      -        -        -           -      no

        Q6_K is taken: Q8_0 needs 9.5 GB of the 8 GB that models may take here
        ");
    }

    #[test]
    fn a_variant_is_known_by_its_quantization() {
        for (quantization, variant, same) in [
            ("Q8_0", "q8_0", true),
            ("Q8_0", "0.6b-Q8_0", true),
            ("Q8_0", "IQ8_0", false),
            ("Q4_K_M", "Q8_0", false),
            ("", "Q8_0", false),
        ] {
            assert_eq!(is(quantization, variant), same, "{quantization} {variant}");
        }
    }
}
