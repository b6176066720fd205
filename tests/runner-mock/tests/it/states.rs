//! KV states that one runner exports and the next imports.

use std::{fs::File, io::Write as _};

use runner_protocol::{ExportState, HostCacheSetup, Load, State, state::Writer};
use supervisor::{Error, Files, Options, Runner, StateOutcomes};

use crate::support::{ask, load, program, weights};

const WANTED: ExportState = ExportState {
    min_tokens: 2,
    max_bytes: 10_000,
};

fn set_up_host_cache(files: Vec<i32>) -> HostCacheSetup {
    HostCacheSetup {
        model: "m".to_owned(),
        memory: None,
        files,
    }
}

/// A loaded mock that got these saved states before its load.
async fn with(states: Vec<File>) -> Runner {
    let mut files = Files::new();
    let weights_fd = files.push(weights("x"));
    let numbers: Vec<i32> = states.into_iter().map(|file| files.push(file)).collect();
    let runner = runner_mock::spawner()
        .spawn(&program(""), files, Options::default())
        .await
        .unwrap();
    let count = numbers.len();
    assert!(
        runner
            .set_up_host_cache(set_up_host_cache(numbers))
            .await
            .unwrap() as usize
            <= count
    );
    let load = Load {
        weights_fd,
        shard_fds: Vec::new(),
        ..load()
    };
    runner.load(load, |_| {}).await.unwrap();
    runner
}

async fn bytes_of(runner: &Runner, state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < state.head.bytes {
        let part = runner.state_part(bytes.len() as u64).await.unwrap();
        assert!(!part.is_empty());
        bytes.extend(part);
    }
    bytes
}

/// The file of a state, with the lowest bit of a byte flipped if `flip` gives one.
fn file_of(state: &State, bytes: &[u8], flip: Option<usize>) -> File {
    let (mut writer, start) = Writer::begin(&state.head);
    assert!(writer.part(bytes));
    let mut all = [&start[..], bytes, &writer.end()].concat();
    if let Some(at) = flip {
        let at = all.len() - 1 - at;
        all[at] ^= 1;
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&all).unwrap();
    file
}

#[tokio::test]
async fn what_one_runner_hands_out_another_goes_on_from() {
    let first = with(Vec::new()).await;
    let (_, end) = ask(&first, "one two three four").await;
    assert_eq!(end.unwrap().cached_tokens, 0);
    let state = first.export_state(WANTED).await.unwrap().unwrap();
    let bytes = bytes_of(&first, &state).await;
    assert_eq!(
        first.export_state(WANTED).await.unwrap(),
        None,
        "it is handed out once"
    );
    assert!(state.instead_of.is_empty());

    let second = with(vec![file_of(&state, &bytes, None)]).await;
    let (_, end) = ask(&second, "one two three four").await;
    let end = end.unwrap();
    assert_eq!(end.cached_tokens, end.prompt_tokens);
    let mut outcomes = second.state_outcomes();
    let used = outcomes.wait_for(|outcomes| outcomes.used == 1).await;
    assert_eq!(used.unwrap().refused, 0);
}

#[tokio::test]
async fn a_damaged_state_is_refused_and_the_answer_is_as_ever() {
    let first = with(Vec::new()).await;
    ask(&first, "one two three four").await.1.unwrap();
    let state = first.export_state(WANTED).await.unwrap().unwrap();
    let bytes = bytes_of(&first, &state).await;
    // In the check, in the state, and in the head.
    for at in [0, 20, bytes.len() + 40] {
        let second = with(vec![file_of(&state, &bytes, Some(at))]).await;
        let (text, end) = ask(&second, "one two three four").await;
        assert_eq!(
            (text.as_str(), end.unwrap().cached_tokens),
            ("one two three four", 0)
        );
        let mut outcomes = second.state_outcomes();
        let refused = outcomes
            .wait_for(|outcomes| outcomes.refused == 1)
            .await
            .unwrap();
        assert_eq!(
            *refused,
            StateOutcomes {
                used: 0,
                refused: 1
            }
        );
    }
}

#[tokio::test]
async fn what_is_kept_is_said_once_and_before_the_load() {
    let runner = with(Vec::new()).await;
    assert!(matches!(
        runner
            .set_up_host_cache(set_up_host_cache(Vec::new()))
            .await,
        Err(Error::Failed(_))
    ));
    assert!(matches!(runner.state_part(1).await, Err(Error::Failed(_))));
    assert_eq!(runner.state_part(0).await.unwrap(), []);
}
