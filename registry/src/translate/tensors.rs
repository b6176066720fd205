//! The tensors of the translated file. They start as a copy of the tensors of the source.

use std::collections::HashSet;

use super::source::{Source, Span, missing_tensor, within};
use super::{Error, values};
use crate::gguf::{Tensor, TensorType, harmless};

/// `GGML_MAX_NAME` is 64 with the terminating zero byte.
const LONGEST_NAME: u64 = 63;
/// Most pieces that one tensor is put together of: rows, or slices of patches.
const MOST_PIECES: u64 = 1 << 18;

/// One tensor of the new file.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    /// The dimensions, the fastest first.
    pub(super) dims: Vec<u64>,
    pub(super) kind: TensorType,
    pub(super) content: Content,
}

/// Where the bytes of a tensor come from.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Parts of the source, end to end.
    Parts(Vec<Part>),
    /// These bytes.
    Made(Vec<u8>),
}

/// Bytes of the source, or the values in them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) span: Span,
    /// The type of the values, where they are to become floats of 32 bits.
    pub(super) widened: Option<TensorType>,
}

impl Part {
    fn new(span: Span) -> Self {
        let widened = None;
        Self { span, widened }
    }
}

impl Item {
    fn of(tensor: &Tensor) -> Self {
        Self {
            name: tensor.name.clone(),
            dims: tensor.dims.clone(),
            kind: tensor.kind,
            content: Content::Parts(vec![Part::new(Span::of(tensor))]),
        }
    }

    /// A tensor of floats of 32 bits.
    pub(super) fn floats(name: &str, dims: &[u64], values: &[f32]) -> Self {
        Self {
            name: name.to_owned(),
            dims: dims.to_vec(),
            kind: float(),
            content: Content::Made(
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            ),
        }
    }

    /// Makes the values floats of 32 bits.
    pub(super) fn promote(&mut self) -> Result<(), Error> {
        if let Content::Parts(parts) = &mut self.content
            && self.kind != float()
        {
            if values::reader(self.kind).is_none() {
                return Err(Error::Type {
                    tensor: harmless(self.name.as_bytes()),
                    found: self.kind,
                });
            }
            for part in parts {
                part.widened = Some(self.kind);
            }
            self.kind = float();
        }
        Ok(())
    }

    /// Puts another content of the same type in the place of this one: pieces of the source in their new order.
    pub(super) fn pieces(&mut self, count: u64, piece: impl Fn(u64) -> Span) -> Result<(), Error> {
        within("the pieces of a tensor", count, MOST_PIECES)?;
        self.content = Content::Parts((0..count).map(piece).map(Part::new).collect());
        Ok(())
    }
}

fn float() -> TensorType {
    TensorType::from_id(0).expect("F32 is known")
}

/// Tensors in order.
#[derive(Debug, Default)]
pub(super) struct Tensors(pub(super) Vec<Item>);

impl Tensors {
    /// The tensors of the source whose names fit.
    pub(super) fn of(source: &Source<'_>, keep: impl Fn(&str) -> bool) -> Self {
        let tensors = source.view.0.tensors.iter();
        Self(
            tensors
                .filter(|tensor| keep(&tensor.name))
                .map(Item::of)
                .collect(),
        )
    }

    /// Puts `to` in the place of the first `from` in every name.
    pub(super) fn replace(&mut self, from: &str, to: &str) {
        for item in &mut self.0 {
            item.name = item.name.replacen(from, to, 1);
        }
    }

    /// The same for several, one after the other.
    pub(super) fn replace_all(&mut self, pairs: &[(&str, &str)]) {
        for (from, to) in pairs {
            self.replace(from, to);
        }
    }

    /// Changes the end of every name that ends so.
    pub(super) fn replace_end(&mut self, from: &str, to: &str) {
        for item in &mut self.0 {
            if let Some(rest) = item.name.strip_suffix(from) {
                item.name = format!("{rest}{to}");
            }
        }
    }

