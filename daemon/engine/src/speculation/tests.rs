use super::*;

fn tokens(text: &str) -> Vec<LlamaToken> {
    text.bytes()
        .map(|byte| LlamaToken::new(byte.into()))
        .collect()
}

/// A sequence that writes a text which is known in advance, in steps that are timed by a rule.
struct Scene {
    speculation: Speculation<'static>,
    drafting: Vec<Drafting>,
    /// Milliseconds of a step of so many tokens.
    cost: fn(usize) -> u64,
    /// All steps together.
    took: u64,
}

impl Scene {
    fn new(mode: Mode, writers: usize, cost: fn(usize) -> u64) -> Self {
        Self {
            speculation: Speculation::new(mode, None),
            drafting: (0..writers).map(|_| Drafting::new(None)).collect(),
            cost,
            took: 0,
        }
    }

    /// A step in which all write. Says how many tokens each came forward.
    fn step(&mut self, texts: &[&[LlamaToken]], at: &mut [usize], room: usize) {
        let drafting = self.drafting.iter_mut().enumerate();
        let writers = drafting.map(|(index, drafting)| Writer {
            index,
            id: index as u64,
            text: &texts[index][..at[index]],
            most: usize::MAX,
            drafting,
        });
        let drafts = self.speculation.draft(writers.collect(), room);
        let drafted: usize = drafts.iter().map(|(_, draft)| draft.tokens.len()).sum();
        assert!(drafted <= room);
        let took = (self.cost)(texts.len() + drafted);
        self.took += took;
        self.speculation
            .timed(texts.len() + drafted, Duration::from_millis(took));
        for (index, draft) in &drafts {
            let rest = &texts[*index][at[*index]..];
            let pairs = draft.tokens.iter().zip(rest);
            let right = pairs.take_while(|(guess, token)| guess == token).count();
            self.speculation.turned_out(
                &mut self.drafting[*index],
                draft,
                right,
                right < draft.tokens.len(),
            );
            at[*index] += right;
        }
        at.iter_mut().for_each(|at| *at += 1);
    }

    /// Lets all write to the end of the shortest text, from the same place on. Says how many milliseconds a token took on average.
    fn write(&mut self, texts: &[&[LlamaToken]], from: usize, room: usize) -> f64 {
        let mut at = vec![from; texts.len()];
        let end = texts.iter().map(|text| text.len()).min().unwrap() - 64;
        let before = self.took;
        while at.iter().all(|at| *at < end) {
            self.step(texts, &mut at, room);
        }
        let written: usize = at.iter().map(|at| at - from).sum();
        (self.took - before) as f64 / (written / texts.len()) as f64
    }
}

/// A text that repeats itself.
fn repeated() -> Vec<LlamaToken> {
    tokens(&"the quick brown fox jumps over the lazy dog and runs away. ".repeat(20))
}

/// A text in which short runs come again, and go on otherwise.
fn prose() -> Vec<LlamaToken> {
    let mut state = 1_u64;
    let vocabulary = ["the ", "and ", "of the ", "in a ", "was ", "to the "];
    let mut text = String::new();
    for _ in 0..400 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(vocabulary[(state >> 40) as usize % vocabulary.len()]);
        text.push(char::from(b'a' + (state >> 50) as u8 % 26));
        text.push(char::from(b'a' + (state >> 55) as u8 % 26));
        text.push(' ');
    }
    tokens(&text)
}

/// Waits for memory: 16 tokens take little longer than one.
fn cheap(tokens: usize) -> u64 {
    40 + tokens as u64
}

/// Computes: each token takes its time.
fn dear(tokens: usize) -> u64 {
    40 * tokens as u64
}

#[test]
fn a_repeated_text_comes_faster_and_off_is_off() {
    let text = repeated();
    let with = Scene::new(Mode::Auto, 1, cheap).write(&[&text], 130, 32);
    let without = Scene::new(Mode::Off, 1, cheap).write(&[&text], 130, 32);
    assert!((without - 41.0).abs() < 0.1, "{without}");
    assert!(with < without / 4.0, "{with}");
}

