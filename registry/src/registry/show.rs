//! Everything about a model, for people.

use modelfile::{Instruction, Modelfile};
use serde_json::{Map, Value};

use crate::{
    Model, ModelName, Shown,
    error::{Error, Result},
    gguf::{self, Gguf, Keep},
    manifest::Layer,
    store::Check,
};

use super::{Registry, load::damaged};

impl Registry {
    /// Everything about a model. `verbose` adds long lists and the tensors.
    ///
    /// # Errors
    /// As [`Registry::model`]; [`Error::Damaged`] also when the header of the weights cannot be read.
    pub async fn show(&self, name: &ModelName, verbose: bool) -> Result<Shown> {
        let (model, _pins) = self.pinned(name).await?;
        let licenses = self.licenses(&model).await?;
        let weights = self.weights_of(&model, verbose).await?;
        let projector = model.projectors().next();
        let projector = match projector {
            Some(layer) => Some(self.gguf_of(&model, layer, verbose).await?),
            None => None,
        };
        let info = |gguf: &Gguf| gguf.model_info(verbose);
        let model_info = weights.as_ref().map(info).unwrap_or_default();
        let projector_info: Option<Map<String, Value>> = projector.as_ref().map(info);
        let of_weights = weights
            .as_ref()
            .and_then(|gguf| gguf.metadata.str("tokenizer.chat_template"));
        let chat_template = model
            .chat_template
            .clone()
            .or_else(|| of_weights.map(str::to_owned));
        let tensors = weights
            .filter(|_| verbose)
            .map(|gguf| gguf.tensors)
            .unwrap_or_default();
        Ok(Shown {
            modelfile: self.commented(&model, &licenses),
            model,
            licenses,
            model_info,
            chat_template,
            projector_info,
            tensors,
        })
    }

    /// The Modelfile of a model, after a comment that says what to change in it.
    fn commented(&self, model: &Model, licenses: &[String]) -> String {
        let lines = match model.weights().chain(model.projectors()).count() {
            0 | 1 => "the FROM line",
            _ => "the FROM lines",
        };
        let (name, recipe) = (&model.name, self.modelfile(model, licenses));
        let left_out: String = model
            .manifest
            .strange_layers()
            .map(|reason| format!("# Left out: {reason}.\n"))
            .collect();
        format!(
            "# Modelfile of {name}, as `slm show` prints it.\n# To build on {name}, replace {lines} with:\n# FROM {name}\n{left_out}\n{recipe}"
        )
    }

    /// A Modelfile that makes the model again. Its files are the blobs of this store.
    fn modelfile(&self, model: &Model, licenses: &[String]) -> Modelfile {
        let path = |layer: &Layer| self.0.store.blob(&layer.digest).display().to_string();
        let mut instructions = Vec::new();
        let files = model.weights().chain(model.projectors());
        instructions.extend(files.map(|layer| Instruction::From(path(layer))));
        instructions.extend(
            model
                .adapters()
                .map(|layer| Instruction::Adapter(path(layer))),
        );
        instructions.extend(model.draft().map(|layer| Instruction::Draft(path(layer))));
        instructions.extend(model.template.clone().map(Instruction::Template));
        instructions.extend(model.system.clone().map(Instruction::System));
        instructions.extend(model.config.renderer.clone().map(Instruction::Renderer));
        instructions.extend(model.config.parser.clone().map(Instruction::Parser));
        let requires = model
            .config
            .requires
            .as_deref()
            .and_then(|text| semver::Version::parse(text).ok());
        instructions.extend(requires.map(Instruction::Requires));
        instructions.extend(model.parameters.iter().map(Instruction::Parameter));
        instructions.extend(model.messages.iter().cloned().map(Instruction::Message));
        instructions.extend(licenses.iter().cloned().map(Instruction::License));
        Modelfile { instructions }
    }

    /// The weights. The metadata is that of the first file; the tensors are those of all files.
    async fn weights_of(&self, model: &Model, verbose: bool) -> Result<Option<Gguf>> {
        let mut whole: Option<Gguf> = None;
        for layer in model.weights() {
            let part = self.gguf_of(model, layer, verbose).await?;
            match &mut whole {
                None => whole = Some(part),
                Some(first) => first.tensors.extend(part.tensors),
            }
        }
        Ok(whole)
    }

    /// A GGUF file, read by the strict reader. It is only shown, so its bytes are not verified.
    async fn gguf_of(&self, model: &Model, layer: &Layer, verbose: bool) -> Result<Gguf> {
        let (digest, size) = (layer.digest, layer.size);
        let keep = if verbose {
            Keep::Everything
        } else {
            Keep::Small
        };
        let read = self
            .on_disk(move |store| {
                let mut file = match store.open_blob(&digest, Some(size))? {
                    Check::There(file, _) => file,
                    Check::Bad(damage) => return Ok(Err(damage)),
                };
                match gguf::read_keeping(&mut file, size, keep) {
                    Ok(gguf) => Ok(Ok(gguf)),
                    Err(gguf::Error::Io { source, .. }) => Err(Error::Io {
                        action: "read",
                        path: store.blob(&digest),
                        source,
                    }),
                    Err(refused) => Ok(Err(crate::Damage::Gguf(refused.to_string()))),
                }
            })
            .await?;
        read.map_err(|damage| damaged(&model.name, digest, damage))
    }
}
