//! Embeddings and scores of the mock.
//!
//! Inputs with the same words have the same vector. The score of a document is the number of words that it shares with the query.

use runner_protocol::{
    Embed, Embeddings, Event, Failure, FailureKind, Input, MAX_INPUTS, Rerank, Scores,
};

use super::{
    answer::context_of,
    machine::{count, invalid, outside_of_vocabulary},
    words::{self, Words},
};

/// Numbers in a vector.
const WIDTH: usize = 8;

/// Context in tokens.
const LONGEST: u32 = 64;

/// Counts the tokens by the remainder of their ids.
pub(super) fn embed(embed: Embed, words: &mut Words) -> Result<Event, Failure> {
    let Embed {
        inputs,
        dimensions,
        normalize,
        truncate,
        context,
        adapters: _,
    } = embed;
    few_enough(inputs.len())?;
    let longest = context_of(context, LONGEST)? as usize;
    let width = dimensions.map_or(WIDTH, |wanted| wanted as usize);
    if !(1..=WIDTH).contains(&width) {
        return Err(invalid(format!("there are 1 to {WIDTH} dimensions")));
    }
    let mut embeddings = Embeddings {
        vectors: Vec::new(),
        prompt_tokens: 0,
        truncated: 0,
    };
    for input in inputs {
        let tokens = match input {
            Input::Text(text) => words.tokens(&text),
            Input::Tokens(tokens) => {
                words.text(&tokens).map_err(outside_of_vocabulary)?;
                tokens
            }
        };
        let (read, cut) = fit(&tokens, longest, truncate)?;
        embeddings.prompt_tokens += count(read.len());
        embeddings.truncated += u32::from(cut);
        embeddings.vectors.push(vector(read, width, normalize));
    }
    Ok(Event::Embeddings(embeddings))
}

/// Counts the words that each document shares with the query.
pub(super) fn rerank(rerank: &Rerank, words: &mut Words) -> Result<Event, Failure> {
    few_enough(rerank.documents.len())?;
    let longest = context_of(rerank.context, LONGEST)? as usize;
    let wanted: Vec<&str> = words::split(&rerank.query).map(str::trim).collect();
    let mut scores = Scores {
        scores: Vec::new(),
        prompt_tokens: 0,
        truncated: 0,
    };
    for document in &rerank.documents {
        let tokens = words.tokens(document);
        let (read, cut) = fit(&tokens, longest, rerank.truncate)?;
        let shared = words::split(document)
            .take(read.len())
            .filter(|word| wanted.contains(&word.trim()))
            .count();
        scores.prompt_tokens += count(read.len() + wanted.len());
        scores.truncated += u32::from(cut);
        scores.scores.push(shared as f32);
    }
    Ok(Event::Scores(scores))
}

fn few_enough(inputs: usize) -> Result<(), Failure> {
    if !(1..=MAX_INPUTS).contains(&inputs) {
        return Err(invalid(format!("there may be 1 to {MAX_INPUTS} inputs")));
    }
    Ok(())
}

/// The tokens of an input that fit, and whether it was truncated.
fn fit(tokens: &[i32], longest: usize, truncate: bool) -> Result<(&[i32], bool), Failure> {
    match tokens.len() {
        0 => Err(invalid("an input has no tokens")),
        length if length <= longest => Ok((tokens, false)),
        _ if truncate => Ok((&tokens[..longest], true)),
        length => Err(Failure::new(
            FailureKind::ContextOverflow,
            format!("an input has {length} tokens and the model reads {longest}"),
        )),
    }
}

fn vector(tokens: &[i32], width: usize, normalize: bool) -> Vec<f32> {
    let mut vector = vec![0.0; WIDTH];
    for token in tokens {
        let place = token.unsigned_abs() as usize % WIDTH;
        vector[place] += 1.0;
    }
    vector.truncate(width);
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    if normalize && length > 0.0 {
        vector.iter_mut().for_each(|it| *it /= length);
    }
    vector
}
