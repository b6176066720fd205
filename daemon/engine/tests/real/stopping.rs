//! How answers end before they are done.

use std::time::{Duration, Instant};

use runner_protocol::{Call, Event, Generate, StopReason};

use crate::harness::{Runner, greedy};

#[test]
fn a_stop_text_ends_the_answer_and_is_no_part_of_it() {
    let mut runner = Runner::loaded(|_| ());
    let (whole, _) = runner.generate(greedy("hello the sky", 48));
    assert!(whole.is_ascii() && whole.len() > 24, "{whole}");
    // Every place: inside tokens, across them, and at their ends.
    for start in [1, 5, 9, 10, 11, 12, 13] {
        let stop = &whole[start..start + 6];
        let expected = &whole[..whole.find(stop).unwrap()];
        let (text, done) = runner.generate(Generate {
            stop: vec!["\u{1f980}".into(), stop.into()],
            ..greedy("hello the sky", 48)
        });
        assert_eq!(text, expected, "stopped at {stop:?}");
        assert_eq!(done.reason, StopReason::Stop);
        assert_eq!(done.stop_text.as_deref(), Some(stop));
    }
}

#[test]
fn what_only_began_like_a_stop_text_is_sent_at_the_end() {
    let mut runner = Runner::loaded(|_| ());
    let (whole, _) = runner.generate(greedy("hello the sky", 32));
    let almost = format!("{}\u{1f980}", &whole[whole.len() - 3..]);
    let (text, done) = runner.generate(Generate {
        stop: vec![almost],
        ..greedy("hello the sky", 32)
    });
    assert_eq!((text, done.reason), (whole, StopReason::Length));
    assert_eq!(done.stop_text, None);
}

#[test]
fn a_cancel_takes_effect_while_a_prompt_is_read() {
    // One token in a step makes the prompt last long enough to be interrupted.
    let mut runner = Runner::loaded(|load| (load.settings.batch, load.sequences) = (1, 1));
    let id = runner.send(Call::Generate(Box::new(greedy(&"a".repeat(1800), 8))));
    let Event::Started {
        prompt_tokens,
        cached_tokens: 0,
    } = runner.event(id)
    else {
        panic!("expected the start")
    };
    let Event::Prefill { done: 1, total } = runner.event(id) else {
        panic!("expected the first token of the prompt")
    };
    assert!(total > 1000);
    assert_eq!(prompt_tokens, total);
    runner.send(Call::Cancel { target: id });
    let Event::Done(done) = runner.end(id) else {
        panic!("expected the end")
    };
    assert_eq!((done.tokens, done.reason), (0, StopReason::Cancelled));
    // The cells are free again.
    assert_eq!(runner.generate(greedy("hello", 4)).1.tokens, 4);
}

#[test]
fn a_cancel_takes_effect_while_an_answer_is_written() {
    let mut runner = Runner::loaded(|load| load.settings.context = 1 << 16);
    let endless = Generate {
        max_tokens: None,
        ..greedy("hello", 0)
    };
    let id = runner.send(Call::Generate(Box::new(endless)));
    while !matches!(runner.event(id), Event::Delta(_)) {}
    runner.send(Call::Cancel { target: id });
    // One that nobody knows is no error.
    runner.send(Call::Cancel { target: 4711 });
    let (_, done) = runner.answer(id);
    assert_eq!(done.reason, StopReason::Cancelled);
    assert!(done.tokens > 0);
}

#[test]
fn a_closed_socket_ends_the_process_in_the_middle_of_an_answer() {
    for prompt in ["hello".into(), "a".repeat(1800)] {
        let mut runner = Runner::loaded(|load| load.settings.context = 1 << 16);
        let endless = Generate {
            max_tokens: None,
            ..greedy(&prompt, 0)
        };
        let id = runner.send(Call::Generate(Box::new(endless)));
        runner.event(id);
        assert_eq!(runner.hang_up().code(), Some(0));
    }
}

#[test]
fn a_shutdown_ends_the_process() {
    let mut runner = Runner::loaded(|_| ());
    let endless = Generate {
        max_tokens: None,
        ..greedy("hello", 0)
    };
    let id = runner.send(Call::Generate(Box::new(endless)));
    runner.event(id);
    runner.send(Call::Shutdown);
    assert_eq!(runner.wait().code(), Some(0));
}

/// The promise is half a second or one step, whatever the runner is at.
#[test]
fn a_cancel_makes_room_for_the_next_within_half_a_second() {
    let mut runner = Runner::loaded(|load| (load.settings.context, load.sequences) = (1 << 15, 1));
    for prompt in ["a".repeat(30_000), "hello".into()] {
        let is_long = prompt.len() > 100;
        // A machine that is busy with something else may be late once; a runner that goes on is late each time.
        let waits = (0..3).map(|_| {
            let id = runner.send(Call::Generate(Box::new(Generate {
                max_tokens: None,
                ..greedy(&prompt, 0)
            })));
            while !matches!(
                (is_long, runner.event(id)),
                (true, Event::Prefill { .. }) | (false, Event::Delta(_))
            ) {}
            let next = runner.send(Call::Generate(Box::new(greedy("hello", 1))));
            let start = Instant::now();
            runner.send(Call::Cancel { target: id });
            assert_eq!(runner.answer(next).1.tokens, 1);
            let took = start.elapsed();
            assert_eq!(runner.answer(id).1.reason, StopReason::Cancelled);
            took
        });
        let soonest = waits.min().unwrap();
        assert!(soonest < Duration::from_millis(500), "{soonest:?}");
    }
}

#[test]
fn a_cancel_in_the_queue_disturbs_nobody() {
    let mut runner = Runner::loaded(|load| load.sequences = 1);
    let (alone, _) = runner.generate(greedy("hello the sky", 64));
    let id = runner.send(Call::Generate(Box::new(greedy("hello the sky", 64))));
    runner.event(id);
    let waiting = runner.send(Call::Generate(Box::new(greedy("and the sea", 64))));
    runner.send(Call::Cancel { target: waiting });
    let (text, done) = runner.answer(waiting);
    assert_eq!((text.as_str(), done.reason), ("", StopReason::Cancelled));
    assert_eq!(runner.answer(id).0, alone);
}
