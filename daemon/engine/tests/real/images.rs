//! Prompts that show images, with tiny projectors of all kinds.

use std::{fs::File, io::Cursor, os::fd::AsRawFd};

use gguf_writer::vision::{self, Kind};
use image::{ImageFormat, Rgb, RgbImage};
use runner_protocol::{
    Bytes, Call, Done, Event, FailureKind, Generate, Image, Images, Load, Loaded, Message,
    Overflow, Projector, Prompt, Stats, StopReason, Template, images::placeholder,
};

use crate::harness::{Runner, greedy, inheritable};

const KINDS: [Kind; 3] = [Kind::Causal, Kind::Whole, Kind::Places];

/// Cells of an image of 64 × 32 pixels.
fn cells(kind: Kind) -> u32 {
    match kind {
        Kind::Causal | Kind::Whole => 16,
        Kind::Places => 8,
    }
}

/// A runner with a model and a projector, and the file that it inherited.
struct Seeing {
    runner: Runner,
    loaded: Loaded,
    _projector: File,
}

impl Seeing {
    fn new(kind: Kind) -> Self {
        Self::with(kind, |_| ())
    }

    fn with(kind: Kind, change: impl FnOnce(&mut Load)) -> Self {
        let model = match kind {
            Kind::Places => vision::model_with_places(1),
            Kind::Causal | Kind::Whole => gguf_writer::tiny::llama(1),
        };
        let projector = inheritable(&vision::projector(1, kind));
        let mut runner = Runner::start(&model);
        let given = given(&projector);
        let loaded = runner.load(|load| {
            load.projector = Some(given);
            change(load);
        });
        Self {
            runner,
            loaded: loaded.unwrap(),
            _projector: projector,
        }
    }
}

fn given(projector: &File) -> Projector {
    Projector {
        fd: projector.as_raw_fd(),
        digest: "0".repeat(64),
    }
}

