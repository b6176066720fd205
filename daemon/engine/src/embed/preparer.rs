//! The thread that tokenizes texts, while the engine computes others.

use runner_protocol::{Call, Embed, Event, MAX_INPUTS, Request, Rerank};

use super::{
    job::{Job, Task},
    texts::Texts,
};
use crate::{
    error::Error, ffi::pooled::Pooling, load, model::adapters::AdapterNames, outbox::Outbox,
};

/// The result for a request with texts to embed or to rank.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Id of the request.
    pub(super) id: u64,
    /// Its texts as tokens, or what is wrong with it.
    pub(super) job: Result<Job, Error>,
}

/// The thread's side.
#[derive(Debug)]
pub(super) struct Preparation<'m> {
    pub(super) pooling: Pooling,
    /// Numbers in a vector.
    pub(super) width: usize,
    pub(super) texts: Texts<'m>,
    pub(super) adapters: AdapterNames,
    pub(super) outbox: Outbox,
}

impl Preparation<'_> {
    /// Tokenizes the texts of a request. `None` for a request that has its answer now.
    pub(super) fn work(&self, Request { id, call }: Request) -> Option<Prepared> {
        let answer = match call {
            Call::Embed(embed) => {
                let job = self.embed(id, embed);
                return Some(Prepared { id, job });
            }
            Call::Rerank(rerank) => {
                let job = self.rerank(id, &rerank);
                return Some(Prepared { id, job });
            }
            Call::Tokenize(tokenize) => self.texts.tokens(&tokenize).map(Event::Tokens),
            Call::Detokenize(detokenize) => self.texts.text(&detokenize.tokens).map(Event::Text),
            _ => Err(Error::Internal("a request without texts".into())),
        };
        match answer {
            Ok(event) => self.outbox.send(id, event),
            Err(error) => self.outbox.fail(id, error),
        }
        None
    }

    fn embed(&self, id: u64, embed: Embed) -> Result<Job, Error> {
        let Embed {
            inputs,
            dimensions,
            normalize,
            truncate,
            context,
            adapters,
        } = embed;
        let scales = self.adapters.wanted(&adapters)?;
        if self.pooling == Pooling::Rank {
            return Err(Error::Invalid(
                "this model ranks documents and gives no vectors; ask it to rerank".into(),
            ));
        }
        few_enough("inputs", inputs.len())?;
        let most = self.width;
        let width = dimensions.map_or(most, |wanted| wanted as usize);
        if !(1..=most).contains(&width) {
            return Err(Error::Invalid(format!(
                "dimensions is {width}, but the model's vectors have 1 to {most}"
            )));
        }
        let longest = load::held(context, self.texts.longest())?;
        let inputs = inputs.iter().enumerate();
        let inputs = inputs.map(|(at, input)| self.texts.input(at, input, longest, truncate));
        Ok(Job::new(
            id,
            Task::Embed { width, normalize },
            scales,
            inputs.collect::<Result<_, _>>()?,
        ))
    }

    fn rerank(&self, id: u64, rerank: &Rerank) -> Result<Job, Error> {
        if self.pooling != Pooling::Rank {
            return Err(Error::Invalid(
                "this model gives vectors and does not rank documents; ask it to embed".into(),
            ));
        }
        few_enough("documents", rerank.documents.len())?;
        let pairs = self
            .texts
            .pairs(rerank, load::held(rerank.context, self.texts.longest())?)?;
        let scales = self.adapters.wanted(&rerank.adapters)?;
        Ok(Job::new(id, Task::Rerank, scales, pairs))
    }
}

fn few_enough(what: &str, found: usize) -> Result<(), Error> {
    if !(1..=MAX_INPUTS).contains(&found) {
        return Err(Error::Invalid(format!(
            "there are {found} {what}, and there may be 1 to {MAX_INPUTS}"
        )));
    }
    Ok(())
}
