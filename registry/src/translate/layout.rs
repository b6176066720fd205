//! A file in the making: keys and tensors of the source, on their way to llama.cpp's layout.

use super::Error;
use super::keys::{Keys, Stored};
use super::plan::Plan;
use super::source::{Source, missing_key, within, wrong_key};
use super::tensors::Tensors;

/// Most layers, `LLAMA_MAX_LAYERS`.
pub(super) const MOST_BLOCKS: u64 = 512;
/// Most layers of a part that sees. Real ones have up to some 50; their tensors may be put together of many pieces each.
const MOST_EYE_BLOCKS: u64 = 128;

/// `IMAGENET`-like means and deviations of pictures, three of each.
pub(super) type Colors = ([f32; 3], [f32; 3]);

/// Halves: pixels become -1 to 1.
pub(super) const HALVES: Colors = ([0.5; 3], [0.5; 3]);
/// Pixels stay 0 to 1.
pub(super) const PLAIN: Colors = ([0.0; 3], [1.0; 3]);
/// What CLIP was trained with. Mistral writes the last digits otherwise, which are the same floats.
pub(super) const CLIP: Colors = (
    [0.481_454_66, 0.457_827_5, 0.408_210_73],
    [0.268_629_54, 0.261_302_6, 0.275_777_1],
);

/// The hyperparameters that every vision part has.
pub(super) const STANDARD: &[&str] = &[
    "block_count",
    "embedding_length",
    "attention.head_count",
    "patch_size",
];

/// Metadata that every projector gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct VisionDefaults {
    /// The projector's name in `tools/mtmd/clip-impl.h`.
    pub(super) projector: &'static str,
    /// `use_gelu` or `use_silu`, where one is stated.
    pub(super) activation: Option<&'static str>,
    /// Where the file states none.
    pub(super) colors: Colors,
}

/// A file in the making.
pub(super) struct Layout<'a> {
    pub(super) source: Source<'a>,
    pub(super) keys: Keys,
    pub(super) tensors: Tensors,
    architecture: String,
}

impl<'a> Layout<'a> {
    /// The weights: all but the tensors whose names begin so, and what is said about them.
    pub(super) fn weights(source: Source<'a>, hidden: &[&str]) -> Self {
        let prefix = |part: &str| source.key(part);
        let aside = ["vision.", "audio.", "mm."].map(prefix);
        let keep = |key: &str| !aside.iter().any(|prefix| key.starts_with(prefix));
        let shown = |name: &str| !hidden.iter().any(|prefix| name.starts_with(prefix));
        Self {
            keys: Keys::of(&source, keep),
            tensors: Tensors::of(&source, shown),
            architecture: source.view.architecture().to_owned(),
            source,
        }
    }

    /// The projector: only the tensors whose names begin so, and the keys that say what a file is.
    pub(super) fn projector(source: Source<'a>, shown: &[&str]) -> Self {
        let keep = |name: &str| shown.iter().any(|prefix| name.starts_with(prefix));
        let mut keys = Keys::of(&source, |key| key.starts_with("general."));
        keys.set("general.architecture", "clip");
        keys.set("general.type", "mmproj");
        Self {
            keys,
            tensors: Tensors::of(&source, keep),
            architecture: "clip".to_owned(),
            source,
        }
    }

    /// Everything.
    pub(super) fn whole(source: Source<'a>) -> Self {
        Self {
            keys: Keys::of(&source, |_| true),
            tensors: Tensors::of(&source, |_| true),
            architecture: source.view.architecture().to_owned(),
            source,
        }
    }

    /// Gives the architecture another name, also in its keys.
    pub(super) fn become_architecture(&mut self, name: &str) {
        let (old, new) = (format!("{}.", self.architecture), format!("{name}."));
        self.keys.set("general.architecture", name);
        self.keys.rename_prefix(&old, &new);
        name.clone_into(&mut self.architecture);
    }

    /// A key of the architecture that the new file has.
    pub(super) fn key(&self, rest: &str) -> String {
        format!("{}.{rest}", self.architecture)
    }

    /// Sets a key of the architecture.
    pub(super) fn set(&mut self, rest: &str, value: impl Into<Stored>) {
        let key = self.key(rest);
        self.keys.set(&key, value);
    }

    /// Writes a key of the architecture that is not there.
    pub(super) fn inject(&mut self, rest: &str, value: impl Into<Stored>) {
        let key = self.key(rest);
        self.keys.inject(&key, value);
    }

    /// Removes a key of the architecture.
    pub(super) fn remove(&mut self, rest: &str) {
        let key = self.key(rest);
        self.keys.remove(|known| known == key);
    }

