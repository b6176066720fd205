//! Timeouts, with the runtime's clock paused: it advances when all tasks wait.

use std::time::Duration;

use futures::StreamExt as _;
use runner_protocol::StopReason;
use supervisor::{Cause, Error, Options, Step, Violation};
use tokio::time::Instant;

use crate::support::{ask, chat, finish, first_word, load_it, loaded, spawn, weights};

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_no_stall() {
    let runner = loaded(&runner_mock::spawner(), Options::default()).await;
    let start = Instant::now();
    let (text, end) = ask(&runner, "[[mock: delay-ms 59000; count 10]]").await;
    assert_eq!(end.unwrap().reason, StopReason::Stop);
    assert_eq!(text, "1 2 3 4 5 6 7 8 9 10");
    assert!(start.elapsed() >= Duration::from_secs(590));
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_seen_after_the_silence_and_not_before() {
    let runner = loaded(&runner_mock::spawner(), Options::default()).await;
    let mut generation = runner
        .generate(chat("[[mock: stall-at-token 1]] hello you"))
        .await
        .unwrap();
    first_word(&mut generation).await;
    let start = Instant::now();
    let (_, end) = finish(generation).await;
    assert!(
        matches!(end, Err(Error::Stalled { seconds: 60, .. })),
        "{end:?}"
    );
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn one_may_wait_for_ever() {
    let ever = Duration::MAX;
    let options = Options {
        hello: ever,
        load_silence: ever,
        silence: ever,
        patience: ever,
        grace: ever,
        term: ever,
    };
    let runner = loaded(&runner_mock::spawner(), options).await;
    assert_eq!(
        ask(&runner, "[[mock: delay-ms 3600000]] hello you").await.0,
        "hello you"
    );
    let exit = runner.stop(ever).await;
    assert_eq!(exit.status.unwrap().code(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_runner_is_never_stalled() {
    let runner = loaded(&runner_mock::spawner(), Options::default()).await;
    tokio::time::advance(Duration::from_secs(100_000)).await;
    assert_eq!(ask(&runner, "hello").await.0, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_load_is_given_its_own_time() {
    let stalled = spawn(
        &runner_mock::spawner(),
        "stall-in-load",
        weights(""),
        Options::default(),
    )
    .await
    .unwrap();
    let start = Instant::now();
    let error = load_it(&stalled).await.unwrap_err();
    assert!(
        matches!(error, Error::Stalled { seconds: 120, .. }),
        "{error:?}"
    );
    assert_eq!(start.elapsed().as_secs(), 120);
    let slow = spawn(
        &runner_mock::spawner(),
        "load-delay-ms 119000",
        weights(""),
        Options::default(),
    )
    .await
    .unwrap();
    load_it(&slow).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn short_answers_do_not_hide_that_no_tokens_come() {
    let runner = loaded(&runner_mock::spawner(), Options::default()).await;
    let mut generation = runner
        .generate(chat("[[mock: stall-at-token 1]] hello you"))
        .await
        .unwrap();
    first_word(&mut generation).await;
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(11)).await;
        runner.stats().await.unwrap();
    }
    let (_, end) = finish(generation).await;
    assert!(
        matches!(end, Err(Error::Stalled { seconds: 60, .. })),
        "{end:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_hangs_up_and_stays_is_killed() {
    let runner = loaded(&runner_mock::spawner(), Options::default()).await;
    let (_, end) = ask(&runner, "[[mock: hang-up-at-token 1]] hello you").await;
    let Err(Error::Protocol { source, exit }) = end else {
        panic!("{end:?}")
    };
    assert!(
        matches!(
            *source,
            Violation::Frame(runner_protocol::frame::Error::Closed)
        ),
        "{source:?}"
    );
    assert_eq!(exit.signal(), Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_mute_runner_is_given_the_time_for_its_introduction() {
    let start = Instant::now();
    let error = spawn(
        &runner_mock::spawner(),
        "stall-in-hello",
        weights(""),
        Options::default(),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, Error::Hello { seconds: 30, .. }),
        "{error:?}"
    );
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn dropping_an_answer_frees_its_place_within_one_step() {
    let runner = loaded(&runner_mock::spawner(), Options::default()).await;
    let mut generations = Vec::new();
    for _ in 0..2 {
        generations.push(
            runner
                .generate(chat("[[mock: delay-ms 1000; count 40]]"))
                .await
                .unwrap(),
        );
    }
    let waiting = runner.generate(chat("my turn")).await.unwrap();
    for generation in &mut generations {
        first_word(generation).await;
    }
    assert_eq!(runner.stats().await.unwrap().waiting, 1);
    let start = Instant::now();
    drop(generations.pop());
    assert_eq!(finish(waiting).await.0, "my turn");
    assert!(
        start.elapsed() < Duration::from_millis(1000),
        "{:?}",
        start.elapsed()
    );
    // The other answer is not affected.
    assert_eq!(
        finish(generations.pop().unwrap()).await.1.unwrap().tokens,
        40
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_answer_tells_how_far_it_came() {
    let runner = loaded(&runner_mock::spawner(), Options::default()).await;
    let mut generation = runner
        .generate(chat("[[mock: delay-ms 1000; count 40]]"))
        .await
        .unwrap();
    first_word(&mut generation).await;
    generation.cancel();
    let done = finish(generation).await.1.unwrap();
    assert_eq!((done.reason, done.tokens), (StopReason::Cancelled, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_sleeps_costs_only_itself() {
    let runner = spawn(&runner_mock::spawner(), "", weights(""), Options::default())
        .await
        .unwrap();
    let mut load = crate::support::load();
    load.settings.context = 5000;
    runner.load(load, |_| {}).await.unwrap();
    let mut sleeper = runner
        .generate(chat("[[mock: delay-ms 100; count 4000]]"))
        .await
        .unwrap();
    let start = Instant::now();
    // 64 deltas in 6.4 s fill its queue, and 30 s later it is cancelled.
    while start.elapsed() < Duration::from_secs(40) {
        let (text, end) = ask(&runner, "[[mock: delay-ms 500]] I am awake").await;
        end.unwrap();
        assert_eq!(text, "I am awake");
    }
    assert_eq!(
        runner.stats().await.unwrap().active,
        0,
        "the sleeper still decodes"
    );
    let mut words = 0;
    let error = loop {
        match sleeper.next().await.unwrap() {
            Ok(Step::Delta(delta)) => words = delta.tokens,
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::Slow { seconds: 30, .. }),
        "{error:?}"
    );
    assert!((300..400).contains(&words), "{words}");
    assert!(sleeper.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_late_loses_no_text() {
    let runner = spawn(&runner_mock::spawner(), "", weights(""), Options::default())
        .await
        .unwrap();
    let mut load = crate::support::load();
    load.settings.context = 5000;
    runner.load(load, |_| {}).await.unwrap();
    let late = runner
        .generate(chat("[[mock: delay-ms 10; count 1000]]"))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (text, end) = finish(late).await;
    end.unwrap();
    assert_eq!(text.split(' ').count(), 1000);
    assert!(text.ends_with(" 999 1000"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_task_is_told_like_that_of_a_process() {
    let spawner = runner_mock::spawner();
    let runner = loaded(&spawner, Options::default()).await;
    let (_, end) = ask(&runner, "[[mock: say ouch; crash-at-token 1 segv]] a b").await;
    let Err(Error::Exited(exit)) = end else {
        panic!("{end:?}")
    };
    assert_eq!(exit.signal(), Some(11));
    assert_eq!(exit.stderr, ["ouch"]);
    let runner = loaded(&spawner, Options::default()).await;
    let exit = runner.stop(Duration::from_secs(10)).await;
    assert!(matches!(exit.cause, Cause::Stopped));
    assert_eq!(exit.status.unwrap().code(), Some(0));
    spawner.drained().await;
}
