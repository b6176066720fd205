//! Images, from a typed path to an answer that depends on them.

use std::io::Write as _;
use std::process::Stdio;

use gguf_writer::{tiny, vision};

use crate::harness::{Engine, Home, Outcome};

/// A BMP file of 64 × 48 pixels in this color.
fn bmp(color: [u8; 3]) -> Vec<u8> {
    let (width, height) = (64_u32, 48_u32);
    let size = width * height * 3;
    let mut file = b"BM".to_vec();
    file.extend(
        [54 + size, 0, 54, 40, width, height]
            .map(u32::to_le_bytes)
            .concat(),
    );
    file.extend([1_u16, 24].map(u16::to_le_bytes).concat());
    file.extend([0, size, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    file.extend(color.repeat((width * height) as usize));
    file
}

/// A home with the vision model `eye`.
fn seeing(engine: Engine) -> Home {
    let home = Home::new(engine);
    home.file("tiny.gguf", tiny::llama(7));
    home.file("mmproj.gguf", vision::projector(7, vision::Kind::Causal));
    home.file("cat.bmp", bmp([200, 10, 10]));
    home.file("dog.bmp", bmp([10, 10, 200]));
    home
}

fn create(home: &Home) {
    home.create("eye", "FROM ./tiny.gguf\nFROM ./mmproj.gguf\n")
        .ok();
}

#[test]
fn a_path_in_the_prompt_shows_the_image() {
    let home = seeing(Engine::Mock);
    let _daemon = home.daemon();
    create(&home);
    let outcome = home.slm(&["run", "eye", "what is in ./cat.bmp, and in ./none.bmp?"]);
    assert!(
        outcome.stderr.contains("added the image `./cat.bmp`"),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        outcome.ok(),
        "[image-1:9270]what is in , and in ./none.bmp?\n"
    );
    // Paths in piped text are ignored.
    assert_eq!(
        piped(&home, b"see ./cat.bmp", &["run", "eye"]).ok(),
        "see ./cat.bmp\n"
    );
    let file = bmp([1, 2, 3]);
    assert_eq!(
        piped(&home, &file, &["run", "eye", "what is this?"]).ok(),
        "[image-1:9270]what is this?\n"
    );
    home.file("fake.png", "hello");
    let said = home.slm(&["run", "eye", "./fake.png"]).fails(1);
    assert!(said.contains("`./fake.png` is not an image file"), "{said}");
}

fn piped(home: &Home, bytes: &[u8], arguments: &[&str]) -> Outcome {
    let mut child = home
        .program("slm")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slm starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(bytes).expect("slm reads");
    drop(stdin);
    Outcome::of(child.wait_with_output().expect("slm ends"))
}

#[test]
fn a_model_without_vision_gets_the_path_as_text() {
    let home = seeing(Engine::Mock);
    let _daemon = home.daemon();
    home.create_tiny("blind");
    let outcome = home.slm(&["run", "blind", "write HTML that shows ./cat.bmp"]);
    assert!(
        outcome.stderr.contains("`blind` cannot see images"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.ok(), "write HTML that shows ./cat.bmp\n");
    let file = bmp([1, 2, 3]);
    let said = piped(&home, &file, &["run", "blind", "what is this?"]).fails(1);
    assert!(said.contains("does not support vision"), "{said}");
}

#[test]
fn the_real_engine_distinguishes_images() {
    let home = seeing(Engine::Real);
    let _daemon = home.daemon();
    create(&home);
    let said = |prompt: &str| {
        let arguments = [
            "run",
            "eye",
            "-p",
            "temperature=0",
            "-p",
            "num_predict=24",
            prompt,
        ];
        home.slm(&arguments).ok()
    };
    let cat = said("see ./cat.bmp");
    assert_eq!(cat, said("see ./cat.bmp"));
    assert_ne!(cat, said("see ./dog.bmp"));
    home.file("bad.png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDRnothing");
    let failure = home.slm(&["run", "eye", "see ./bad.png"]).fails(1);
    assert!(failure.contains("image 1 cannot be used"), "{failure}");
    assert_eq!(cat, said("see ./cat.bmp"), "the runner lives on");
    home.assert_clean();
}
