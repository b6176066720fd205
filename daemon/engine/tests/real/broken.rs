//! Broken models, broken settings, broken frames.

use runner_protocol::{Call, FailureKind, Load};

use crate::harness::{Runner, greedy};

#[test]
fn a_file_that_is_no_model_is_refused_with_a_reason() {
    let whole = gguf_writer::tiny::llama(1);
    let cut = &whole[..whole.len() / 2];
    let noise: Vec<u8> = (0..10_000u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for bytes in [&[], &whole[..10], cut, noise.as_slice()] {
        let mut runner = Runner::start(bytes);
        let failure = runner.load(|_| ()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unsupported, "{failure:?}");
        // The reason, not the name that the file has in this process.
        assert!(
            !failure.message.contains("no reason") && !failure.message.contains("/proc"),
            "{failure:?}"
        );
        assert_eq!(runner.hang_up().code(), Some(0));
    }
}

#[test]
fn an_unknown_architecture_is_refused_by_name() {
    let model = gguf_writer::tiny::writer(1)
        .replace("general.architecture", "perpetuum")
        .to_bytes();
    let failure = Runner::start(&model).load(|_| ()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert!(failure.message.contains("perpetuum"), "{failure:?}");
}

#[test]
fn a_trained_context_beyond_all_numbers_is_no_obstacle() {
    let model = gguf_writer::tiny::writer(1)
        .replace("llama.context_length", u32::MAX)
        .to_bytes();
    let mut runner = Runner::start(&model);
    assert_eq!(runner.load(|_| ()).unwrap().trained_context, u32::MAX);
    assert_eq!(runner.generate(greedy("hello", 4)).1.tokens, 4);
}

#[test]
fn settings_out_of_range_are_refused_and_the_next_load_works() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    let wrong: [fn(&mut Load); 6] = [
        |load| load.settings.context = 2_000_000_000,
        |load| load.settings.context = 0,
        |load| load.sequences = 0,
        |load| load.settings.batch = 0,
        |load| load.weights_fd = 999,
        |load| load.weights_fd = 0,
    ];
    for wrong in wrong {
        assert_eq!(runner.load(wrong).unwrap_err().kind, FailureKind::Invalid);
    }
    runner.load(|_| ()).unwrap();
}

#[test]
fn the_largest_context_is_made_or_refused() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    // 256 MiB for the tiny model: a small machine refuses, a large one makes it, and neither kills the process.
    match runner.load(|load| load.settings.context = 1 << 20) {
        Ok(loaded) => assert_eq!(loaded.context, 1 << 20),
        Err(failure) => assert_eq!(failure.kind, FailureKind::OutOfMemory),
    }
    runner.hang_up();
}

#[test]
fn calls_before_a_load_and_a_second_load_are_refused() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    assert_eq!(
        runner.fails(Call::Generate(Box::new(greedy("a", 1)))).0,
        FailureKind::Invalid
    );
    assert_eq!(runner.fails(Call::Stats).0, FailureKind::Invalid);
    runner.send(Call::Cancel { target: 1 });
    runner.load(|_| ()).unwrap();
    assert_eq!(runner.load(|_| ()).unwrap_err().kind, FailureKind::Invalid);
    assert_eq!(runner.generate(greedy("hello", 4)).1.tokens, 4);
}

#[test]
fn frames_that_are_none_end_the_process_with_an_error() {
    let broken: [&[u8]; 4] = [
        // MessagePack that never was.
        &[0, 0, 0, 2, 0xc1, 0xc1],
        // No message.
        &[0, 0, 0, 0],
        // Four gigabytes.
        &[0xff, 0xff, 0xff, 0xff],
        // Arrays in arrays in arrays.
        &[&[0, 0, 0x40, 0], [0x91; 0x4000].as_slice()].concat(),
    ];
    for bytes in broken {
        let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
        runner.send_bytes(bytes);
        assert_eq!(runner.wait().code(), Some(1));
    }
}

#[test]
fn a_frame_cut_short_ends_the_process() {
    let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
    runner.send_bytes(&[0, 0, 1, 0, 0x81]);
    assert_eq!(runner.hang_up().code(), Some(1));
}

#[test]
fn a_backlog_that_nobody_reads_does_not_keep_the_process_alive() {
    let mut runner = Runner::loaded(|load| load.settings.context = 1 << 16);
    for _ in 0..64 {
        runner.send(Call::Generate(Box::new(runner_protocol::Generate {
            max_tokens: None,
            ..greedy("hello", 0)
        })));
    }
    assert_eq!(runner.hang_up().code(), Some(0));
}

#[test]
fn weights_that_are_not_numbers_are_an_error_and_not_an_answer() {
    for value in [f32::NAN, f32::INFINITY] {
        let whole = gguf_writer::tiny::writer(1);
        let tensors = whole.tensors().to_vec();
        let spoiled = tensors.into_iter().map(|mut tensor| {
            if tensor.name == b"output_norm.weight" {
                tensor.data = value.to_le_bytes().repeat(tensor.data.len() / 4);
            }
            tensor
        });
        let add = |writer: gguf_writer::Writer, tensor| writer.tensor(tensor);
        let model = spoiled.fold(whole.without_tensors(), add).to_bytes();
        let mut runner = Runner::start(&model);
        runner.load(|_| ()).unwrap();
        let (kind, message) = runner.fails(Call::Generate(Box::new(greedy("hello", 4))));
        assert_eq!(kind, FailureKind::Internal);
        assert!(message.contains("not finite numbers"), "{message}");
    }
}