    /// Changes the beginning of every name that begins so.
    pub(super) fn replace_begin(&mut self, from: &str, to: &str) {
        for item in &mut self.0 {
            if let Some(rest) = item.name.strip_prefix(from) {
                item.name = format!("{to}{rest}");
            }
        }
    }

    /// Gives one tensor another name, if it is there.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(item) = self.find(from) {
            to.clone_into(&mut item.name);
        }
    }

    pub(super) fn find(&mut self, name: &str) -> Option<&mut Item> {
        self.0.iter_mut().find(|item| item.name == name)
    }

    /// A tensor that must be there.
    pub(super) fn get(&mut self, name: &str) -> Result<&mut Item, Error> {
        self.find(name).ok_or_else(|| missing_tensor(name))
    }

    /// Makes the values of these tensors floats of 32 bits, if they are there.
    pub(super) fn promote(&mut self, names: &[&str]) -> Result<(), Error> {
        for name in names {
            if let Some(item) = self.find(name) {
                item.promote()?;
            }
        }
        Ok(())
    }

    /// Takes tensors out by name. All must be there, or none.
    fn take(&mut self, names: &[String]) -> Result<Option<Vec<Item>>, Error> {
        if names.iter().all(|name| self.find(name).is_none()) {
            return Ok(None);
        }
        let mut taken = Vec::new();
        for name in names {
            taken.push(self.get(name)?.clone());
        }
        self.0.retain(|item| !names.contains(&item.name));
        Ok(Some(taken))
    }

    /// Lays tensors end to end along their last dimension, in which they must be alike but for their lengths. The new tensor stands where the first one stood.
    /// They must all be there, or none; `false` says that none is. Unless they are of one type, they become floats of 32 bits.
    pub(super) fn join(&mut self, names: &[String], to: &str) -> Result<bool, Error> {
        let place = names
            .iter()
            .filter_map(|name| self.0.iter().position(|item| item.name == *name))
            .min();
        let Some(mut parts) = self.take(names)? else {
            return Ok(false);
        };
        let first = parts[0].clone();
        if parts.iter().any(|part| part.kind != first.kind) {
            parts.iter_mut().try_for_each(Item::promote)?;
        }
        let mut dims = first.dims.clone();
        let last = dims.len() - 1;
        for part in &parts[1..] {
            if part.dims.len() != dims.len() || part.dims[..last] != dims[..last] {
                return Err(Error::Shape {
                    tensor: harmless(part.name.as_bytes()),
                    found: part.dims.clone(),
                    expected: format!("the shape of `{}`, {:?}", first.name, first.dims),
                });
            }
            dims[last] += part.dims[last];
        }
        let content = parts.iter().flat_map(|part| match &part.content {
            Content::Parts(parts) => parts.clone(),
            Content::Made(_) => unreachable!("only tensors of the source are joined"),
        });
        let content = Content::Parts(content.collect());
        let item = Item {
            name: to.to_owned(),
            dims,
            kind: parts[0].kind,
            content,
        };
        let place = place.unwrap_or(0).min(self.0.len());
        self.0.insert(place, item);
        Ok(true)
    }

    /// Puts others in the place of a tensor that must be there.
    pub(super) fn split(&mut self, name: &str, into: Vec<Item>) -> Result<(), Error> {
        let place = self.0.iter().position(|item| item.name == name);
        let place = place.ok_or_else(|| missing_tensor(name))?;
        self.0.splice(place..=place, into);
        Ok(())
    }

    pub(super) fn push(&mut self, item: Item) {
        self.0.push(item);
    }

    /// Sees that every name can be, and is there once.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut names = HashSet::new();
        for item in &self.0 {
            within(
                "the bytes of a tensor's name",
                item.name.len() as u64,
                LONGEST_NAME,
            )?;
            if !names.insert(item.name.as_str()) {
                let tensor = harmless(item.name.as_bytes());
                return Err(Error::Clash { tensor });
            }
        }
        Ok(())
    }
}
