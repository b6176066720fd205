//! Nemotron-H with experts, and Nemotron-H Omni with its vision encoder. Its audio encoder is left out, as in Ollama.
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | added if absent | | `moe_latent_size`: the second dimension of the first `ffn_latent_in.weight`, if there is one |
//! | tensors | `.ffn_latent_in`, `.ffn_latent_out` | `.ffn_latent_down`, `.ffn_latent_up` |
//! | removed | tensors `mtp.*`, which draft tokens | |
//!
//! For Omni also:
//!
//! | | Ollama's layout | llama.cpp's layout |
//! |---|---|---|
//! | architecture | `nemotron_h_omni` | `nemotron_h_moe` with experts, else `nemotron_h`, also in every key |
//! | removed | tensors `a.*`, keys `audio.*` | |
//! | other file | tensors `v.*` and `mm.*` but `mm.a.*`, keys `vision.*` | a projector `nemotron_v2_vl` |
//! | names there | `v.cls_embd`, `mm.norm.weight`, `mm.1.weight`, `mm.2.weight` | `v.class_embd` in F32, `mm.model.mlp.0.weight`, `.1.weight`, `.3.weight` |
//! | reshaped there | `v.patch_embd.weight`: one row for each output; `v.position_embd`: a square of positions in one of several orders | four dimensions in F32; in F32, interpolated to the positions of an image |

use super::super::layout::{CLIP, Layout, VisionDefaults, small};
use super::super::source::{Source, Span, View, shape, within};
use super::super::tensors::Item;
use super::super::values;
use super::Error;
use crate::gguf::{Tensor, harmless};

const SIGHT: &[&str] = &["v.", "mm."];
const HIDDEN: &[&str] = &["a.", "v.", "mm.", "mtp."];
const PLACES: &str = "v.position_embd.weight";
/// Maximum number of positions in a row of an image.
const MOST_SIDE: u64 = 256;
/// Maximum number of values of position embeddings that are read whole.
const MOST_VALUES: u64 = 1 << 24;
/// Maximum number of values of one position.
const MOST_WIDTH: u64 = 16_384;

/// The hyperparameters of the vision encoder, with their defaults.
const NUMBERS: &[(&str, u32)] = &[
    ("block_count", 32),
    ("embedding_length", 1280),
    ("attention.head_count", 16),
    ("patch_size", 16),
    ("image_size", 512),
    ("num_channels", 3),
    ("projector.scale_factor", 2),
];

pub(super) fn is_moe(view: View<'_>) -> bool {
    const MARKS: &[&str] = &["blk.0.ffn_latent_in", "blk.1.ffn_latent_in", "mtp."];
    view.architecture() == "nemotron_h_moe" && view.begins(MARKS)
}

pub(super) fn is_omni(view: View<'_>) -> bool {
    view.architecture() == "nemotron_h_omni"
}

pub(super) fn moe(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, HIDDEN);
    latent(&mut layout)?;
    Ok(layout)
}

pub(super) fn omni(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::weights(source, HIDDEN);
    let experts = ["expert_count", "expert_used_count"].map(|key| source.key(key));
    let has = |key: &String| source.view.number(key).is_some_and(|count| count > 0);
    if experts.iter().any(has) {
        layout.become_architecture("nemotron_h_moe");
        latent(&mut layout)?;
    } else {
        layout.become_architecture("nemotron_h");
    }
    Ok(layout)
}

/// Translates the latent layers, in which experts are narrower than the model.
fn latent(layout: &mut Layout<'_>) -> Result<(), Error> {
    let source = layout.source;
    let first = source.view.0.tensors.iter().find(|tensor| {
        tensor.name.starts_with("blk.") && tensor.name.ends_with(".ffn_latent_in.weight")
    });
    if let Some(tensor) = first {
        let width = source.dim(&tensor.name, 1)?;
        layout.inject("moe_latent_size", small(width, "a width")?);
    }
    layout.tensors.replace(".ffn_latent_in", ".ffn_latent_down");
    layout.tensors.replace(".ffn_latent_out", ".ffn_latent_up");
    Ok(())
}

pub(super) fn projector(source: Source<'_>) -> Result<Layout<'_>, Error> {
    let mut layout = Layout::projector(source, SIGHT);
    layout
        .tensors
        .0
        .retain(|item| !item.name.starts_with("mm.a."));
    layout.inject("vision.projector_type", "nemotron_v2_vl");
    layout.inject("has_audio_encoder", false);
    layout.see_if_there(&["feed_forward_length", "attention.layer_norm_epsilon"]);
    layout.see_if_there(&[
        "image_token_id",
        "image_start_token_id",
        "image_end_token_id",
        "max_tiles",
        "min_num_patches",
        "max_num_patches",
    ]);
    for (key, value) in NUMBERS {
        layout.see_if_there(&[key]);
        layout.inject(&format!("vision.{key}"), *value);
    }
    let number = |key: &str, limit| -> Result<u64, Error> {
        let stated = source.key(&format!("vision.{key}"));
        if source.view.has(&stated) {
            return source.count(&stated, limit);
        }
        let default = NUMBERS.iter().find(|(known, _)| *known == key);
        Ok(default.map_or(0, |(_, value)| u64::from(*value)))
    };
    let (width, patch) = (
        number("embedding_length", MOST_WIDTH)?,
        number("patch_size", 8192)?,
    );
    let (image, colors) = (number("image_size", 8192)?, number("num_channels", 16)?);
    layout.inject("vision.feed_forward_length", small(4 * width, "a width")?);
    layout.inject("vision.attention.layer_norm_epsilon", 1e-6_f32);
    let eyes = VisionDefaults {
        projector: "nemotron_v2_vl",
        activation: Some("use_gelu"),
        colors: CLIP,
    };
    layout.see(eyes, &[])?;
    layout.keys.remove(|key| key == "clip.projector_type");
    for (from, to) in [
        ("v.cls_embd", "v.class_embd"),
        ("v.position_embd", PLACES),
        ("mm.norm.weight", "mm.model.mlp.0.weight"),
        ("mm.1.weight", "mm.model.mlp.1.weight"),
        ("mm.2.weight", "mm.model.mlp.3.weight"),
    ] {
        layout.tensors.rename(from, to);
    }
    layout.tensors.promote(&["v.class_embd"])?;
    let patches = layout.tensors.get("v.patch_embd.weight")?;
    if patches.dims == [patch * patch * colors, width] {
        patches.dims = vec![patch, patch, colors, width];
    }
    patches.promote()?;
    let side = image.checked_div(patch).unwrap_or(0);
    let table = ["v.position_embd", PLACES]
        .iter()
        .find_map(|name| source.view.find(name));
    if let (Some(table), 1..) = (table, side) {
        let places = stretched(source, table, width, within("places", side, MOST_SIDE)?)?;
        *layout.tensors.get(PLACES)? = Item::floats(PLACES, &[width, side * side], &places);
    }
    Ok(layout)
}

/// The position embeddings of the file.
struct Table<'a> {
    source: Source<'a>,
    tensor: &'a Tensor,
    read: values::Reader,
    width: usize,
    /// Positions on a side of the square.
    side: usize,
    /// All values, if those of one position are not contiguous.
    scattered: Option<Vec<f32>>,
}

