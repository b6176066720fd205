//! The families of models in Ollama's layout; each file recognises one layout and translates it.

mod deepseekocr;
mod embeddinggemma;
mod gemma3;
mod gemma3n;
mod gemma4;
mod glm4moelite;
mod glmocr;
mod gptoss;
mod laguna;
mod lfm2;
mod llama4;
mod llava;
mod mistral3;
mod mllama;
mod nemotron;
mod olmo3;
mod qwen;
mod qwen25vl;
mod qwen35;
mod qwen3next;
mod qwen3vl;
mod snowflake;

use serde::{Deserialize, Serialize};

use super::Error;
use super::layout::Layout;
use super::source::{Source, View};

/// Translates a source into one file.
type Make = fn(Source<'_>) -> Result<Layout<'_>, Error>;

/// One family: its name, its test and its translations.
struct Row {
    family: Family,
    /// Its name in messages.
    name: &'static str,
    /// Whether a file is in its layout.
    is: fn(View<'_>) -> bool,
    /// Translates the weights; `None` for a projector, and for a layout without a translation.
    weights: Option<Make>,
    /// Translates the projector, which may be in the file of the weights.
    projector: Option<Make>,
}

/// Defines [`Family`] and [`ROWS`] from one line for each family.
macro_rules! families {
    ($($family:ident $name:literal $is:path, $weights:expr, $projector:expr;)*) => {
        /// A family of models whose weights Ollama stores in a layout that llama.cpp does not read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum Family {
            $(#[doc = $name] $family,)*
        }

        /// Every family, in the order of [`Family`].
        const ROWS: &[Row] = &[$(Row {
            family: Family::$family,
            name: $name,
            is: $is,
            weights: $weights,
            projector: $projector,
        },)*];
    };
}

// A file belongs to the first family whose test accepts it, so EmbeddingGemma stands before Gemma 3.
families! {
    EmbeddingGemma "EmbeddingGemma" embeddinggemma::is, Some(embeddinggemma::weights), None;
    Gemma3 "Gemma 3" gemma3::is, Some(gemma3::weights), Some(gemma3::projector);
    Gemma3n "Gemma 3n" gemma3n::is, Some(gemma3n::weights), None;
    Gemma4 "Gemma 4" gemma4::is, Some(gemma4::weights), Some(gemma4::projector);
    GptOss "gpt-oss" gptoss::is, Some(gptoss::weights), None;
    Qwen25Vl "Qwen2.5-VL" qwen25vl::is, Some(qwen25vl::weights), Some(qwen25vl::projector);
    Qwen3Vl "Qwen3-VL" qwen3vl::is, Some(qwen3vl::weights), Some(qwen3vl::projector);
    Qwen35 "Qwen3.5" qwen35::is, Some(qwen35::weights), Some(qwen35::projector);
    Qwen3Next "Qwen3-Next" qwen3next::is, Some(qwen3next::weights), None;
    Mistral3 "Mistral 3" mistral3::is, Some(mistral3::weights), Some(mistral3::projector);
    Llama4 "Llama 4" llama4::is, Some(llama4::weights), Some(llama4::projector);
    Llava "LLaVA" llava::is, None, Some(llava::projector);
    Mllama "Llama 3.2 Vision" mllama::is, None, None;
    DeepseekOcr "DeepSeek-OCR" deepseekocr::is, Some(deepseekocr::weights), Some(deepseekocr::projector);
    GlmOcr "GLM-OCR" glmocr::is, Some(glmocr::weights), Some(glmocr::projector);
    Glm4MoeLite "GLM-4.7-Flash" glm4moelite::is, Some(glm4moelite::weights), None;
    Laguna "Laguna" laguna::is, Some(laguna::weights), None;
    Lfm2 "LFM2" lfm2::is, Some(lfm2::weights), None;
    NemotronHMoe "Nemotron-H" nemotron::is_moe, Some(nemotron::moe), None;
    NemotronHOmni "Nemotron-H Omni" nemotron::is_omni, Some(nemotron::omni), Some(nemotron::projector);
    Olmo3 "Olmo 3" olmo3::is, Some(olmo3::weights), None;
    Snowflake "Snowflake Arctic Embed 2" snowflake::is, Some(snowflake::weights), None;
}

impl Family {
    /// The family in whose layout a file is.
    pub(super) fn of(view: View<'_>) -> Option<Self> {
        let row = ROWS.iter().find(|row| (row.is)(view));
        row.map(|row| row.family)
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether its layout can be translated.
    #[must_use]
    pub(crate) fn is_translated(self) -> bool {
        self.row().weights.is_some() || self.row().projector.is_some()
    }

    /// Whether files in its layout are projectors without weights.
    pub(super) fn is_projector(self) -> bool {
        self.row().weights.is_none() && self.row().projector.is_some()
    }

    /// Whether a file in its layout has weights and a projector.
    pub(super) fn sees(self, view: View<'_>) -> bool {
        !self.is_projector() && self.row().projector.is_some() && view.begins(&["v."])
    }

    /// The remedy for a file whose layout cannot be translated.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Mllama => {
                "llama.cpp runs no layout of this model, so take another one that sees, such as gemma3 or qwen2.5vl"
            }
            _ => {
                "a GGUF file of the same model in llama.cpp's own layout runs, as ggml-org and unsloth have them at huggingface.co"
            }
        }
    }

    /// The weights in llama.cpp's layout.
    pub(super) fn weights(self, source: Source<'_>) -> Result<Layout<'_>, Error> {
        let make = self.row().weights.ok_or(Error::NotYet { family: self })?;
        make(source)
    }

    /// The projector in llama.cpp's layout.
    pub(super) fn projector(self, source: Source<'_>) -> Result<Layout<'_>, Error> {
        let make = self.row().projector.ok_or(Error::NotYet { family: self })?;
        make(source)
    }

    /// Every family, for tests.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.family)
    }
}

/// Prefixes of the vision tensors.
const SIGHT: &[&str] = &["v.", "mm."];
