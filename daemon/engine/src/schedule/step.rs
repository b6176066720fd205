//! What one decode call computes.

use crate::schedule::pace::{BLOCK, StepLoad};

/// Counts sequences in prefill and in decode, given the outstanding tokens of each.
pub(crate) fn load_of(outstanding: &[usize]) -> StepLoad {
    let prefilling = || outstanding.iter().filter(|&&tokens| tokens > 1);
    StepLoad {
        prefilling: prefilling().count(),
        prefill_tokens: prefilling().sum(),
        decoding: outstanding.iter().filter(|&&tokens| tokens == 1).count(),
    }
}

/// How many tokens of each sequence go into the next batch, given the outstanding tokens of each.
///
/// A sequence with one outstanding token is in decode and goes first: it never waits for a prompt.
/// The others are in prefill; together they get at most `chunk` tokens, the oldest first, so that one is done soon rather than all late.
/// No batch is larger than `batch`, which llama.cpp would answer with an abort; where that cuts a chunk, it stays a multiple of [`BLOCK`].
pub(crate) fn plan(outstanding: &[usize], batch: usize, chunk: usize) -> Vec<usize> {
    let mut shares: Vec<usize> = vec![0; outstanding.len()];
    let mut room = batch;
    for (share, _) in shares
        .iter_mut()
        .zip(outstanding)
        .filter(|(_, outstanding)| **outstanding == 1)
    {
        *share = room.min(1);
        room -= *share;
    }
    let mut chunk = if chunk <= room || room < BLOCK {
        chunk.min(room)
    } else {
        room / BLOCK * BLOCK
    };
    for (share, &outstanding) in shares
        .iter_mut()
        .zip(outstanding)
        .filter(|(_, outstanding)| **outstanding > 1)
    {
        *share = outstanding.min(chunk);
        chunk -= *share;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_go_first_and_readers_share_the_chunk_oldest_first() {
        assert_eq!(plan(&[1, 100, 1, 50], 512, 64), [1, 64, 1, 0]);
        assert_eq!(plan(&[20, 100, 50], 512, 64), [20, 44, 0]);
    }

    #[test]
    fn a_batch_is_never_too_large() {
        assert_eq!(plan(&[1, 100, 1], 10, 64), [1, 8, 1]);
        assert_eq!(plan(&[1, 600, 1], 512, 512), [1, 480, 1]);
        assert_eq!(plan(&[1, 1, 1], 2, 64), [1, 1, 0]);
        assert!(plan(&[], 2, 64).is_empty());
    }

    #[test]
    fn there_is_always_something_to_do() {
        for outstanding in [[1, 1], [1, 9], [9, 1], [9, 9]] {
            for batch in 2..4 {
                assert!(plan(&outstanding, batch, 1).iter().sum::<usize>() > 0);
            }
        }
    }
}
