//! Turns of requests with different adapters.
//!
//! One step computes with one set of scales. Another set makes llama.cpp plan its buffers anew, which can take as long as a step of a
//! small model, so a turn lasts for some time.

use std::time::{Duration, Instant};

use crate::model::adapters::AdapterScales;

/// Shortest turn while others wait. A longer one would be seen as a pause in the text of the others.
const TURN: Duration = Duration::from_millis(50);

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    current: Option<(AdapterScales, Instant)>,
}

impl Turns {
    /// The scales of the next step, out of the wanted scales of the requests; `None` without a request.
    pub(crate) fn next<'a>(
        &mut self,
        wanted: impl Iterator<Item = &'a AdapterScales> + Clone,
        now: Instant,
    ) -> Option<AdapterScales> {
        if let Some((current, since)) = &self.current
            && now.duration_since(*since) < TURN
            && wanted.clone().any(|scales| scales == current)
        {
            return Some(current.clone());
        }
        let last = self.current.as_ref().map(|(scales, _)| scales);
        // In the order of their bits: those behind the last ones, or else the first.
        let after = wanted
            .clone()
            .filter(|scales| last.is_some_and(|last| *scales > last));
        let next = after.min().or_else(|| wanted.min())?.clone();
        self.current = Some((next.clone(), now));
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_take_turns_of_some_time() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        let mut check = |wanted: &[u32], milliseconds, expected: Option<u32>| {
            let wanted: Vec<AdapterScales> = wanted.iter().map(|&bits| vec![bits]).collect();
            let now = start + Duration::from_millis(milliseconds);
            let next = turns.next(wanted.iter(), now);
            assert_eq!(
                next,
                expected.map(|bits| vec![bits]),
                "at {milliseconds} ms"
            );
        };
        check(&[], 0, None);
        check(&[2, 1, 3], 0, Some(1));
        check(&[2, 1, 3], 49, Some(1));
        check(&[2, 1, 3], 50, Some(2));
        // Without requests its turn ends.
        check(&[1, 3], 60, Some(3));
        check(&[1, 3], 110, Some(1));
        // Alone it goes on.
        check(&[1], 500, Some(1));
        check(&[1, 3], 510, Some(1));
        check(&[1, 3], 550, Some(3));
    }
}