    /// Gives a key of the architecture another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (self.key(from), self.key(to));
        self.keys.rename(&from, &to);
    }

    /// Names the way in which texts are cut where the file names none, by an absent, empty or default name.
    pub(super) fn cut_texts_as(&mut self, name: &str) {
        const PRE: &str = "tokenizer.ggml.pre";
        let stated = self.source.view.text(PRE).unwrap_or_default();
        if ["", "default"].contains(&stated) {
            self.keys.set(PRE, name);
        }
    }

    /// Says what every vision part says, and takes hyperparameters over from the keys of the source, where they must be.
    /// Unless it is written already, the width of what comes out is that of the model.
    pub(super) fn see(
        &mut self,
        eyes: VisionDefaults,
        hyperparameters: &[&[&str]],
    ) -> Result<(), Error> {
        self.inject("has_vision_encoder", true);
        self.inject("projector_type", eyes.projector);
        if let Some(activation) = eyes.activation {
            self.inject(activation, true);
        }
        for key in hyperparameters.concat() {
            self.take_over(&format!("vision.{key}"), &format!("vision.{key}"))?;
        }
        let states = |key: &str| {
            let colors = self.source.view.length(&self.source.key(key));
            colors.is_some_and(|colors| colors >= 3)
        };
        if states("vision.image_mean") && states("vision.image_std") {
            self.take_over("vision.image_mean", "vision.image_mean")?;
            self.take_over("vision.image_std", "vision.image_std")?;
        } else {
            self.inject("vision.image_mean", eyes.colors.0.as_slice());
            self.inject("vision.image_std", eyes.colors.1.as_slice());
        }
        if !self.keys.has("clip.vision.projection_dim") {
            self.take_over("embedding_length", "vision.projection_dim")?;
        }
        Ok(())
    }

    /// Takes a key of the source's architecture over under another name. It must be there.
    pub(super) fn take_over(&mut self, from: &str, to: &str) -> Result<(), Error> {
        let (from, to) = (self.source.key(from), self.key(to));
        if !self.source.view.has(&from) {
            return Err(missing_key(&from));
        }
        self.keys.copy(&self.source, &from, &to);
        Ok(())
    }

    /// The same, where it is there.
    pub(super) fn take_if_there(&mut self, from: &str, to: &str) {
        let (from, to) = (self.source.key(from), self.key(to));
        self.keys.copy(&self.source, &from, &to);
    }

    /// Takes over what is there of the hyperparameters of the vision part that llama.cpp does not insist on.
    pub(super) fn see_if_there(&mut self, hyperparameters: &[&str]) {
        for key in hyperparameters {
            self.take_if_there(&format!("vision.{key}"), &format!("vision.{key}"));
        }
    }

    /// Shortens a list to its first elements.
    pub(super) fn cut(&mut self, key: &str, count: u64) -> Result<(), Error> {
        self.keys.cut(&self.source, key, count)
    }

    /// Writes the parts of a rotation in several dimensions: the first three that `key` states, and a 0.
    pub(super) fn set_sections(&mut self, key: &str) -> Result<(), Error> {
        let Some(stated) = self.source.view.numbers(key) else {
            return Err(match self.source.view.has(key) {
                true => wrong_key(key, "a list of three numbers"),
                false => missing_key(key),
            });
        };
        let mut sections = [0; 4];
        let [first, second, third, ..] = stated[..] else {
            return Err(wrong_key(key, "a list of three numbers"));
        };
        for (section, stated) in sections.iter_mut().zip([first, second, third]) {
            let stated = within(key, stated, i32::MAX as u64)?;
            *section = i32::try_from(stated).expect("it is no more than that");
        }
        self.set("rope.dimension_sections", sections.as_slice());
        Ok(())
    }

    /// Writes the greatest number of KV heads where the file has one number for each layer.
    pub(super) fn one_head_count_kv(&mut self, if_none: Option<u32>) -> Result<(), Error> {
        const KEY: &str = "attention.head_count_kv";
        let Some(counts) = self.source.view.numbers(&self.source.key(KEY)) else {
            return Ok(());
        };
        match (counts.into_iter().max(), if_none) {
            (None | Some(0), None) => {}
            (None | Some(0), Some(count)) => self.set(KEY, count),
            (Some(count), _) => self.set(KEY, small(count, "the number of heads")?),
        }
        Ok(())
    }

    /// The number of layers of the vision part.
    pub(super) fn eye_blocks(&self) -> Result<u64, Error> {
        let key = self.source.key("vision.block_count");
        self.source.count(&key, MOST_EYE_BLOCKS)
    }

    pub(super) fn finish(self) -> Result<Plan, Error> {
        Plan::new(&self.source, &self.keys, self.tensors)
    }
}

/// A number as most keys hold it.
pub(super) fn small(value: u64, what: &str) -> Result<u32, Error> {
    let value = within(what, value, u32::MAX.into())?;
    Ok(u32::try_from(value).expect("it is no more than that"))
}