#[test]
fn where_drafts_do_not_pay_they_cost_next_to_nothing() {
    for (text, cost) in [
        (repeated(), dear as fn(usize) -> u64),
        (prose(), dear),
        (prose(), cheap),
    ] {
        let with = Scene::new(Mode::Auto, 1, cost).write(&[&text], 130, 32);
        let without = Scene::new(Mode::Off, 1, cost).write(&[&text], 130, 32);
        assert!(with < without * 1.06, "{with} beside {without}");
    }
}

#[test]
fn what_did_not_pay_is_tried_again() {
    let text = repeated();
    let mut scene = Scene::new(Mode::Auto, 1, dear);
    scene.write(&[&text], 130, 32);
    let (before, _) = scene.drafting[0].counts();
    assert!(before > 0);
    // The neighbour who kept the processor busy has left.
    scene.cost = cheap;
    let mut last = f64::INFINITY;
    for _ in 0..6 {
        scene.drafting = vec![Drafting::new(None)];
        last = scene.write(&[&text], 130, 32);
    }
    assert!(last < 20.0, "{last}");
}

#[test]
fn a_sequence_that_cannot_be_guessed_is_not_slowed_down_by_one_that_can() {
    fn linear(tokens: usize) -> u64 {
        40 + 3 * tokens as u64
    }
    let (easy, hard) = (repeated(), prose());
    let mut scene = Scene::new(Mode::Auto, 2, linear);
    let mut at = [130, 130];
    for _ in 0..100 {
        scene.step(&[&easy, &hard], &mut at, 32);
    }
    let each = scene.took as f64 / (at[1] - 130) as f64;
    let slower = each / linear(2) as f64;
    assert!(slower < 1.3, "{slower}");
    assert!(at[0] > at[1] + 50, "{at:?}");
}

#[test]
fn always_means_always_and_a_limit_is_a_limit() {
    let text = repeated();
    let draft = |mode, most: Option<u32>, useful: usize, room: usize| {
        let mut drafting = Drafting::new(most);
        let writer = Writer {
            index: 3,
            id: 7,
            text: &text[..200],
            most: useful,
            drafting: &mut drafting,
        };
        let drafts = Speculation::new(mode, None).draft(vec![writer], room);
        assert!(drafts.iter().all(|(index, _)| *index == 3));
        drafts.first().map_or(0, |(_, draft)| draft.tokens.len())
    };
    assert_eq!(draft(Mode::Always, None, 100, 100), USUAL);
    assert_eq!(draft(Mode::Always, Some(5), 100, 100), 5);
    assert_eq!(
        draft(Mode::Always, Some(u32::MAX), 100, 100),
        MAX_DRAFT as usize
    );
    assert_eq!(draft(Mode::Always, Some(0), 100, 100), 0);
    assert_eq!(draft(Mode::Always, None, 3, 100), 3);
    assert_eq!(draft(Mode::Always, None, 0, 100), 0);
    assert_eq!(draft(Mode::Always, None, 100, 2), 2);
    assert_eq!(draft(Mode::Always, None, 100, 0), 0);
    assert_eq!(draft(Mode::Off, None, 100, 100), 0);
    // Nothing was timed yet.
    assert_eq!(draft(Mode::Auto, None, 100, 100), 0);
}

#[test]
fn guesses_are_counted_and_what_comes_behind_a_wrong_one_teaches_nothing() {
    let text = repeated();
    let mut drafting = Drafting::new(None);
    let mut speculation = Speculation::new(Mode::Always, None);
    let draft = drafting.lookup.draft(&text[..200], 8);
    let (level, before) = (draft.levels[4], speculation.all.clone());
    speculation.turned_out(&mut drafting, &draft, 3, false);
    assert_eq!(drafting.counts(), (8, 3));
    assert!(speculation.all.chance(&before, level) > before.chance(&before, level));
    speculation.turned_out(&mut drafting, &draft, 0, true);
    assert_eq!(drafting.counts(), (16, 3));
}