impl<'a> Table<'a> {
    fn open(source: Source<'a>, tensor: &'a Tensor, width: u64) -> Result<Self, Error> {
        let square = |places: u64| places.isqrt() * places.isqrt() == places;
        let found = match tensor.dims[..] {
            [first, places] if first == width && square(places) => Some((true, places)),
            [places, second] if second == width && square(places) => Some((false, places)),
            // The dimensions are stated in reverse; the values of a position are contiguous.
            [1, places, third] if third == width && square(places) => Some((true, places)),
            [first, places, 1] if first == width && square(places) => Some((true, places)),
            _ => None,
        };
        let wrong = || {
            shape(
                tensor,
                &format!("{width} values for each place of a square"),
            )
        };
        let (together, places) = found.ok_or_else(wrong)?;
        let read = values::reader(tensor.kind).ok_or_else(|| Error::Type {
            tensor: harmless(tensor.name.as_bytes()),
            found: tensor.kind,
        })?;
        // A position that shares a block with another one cannot be read alone.
        if together && !width.is_multiple_of(tensor.kind.block_values()) {
            return Err(wrong());
        }
        let mut table = Self {
            source,
            tensor,
            read,
            width: width as usize,
            side: places.isqrt() as usize,
            scattered: None,
        };
        if !together {
            within(
                "the values of a table of places",
                tensor.elements(),
                MOST_VALUES,
            )?;
            table.scattered = Some(table.values(Span::of(tensor))?);
        }
        Ok(table)
    }

    fn values(&self, span: Span) -> Result<Vec<f32>, Error> {
        let mut values = Vec::new();
        let bytes = self.source.read(span)?;
        for block in bytes.chunks_exact(self.tensor.kind.block_bytes() as usize) {
            (self.read)(block, &mut values);
        }
        Ok(values)
    }

    fn place(&self, x: usize, y: usize) -> Result<Vec<f32>, Error> {
        let (place, places) = (y * self.side + x, self.side * self.side);
        if let Some(values) = &self.scattered {
            let stride = (0..self.width).map(|value| values[value * places + place]);
            return Ok(stride.collect());
        }
        let length = self.tensor.bytes / places as u64;
        self.values(Span::new(
            self.tensor.offset + place as u64 * length,
            length,
        ))
    }
}

/// Maps position `place` of `count` to `others` positions, first to first and last to last.
/// Returns the neighbours before and after it, and the share of the second one.
fn between(place: u64, count: u64, others: usize) -> (usize, usize, f32) {
    if count <= 1 {
        return (0, 0, 0.0);
    }
    let exact = place as f64 * (others - 1) as f64 / (count - 1) as f64;
    let before = exact.floor();
    let first = before as usize;
    (first, (first + 1).min(others - 1), (exact - before) as f32)
}

/// The position embeddings, interpolated to a square with this side.
fn stretched(
    source: Source<'_>,
    tensor: &Tensor,
    width: u64,
    side: u64,
) -> Result<Vec<f32>, Error> {
    let table = Table::open(source, tensor, width)?;
    within(
        "the values of a table of places",
        width * side * side,
        MOST_VALUES,
    )?;
    let mut places = Vec::new();
    for y in 0..side {
        let (above, below, down) = between(y, side, table.side);
        for x in 0..side {
            let (left, right, over) = between(x, side, table.side);
            let (upper, lower) = (
                mix(
                    &table.place(left, above)?,
                    &table.place(right, above)?,
                    over,
                ),
                mix(
                    &table.place(left, below)?,
                    &table.place(right, below)?,
                    over,
                ),
            );
            places.extend(mix(&upper, &lower, down));
        }
    }
    Ok(places)
}

fn mix(one: &[f32], other: &[f32], share: f32) -> Vec<f32> {
    let pairs = one.iter().zip(other);
    pairs
        .map(|(one, other)| one * (1.0 - share) + other * share)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn interpolation_keeps_the_first_and_the_last_position() {
        let places: Vec<_> = (0..3).map(|place| between(place, 3, 2)).collect();
        assert_eq!(places, [(0, 1, 0.0), (0, 1, 0.5), (1, 1, 0.0)]);
        assert_eq!(between(0, 1, 5), (0, 0, 0.0));
    }
}