/// A PNG of 64 × 32 pixels that depends on the number.
fn picture(number: u32) -> Vec<u8> {
    let picture = RgbImage::from_fn(64, 32, |x, y| {
        let value = |shift: u32| ((x * 7 + y * 3) * (number + 1) + number * shift) as u8;
        Rgb([value(50), value(90), value(170)])
    });
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A question whose text has `@` for each image.
fn ask(text: &str, files: &[Vec<u8>]) -> Generate {
    let mark = "image-";
    let mut text = text.to_owned();
    let mut images = Vec::new();
    for (file, number) in files.iter().zip(1..) {
        text = text.replacen('@', &placeholder(mark, number), 1);
        images.push(Image {
            number,
            file: Bytes(file.clone()),
        });
    }
    Generate {
        images: Some(Images {
            mark: mark.into(),
            images,
        }),
        ..greedy(&text, 24)
    }
}

fn call(generate: Generate) -> Call {
    Call::Generate(Box::new(generate))
}

/// What is said about the image of this number, by a runner that has seen nothing before.
fn fresh(kind: Kind, text: &str, numbers: &[u32]) -> (String, Done) {
    let files: Vec<_> = numbers.iter().map(|number| picture(*number)).collect();
    Seeing::new(kind).runner.generate(ask(text, &files))
}

/// How likely each token of such an answer was, which shows differences that are too small for other words.
fn likelihoods(kind: Kind, text: &str, numbers: &[u32]) -> Vec<f32> {
    let files: Vec<_> = numbers.iter().map(|number| picture(*number)).collect();
    let mut runner = Seeing::new(kind).runner;
    let id = runner.send(call(Generate {
        logprobs: Some(0),
        ..ask(text, &files)
    }));
    let mut found = Vec::new();
    loop {
        match runner.event(id) {
            Event::Delta(delta) => {
                found.extend(delta.logprobs.iter().map(|token| token.chosen.logprob));
            }
            Event::Started { .. } | Event::Prefill { .. } | Event::EncodingImages { .. } => {}
            Event::Done(_) => return found,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_said_depends_on_what_is_seen() {
    for kind in KINDS {
        let text = "hello the sky @ and the sky is";
        let mut seeing = Seeing::new(kind);
        assert!(seeing.loaded.sees_images);
        let (first, done) = seeing.runner.generate(ask(text, &[picture(1)]));
        let (again, _) = seeing.runner.generate(ask(text, &[picture(1)]));
        let (other, _) = seeing.runner.generate(ask(text, &[picture(2)]));
        let (blind, plain) = seeing.runner.generate(greedy(&text.replace('@', ""), 24));
        assert_eq!(first, again, "{kind:?}");
        assert_ne!(first, other, "{kind:?}");
        assert_ne!(first, blind, "{kind:?}");
        assert_eq!(fresh(kind, text, &[2]).0, other, "{kind:?}");
        assert_eq!(done.reason, StopReason::Length);
        // Besides its cells an image has tokens around it, of the names that the projector gives its beginning and end.
        assert!(
            done.prompt_tokens >= plain.prompt_tokens + cells(kind),
            "{kind:?}: {done:?}"
        );
        // Nobody can go on by tokens where there are none.
        assert!(done.all_tokens.is_empty() && !plain.all_tokens.is_empty());
    }
}

#[test]
fn images_stand_where_they_are_shown_in_any_number() {
    for kind in KINDS {
        let said = |text: &str, numbers: &[u32]| likelihoods(kind, text, numbers);
        let both = said("@ hello @", &[1, 2]);
        assert_ne!(both, said("@ hello @", &[2, 1]), "{kind:?}");
        assert_ne!(both, said("@@ hello", &[1, 2]), "{kind:?}");
        // The same one twice, with nothing between.
        let length = |text, numbers: &[u32]| fresh(kind, text, numbers).1.prompt_tokens;
        let (two, one) = (length("@@", &[1, 1]), length("@", &[1]));
        assert!(two >= one + cells(kind), "{kind:?}: {two} {one}");
    }
}

#[test]
fn a_beginning_with_an_image_is_shared_and_two_images_are_never_taken_for_one() {
    for kind in KINDS {
        let beginning = "the sky is the sky and the sky is in the sky";
        let mut seeing = Seeing::new(kind);
        let mut ask_for = |text: &str, number| {
            let text = format!("{beginning}{text}");
            seeing.runner.generate(ask(&text, &[picture(number)]))
        };
        let (_, first) = ask_for("@ hello", 1);
        let (again, known) = ask_for("@ and on", 1);
        let (other, foreign) = ask_for("@ and on", 2);
        // All up to the end of the image, and the text before the other one.
        assert!(known.cached_tokens > foreign.cached_tokens, "{kind:?}");
        assert!(
            known.cached_tokens >= foreign.cached_tokens + cells(kind),
            "{kind:?}: {known:?} {foreign:?}"
        );
        assert!(foreign.cached_tokens >= 16 && first.cached_tokens == 0);
        let text = format!("{beginning}@ and on");
        assert_eq!(again, fresh(kind, &text, &[1]).0, "{kind:?}");
        assert_eq!(other, fresh(kind, &text, &[2]).0, "{kind:?}");
    }
}

#[test]
fn several_streams_see_their_own_images_side_by_side() {
    for kind in KINDS {
        let text = |number: u32| format!("{} @ the sky", "hello ".repeat(number as usize));
        let alone: Vec<String> = (0..4).map(|it| fresh(kind, &text(it), &[it]).0).collect();
        let mut seeing = Seeing::with(kind, |load| load.settings.batch = 16);
        let blind = seeing.runner.send(call(greedy("the sky is in", 60)));
        let ids: Vec<u64> = (0..4)
            .map(|it| seeing.runner.send(call(ask(&text(it), &[picture(it)]))))
            .collect();
        let said: Vec<String> = ids
            .into_iter()
            .map(|id| seeing.runner.answer(id).0)
            .collect();
        assert_eq!(said, alone, "{kind:?}");
        let (text, _) = seeing.runner.answer(blind);
        assert_eq!(
            text,
            Runner::loaded_of(kind, "the sky is in", 60),
            "{kind:?}"
        );
    }
}

impl Runner {
    /// What the model of this kind says to a text.
    fn loaded_of(kind: Kind, text: &str, tokens: u32) -> String {
        Seeing::new(kind).runner.generate(greedy(text, tokens)).0
    }
}

#[test]
fn a_conversation_shows_images() {
    let mut seeing = Seeing::new(Kind::Causal);
    let mut chat = |number| {
        let mut generate = ask("@", &[picture(number)]);
        let content = format!("what is {}", placeholder("image-", 1));
        generate.prompt = Prompt::Chat(Template {
            messages: vec![Message {
                role: "user".into(),
                content,
                ..Message::default()
            }],
            add_generation_prompt: true,
            ..Template::default()
        });
        seeing.runner.generate(generate).0
    };
    let first = chat(1);
    assert_eq!(first, chat(1));
    assert_ne!(first, chat(2));
}

#[test]
fn images_count_as_the_tokens_that_they_become() {
    let mut seeing = Seeing::with(Kind::Causal, |load| load.settings.context = 64);
    let files: Vec<_> = (0..4).map(picture).collect();
    let mut generate = ask("@@@@", &files);
    // It is never cut, whatever is asked for.
    generate.overflow = Overflow::Truncate { keep: 0 };
    let (kind, message) = seeing.runner.fails(call(generate));
    assert_eq!(kind, FailureKind::ContextOverflow);
    assert!(message.contains("64"), "{message}");
    let (_, done) = seeing.runner.generate(ask("@@@", &files[..3]));
    assert!(done.prompt_tokens >= 48 && done.prompt_tokens + done.tokens <= 64);
}

#[test]
fn hostile_images_get_one_error_each_and_disturb_nobody() {
    let mut seeing = Seeing::new(Kind::Causal);
    let alone = seeing.runner.generate(greedy("the sky", 400)).0;
    let stream = seeing.runner.send(call(greedy("the sky", 400)));
    let good = picture(1);
    let header = |width: u32, height: u32| {
        // The checksum is wrong, too; whichever is found first.
        let mut file = good.clone();
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        file
    };
    let hostile = [
        Vec::new(),
        b"hello".to_vec(),
        vec![0; 1000],
        good[..good.len() / 2].to_vec(),
        good[..30].to_vec(),
        header(100_000, 1),
        header(u32::MAX, u32::MAX),
        header(0, 0),
        b"GIF89a\xff\xff\xff\xff\x80\0\0".to_vec(),
        b"BM\xff\xff\xff\xff\0\0\0\0\x36\0\0\0\x28\0\0\0\xff\xff\xff\x7f\xff\xff\xff\x7f\x01\0\x18\0".to_vec(),
        b"RIFF\xff\xff\xff\xffWEBPVP8X".to_vec(),
        b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(),
    ];
    for (at, file) in hostile.into_iter().enumerate() {
        let (kind, message) = seeing.runner.fails(call(ask("@", &[file])));
        assert_eq!(kind, FailureKind::Invalid, "{at}: {message}");
        assert!(
            message.starts_with("image 1 cannot be used: "),
            "{at}: {message}"
        );
    }
    // Of several images the bad one is named.
    let files = [picture(1), b"bad".to_vec()];
    let (_, message) = seeing.runner.fails(call(ask("@@", &files)));
    assert!(message.starts_with("image 2 "), "{message}");
    assert_eq!(seeing.runner.answer(stream).0, alone);
    let (_, done) = seeing.runner.generate(ask("@", &[good]));
    assert_eq!(done.tokens, 24);
}

#[test]
fn the_smallest_and_the_longest_images_are_seen() {
    for kind in KINDS {
        let mut seeing = Seeing::new(kind);
        for (width, height) in [(1, 1), (2, 100), (640, 10), (10, 640), (301, 299)] {
            let mut file = Cursor::new(Vec::new());
            RgbImage::new(width, height)
                .write_to(&mut file, ImageFormat::Png)
                .unwrap();
            let (_, done) = seeing
                .runner
                .generate(ask("hello @ sky", &[file.into_inner()]));
            assert_eq!(done.tokens, 24, "{kind:?} {width} × {height}");
        }
    }
}

#[test]
fn places_and_images_must_belong_together() {
    let mut seeing = Seeing::new(Kind::Causal);
    let mut fails = |generate| {
        let (kind, message) = seeing.runner.fails(call(generate));
        assert_eq!(kind, FailureKind::Invalid, "{message}");
        message
    };
    assert!(fails(ask("no place", &[picture(1)])).contains("leaves image 1 out"));
    let twice = Generate {
        prompt: greedy(&placeholder("image-", 1).repeat(2), 1).prompt,
        ..ask("@", &[picture(1)])
    };
    assert!(fails(twice).contains("twice"));
    let tokens = Generate {
        prompt: Prompt::Tokens(vec![5, 6]),
        ..ask("@", &[picture(1)])
    };
    assert!(fails(tokens).contains("tokens"));
    assert!(fails(ask("@", &[])).contains("1 to 16 images"));
    let many: Vec<_> = (0..17).map(|_| b"x".to_vec()).collect();
    assert!(fails(ask("@", &many)).contains("1 to 16 images"));
}

#[test]
fn a_model_without_a_projector_says_so() {
    let mut runner = Runner::loaded(|_| ());
    let (kind, message) = runner.fails(call(ask("@", &[picture(1)])));
    assert_eq!(kind, FailureKind::Invalid);
    assert!(message.contains("no projector"), "{message}");
}

#[test]
fn a_projector_that_cannot_be_used_is_refused_with_a_reason() {
    let writer = || vision::writer(1, Kind::Causal);
    let fails = |projector: Vec<u8>| {
        let file = inheritable(&projector);
        let mut runner = Runner::start(&gguf_writer::tiny::llama(1));
        let given = given(&file);
        let failure = runner
            .load(|load| load.projector = Some(given))
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unsupported, "{failure:?}");
        assert!(failure.message.contains("projector"), "{failure:?}");
        assert!(!failure.message.contains("no reason"), "{failure:?}");
        failure.message
    };
    fails(
        writer()
            .replace("clip.projector_type", "nothing")
            .to_bytes(),
    );
    fails(writer().without("clip.vision.image_size").to_bytes());
    fails(writer().without_tensors().to_bytes());
    fails(b"GGUF".to_vec());
    let other = fails(
        writer()
            .replace("clip.projector_type", "hunyuanvl")
            .to_bytes(),
    );
    assert!(
        other.contains("'hunyuanvl' are not supported yet"),
        "{other}"
    );
}

#[test]
fn a_request_can_be_called_off_while_its_images_are_looked_at() {
    let mut seeing = Seeing::new(Kind::Causal);
    let runner = &mut seeing.runner;
    let ids: Vec<u64> = (0..20)
        .map(|number| runner.send(call(ask("@ hello", &[picture(number)]))))
        .collect();
    for target in &ids {
        runner.send(Call::Cancel { target: *target });
    }
    for id in ids {
        assert!(matches!(runner.end(id), Event::Done(_)), "{id}");
    }
    // Nothing of them is left.
    let (_, done) = runner.generate(ask("@", &[picture(99)]));
    assert_eq!(done.tokens, 24);
    match runner.call(Call::Stats) {
        Event::Stats(Stats {
            active, waiting, ..
        }) => assert_eq!((active, waiting), (0, 0)),
        other => panic!("{other:?}"),
    }
}
