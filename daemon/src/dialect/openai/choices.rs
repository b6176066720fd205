//! The choices of one request: asks that are answered at the same time.

use axum::response::sse::Event as Frame;
use futures::stream::{BoxStream, iter, once, select_all};
use futures::{Stream, StreamExt, TryFutureExt};

use crate::answer::Event;
use crate::app::App;
use crate::ask::Ask;
use crate::error::Error;
use crate::options;
use crate::serve;

/// A batch of events of one choice.
pub(super) type Batch = (u32, Vec<Event>);

/// The ask of each of `count` choices. A seed of the request grows by one for each, because the same seed gives the same text.
///
/// # Errors
/// None: a seed is any whole number of 64 bits.
pub(super) fn of(ask: Ask, count: u32) -> Result<Vec<Ask>, Error> {
    let seed = ask.target.parameters.seed().filter(|seed| *seed != -1);
    let mut asks = vec![ask; count as usize];
    for (index, ask) in (0_i64..).zip(&mut asks).skip(1) {
        if let Some(seed) = seed {
            let seed = seed.wrapping_add(index).into();
            options::set(&mut ask.target.parameters, "seed", "seed", &seed)?;
        }
    }
    Ok(asks)
}

/// The batches of all choices as they come. Dropping the stream cancels every choice.
pub(super) fn answer(app: &App, asks: Vec<Ask>) -> BoxStream<'static, Result<Batch, Error>> {
    let mut streams: Vec<_> = (0..)
        .zip(asks)
        .map(|(index, ask)| {
            let app = app.clone();
            let answer = async move { Ok(serve::answer(&app, ask).await?.into_stream()) };
            let batches = answer.try_flatten_stream();
            let batches = batches.map(move |batch| batch.map(|batch| (index, batch)));
            batches.boxed()
        })
        .collect();
    match streams.len() {
        1 => streams.swap_remove(0),
        _ => select_all(streams).boxed(),
    }
}

/// The same stream, once the first of these events is there.
///
/// # Errors
/// The error of a choice before that.
pub(super) async fn with_first(
    mut batches: BoxStream<'static, Result<Batch, Error>>,
    is_found: fn(&Event) -> bool,
) -> Result<impl Stream<Item = Result<Batch, Error>> + Send + 'static, Error> {
    let mut read = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let found = batch.1.iter().any(is_found);
        read.push(Ok(batch));
        if found {
            break;
        }
    }
    Ok(iter(read).chain(batches))
}

/// The frames that `write` makes of each batch, and `[DONE]` after the last one.
pub(super) fn frames(
    batches: BoxStream<'static, Result<Batch, Error>>,
    mut write: impl FnMut(u32, Vec<Event>) -> Vec<Result<Frame, Error>> + Send + 'static,
) -> impl Stream<Item = Result<Frame, Error>> + Send + 'static {
    let frames = batches.flat_map(move |batch| match batch {
        Ok((index, events)) => iter(write(index, events)),
        Err(error) => iter(vec![Err(error)]),
    });
    let done = async { Ok(Frame::default().data("[DONE]")) };
    frames.chain(once(done))
}
