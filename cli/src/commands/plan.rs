//! `slm plan`: the memory that a model takes and its speed, before it is loaded or fetched.

use api::{PlanChoice, PlanDevice, PlanRequest, PlanResponse, routes};

use crate::args::Plan;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Output, Table};
use crate::text;

/// Shows the prediction.
pub(crate) async fn run(context: Context, args: &Plan) -> anyhow::Result<Exit> {
    let request = PlanRequest {
        model: args.model.clone(),
        context: args.ctx,
        slots: args.slots,
        kv_type: args.kv.clone(),
        device: args.device.clone(),
        insecure: args.insecure,
    };
    let found: PlanResponse = context.client.post(routes::PLAN, &request).await?;
    let out = &context.out;
    if out.json() {
        out.json_document(&found)?;
    } else {
        out.print(&shown(out, &found))?;
    }
    Ok(Exit::Ok)
}

/// The table of what was asked for, and what would be chosen instead.
fn shown(out: &Output, found: &PlanResponse) -> String {
    let mut text = out.paragraph(&title(found), "  ") + "\n\n";
    text += &table(out, &found.asked, &found.devices);
    text.push('\n');
    let verdict = match (&found.chosen, found.fits) {
        (_, true) => format!("It fits{}.", speed(&found.asked)),
        (Some(chosen), false) => format!(
            "It does not fit; {} would be loaded{}:",
            settings(chosen),
            speed(chosen)
        ),
        (None, false) => "It does not fit, with no settings.".to_owned(),
    };
    text += &(out.paragraph(&verdict, "  ") + "\n");
    let reasons = found.chosen.iter().flat_map(|chosen| &chosen.reasons);
    for line in reasons.chain(&found.help) {
        text += &(out.paragraph(&format!("- {line}"), "  ") + "\n");
    }
    text
}

fn title(found: &PlanResponse) -> String {
    format!(
        "`{}` from {}, with {}",
        found.model,
        found.place,
        settings(&found.asked)
    )
}

fn settings(choice: &PlanChoice) -> String {
    let slots = match choice.slots {
        1 => "1 slot".to_owned(),
        slots => format!("{slots} slots"),
    };
    let layers = match choice.gpu_layers {
        0 => String::new(),
        layers => format!(", and {layers} layers on accelerators"),
    };
    format!(
        "a context of {} tokens, {slots}, a KV cache of type {}{layers}",
        choice.context, choice.kv_type
    )
}

/// The predicted speed, as the end of a sentence; empty where nothing is predicted.
fn speed(choice: &PlanChoice) -> String {
    match choice.tokens_per_second {
        Some(speed) => format!(", with about {} tokens/s", text::speed(speed)),
        None => String::new(),
    }
}

/// A line for each part, and a column for each device.
fn table(out: &Output, choice: &PlanChoice, devices: &[PlanDevice]) -> String {
    let names: Vec<&str> = devices
        .iter()
        .map(|device| device.device.as_str())
        .collect();
    let head: Vec<&str> = std::iter::once("PART")
        .chain(names.iter().copied())
        .collect();
    let mut table = Table::new(&head, &[]);
    let bytes = |part: Option<&str>, device: &str| {
        let parts = choice.parts.iter().filter(|found| found.device == device);
        let parts = parts.filter(|found| part.is_none_or(|part| found.part == part));
        parts.fold(0_u64, |sum, found| sum.saturating_add(found.bytes))
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in &choice.parts {
        if !parts.contains(&part.part.as_str()) {
            parts.push(&part.part);
        }
    }
    let mut row = |name: &str, of: &dyn Fn(&PlanDevice) -> u64| {
        let cells = devices
            .iter()
            .map(|device| text::bytes_or_none(of(device)).into());
        table.row(
            std::iter::once(name.to_owned().into())
                .chain(cells)
                .collect::<Vec<_>>(),
        );
    };
    for part in parts {
        row(part, &|device| bytes(Some(part), &device.device));
    }
    row("in all", &|device| bytes(None, &device.device));
    row("free now", &|device| device.free);
    table.render(out)
}

#[cfg(test)]
mod tests {
    use api::PlanPart;

    use super::*;
    use crate::output::OutputMode;

    fn choice(context: u32, cache: u64) -> PlanChoice {
        let part = |part: &str, bytes| PlanPart {
            part: part.to_owned(),
            device: "CPU".to_owned(),
            bytes,
        };
        PlanChoice {
            context,
            slots: 4,
            kv_type: "f16".to_owned(),
            gpu_layers: 0,
            total: 2_500_000_000 + cache,
            parts: vec![
                part("weights (mapped)", 2_500_000_000),
                part("KV cache", cache),
            ],
            tokens_per_second: None,
            reasons: Vec::new(),
        }
    }

    fn found() -> PlanResponse {
        PlanResponse {
            model: "phi4-mini".to_owned(),
            place: "the store".to_owned(),
            fits: false,
            asked: choice(32_768, 4_300_000_000),
            chosen: Some(PlanChoice {
                reasons: vec![
                    "a context of 4096 tokens instead of 32768, because 4.0 GB of main memory are free".to_owned(),
                ],
                ..choice(4096, 540_000_000)
            }),
            devices: vec![PlanDevice {
                device: "CPU".to_owned(),
                total: 8_000_000_000,
                free: 4_000_000_000,
            }],
            help: Vec::new(),
        }
    }

    #[test]
    fn what_a_plan_looks_like() {
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        let text = shown(&out, &found());
        assert!(
            text.starts_with("`phi4-mini` from the store, with a context of 32768 tokens"),
            "{text}"
        );
        assert!(text.contains("KV cache           4.3 GB"), "{text}");
        assert!(text.contains("in all             6.8 GB"), "{text}");
        assert!(
            text.contains("It does not fit; a context of 4096 tokens"),
            "{text}"
        );
    }

    #[test]
    fn a_plan_that_fits_says_so() {
        let out = Output::new(OutputMode::default(), &[("NO_COLOR", "1")]);
        let fits = PlanResponse {
            fits: true,
            chosen: None,
            ..found()
        };
        assert!(shown(&out, &fits).ends_with("It fits.\n"));
        for (speed, text) in [
            (23.46, "It fits, with about 23 tokens/s.\n"),
            (3.24, "It fits, with about 3.2 tokens/s.\n"),
        ] {
            let mut fits = fits.clone();
            fits.asked.tokens_per_second = Some(speed);
            let shown = shown(&out, &fits);
            assert!(shown.ends_with(text), "{shown}");
        }
    }
}
