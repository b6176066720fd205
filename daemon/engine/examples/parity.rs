//! Compares greedy answers of the built `slm-runner` with those of llama.cpp's own program on the same model.
//!
//! ```text
//! cargo run --release -p engine --example parity -- <model.gguf> <llama-completion> [slm-runner]
//! ```
//! Two correct engines may part where the two best tokens are nearly equally good:
//! other kernels and other batch shapes add the same numbers in another order.
//! So where they part, the model is asked here how good both tokens are, twice: token by token, and in one batch with its attention
//! computed in another way. Batch shapes alone do not tell: AMX adds in the same order whatever the shape.
//! How much the two answers differ is the size of rounding on this machine; the gap between the tokens must not be larger than a few times that.
//! The exit code is 0 when every prompt gives the same text or parts within rounding.

#![expect(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "it starts the two programs that it compares"
)]

use std::{
    env,
    fs::File,
    num::NonZeroU32,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use llama_cpp_2::{
    context::params::LlamaContextParams,
    llama_backend::{LlamaBackend, load_backends},
    llama_batch::LlamaBatch,
    model::{LlamaModel, params::LlamaModelParams},
    token::LlamaToken,
};
use llama_cpp_sys_2 as sys;
use runner_protocol::{
    Call, Done, Event, Generate, Hello, KvType, Load, LoadSettings, Prompt, Reply, Request,
    Sampling, Speculation, frame,
};

const PROMPTS: [&str; 8] = [
    "The sky is blue because",
    "Once upon a time, in a small village by the sea,",
    "A list of the planets, from the sun outwards:\n1.",
    "def fibonacci(n):\n    \"\"\"Returns the n-th Fibonacci number.\"\"\"\n",
    "Die Hauptstadt von Frankreich ist",
    "<|im_start|>user\nWhy is the sky blue? Answer in two sentences.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nWrite a short poem about rain.<|im_end|>\n<|im_start|>assistant\n",
    "In mathematics, a prime number is",
];

const TOKENS: u32 = 128;
const CONTEXT: u32 = 2048;
const THREADS: u32 = 2;

/// Threads that wait for each other give up their processor soon, as under the daemon; else a busy machine takes minutes.
const SPIN: (&str, &str) = ("GOMP_SPINCOUNT", "1000");

/// A gap up to so many logits is rounding in any case: it moves a probability by less than a twentieth.
const SMALL_GAP: f32 = 0.05;

/// A gap up to so many times the measured rounding is rounding too: the peer's rounding differs from ours and from itself.
const ROUNDINGS: f32 = 4.0;

fn main() -> Result<ExitCode> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let (model, peer, runner) = match arguments.as_slice() {
        [model, peer] => (model, peer, beside_this_program("../slm-runner")?),
        [model, peer, runner] => (model, peer, runner.clone()),
        _ => bail!("usage: parity <model.gguf> <llama-completion> [slm-runner]"),
    };
    let mut ours = Ours::start(&runner, model)?;
    let mut judge = None;
    let mut failed = 0;
    for prompt in PROMPTS {
        let (text, done) = ours.answer(prompt)?;
        let theirs = peer_answer(peer, model, prompt)?;
        let speed = f64::from(done.tokens) / Duration::from_nanos(done.decode_ns).as_secs_f64();
        let verdict = if text.trim_end() == theirs.trim_end() {
            Verdict::Same
        } else {
            let judge = match &judge {
                Some(judge) => judge,
                None => judge.insert(Judge::load(model)?),
            };
            judge.part(&done, &theirs)?
        };
        println!(
            "{:<10} {:>3} tokens {speed:>6.1}/s  {:?}",
            verdict.word(),
            done.tokens,
            shortened(prompt)
        );
        if let Verdict::Parted(parted) = verdict {
            parted.print();
            failed += usize::from(!parted.within_rounding());
        }
    }
    println!(
        "{} of {} prompts agree or part within rounding",
        PROMPTS.len() - failed,
        PROMPTS.len()
    );
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn beside_this_program(name: &str) -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name(name))
}

fn shortened(prompt: &str) -> String {
    prompt.chars().take(60).collect()
}

/// The built runner with the model loaded.
struct Ours {
    socket: UnixStream,
    last_id: u64,
}

impl Ours {
    fn start(program: &Path, model: &Path) -> Result<Self> {
        let weights =
            File::open(model).with_context(|| format!("cannot open {}", model.display()))?;
        rustix::io::fcntl_setfd(&weights, rustix::io::FdFlags::empty())?;
        let (mut socket, theirs) = UnixStream::pair()?;
        Command::new(program)
            .env(SPIN.0, SPIN.1)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let _: Hello = frame::read(&mut socket)?;
        let mut ours = Self { socket, last_id: 0 };
        let load = Load {
            weights_fd: weights.as_raw_fd(),
            shard_fds: Vec::new(),
            adapters: Vec::new(),
            sequences: 1,
            settings: LoadSettings {
                context: CONTEXT,
                batch: 512,
                threads: THREADS,
                gpu_layers: 0,
                host_experts: 0,
                main_gpu: 0,
                mmap: true,
                kv_type: KvType::F16,
            },
            chat_template: None,
            draft_fd: None,
            speculation: Speculation::Auto,
            projector: None,
        };
        ours.call(Call::Load(load), |event| match event {
            Event::Loaded(loaded) => {
                println!(
                    "{} loaded in {:?}",
                    loaded.device,
                    Duration::from_nanos(loaded.load_ns)
                );
                Ok(Some(()))
            }
            Event::Failed(failure) => bail!("{}", failure.message),
            _ => Ok(None),
        })?;
        Ok(ours)
    }

    fn answer(&mut self, prompt: &str) -> Result<(String, Done)> {
        let generate = Generate {
            sampling: Sampling::greedy(),
            max_tokens: Some(TOKENS),
            ..Generate::new(Prompt::Text {
                text: prompt.into(),
                special: true,
            })
        };
        let mut text = String::new();
        let done = self.call(Call::Generate(Box::new(generate)), |event| match event {
            Event::Delta(delta) => {
                text.push_str(&delta.text);
                Ok(None)
            }
            Event::Done(done) => Ok(Some(*done)),
            Event::Failed(failure) => bail!("{}", failure.message),
            _ => Ok(None),
        })?;
        Ok((text, done))
    }

    /// Sends a call and passes its events on until one gives a result.
    fn call<T>(
        &mut self,
        call: Call,
        mut on_event: impl FnMut(Event) -> Result<Option<T>>,
    ) -> Result<T> {
        self.last_id += 1;
        frame::write(
            &mut self.socket,
            &Request {
                id: self.last_id,
                call,
            },
        )?;
        loop {
            let reply: Reply = frame::read(&mut self.socket)?;
            if let Some(result) = on_event(reply.event)? {
                return Ok(result);
            }
        }
    }
}

/// What llama.cpp's program writes after the prompt.
fn peer_answer(program: &Path, model: &Path, prompt: &str) -> Result<String> {
    let output = Command::new(program)
        .arg("-m")
        .arg(model)
        .args([
            "-p",
            prompt,
            "-n",
            &TOKENS.to_string(),
            "-c",
            &CONTEXT.to_string(),
            "-t",
            &THREADS.to_string(),
        ])
        .args([
            "--temp",
            "0",
            "-no-cnv",
            "--no-display-prompt",
            "--no-warmup",
        ])
        .env(SPIN.0, SPIN.1)
        // Its own libraries lie beside it; `cargo run` would have it load ours, which have the same names.
        .env(
            "LD_LIBRARY_PATH",
            program.parent().unwrap_or(Path::new("/")),
        )
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    // It ends its output with line feeds, and tells when the model ended the answer.
    let text = text.trim_end();
    Ok(text.strip_suffix(" [end of text]").unwrap_or(text).into())
}

enum Verdict {
    Same,
    Parted(Parted),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Parted(parted) if parted.within_rounding() => "rounding",
            Self::Parted(_) => "DIFFERENT",
        }
    }
}

/// The place where two answers part.
struct Parted {
    /// Tokens of the answer before it.
    after: usize,
    /// The two best tokens there, with their logits by both ways to compute them.
    best: [(String, [f32; 2]); 2],
    theirs: String,
}

impl Parted {
    fn gap(&self) -> f32 {
        (self.best[0].1[0] - self.best[1].1[0]).abs()
    }

    fn rounding(&self) -> f32 {
        self.best
            .iter()
            .map(|(_, logits)| (logits[0] - logits[1]).abs())
            .fold(0.0, f32::max)
    }

    fn within_rounding(&self) -> bool {
        self.gap() <= (ROUNDINGS * self.rounding()).max(SMALL_GAP)
    }

    fn print(&self) {
        println!(
            "           parts after {} tokens, where llama.cpp goes on with {:?}",
            self.after,
            shortened(&self.theirs)
        );
        for (text, logits) in &self.best {
            println!(
                "           {text:?}: {:.4} token by token, {:.4} in one batch without flash attention",
                logits[0], logits[1]
            );
        }
        println!(
            "           gap {:.4}, rounding {:.4}",
            self.gap(),
            self.rounding()
        );
    }
}

/// The model again, to be asked how good tokens are.
struct Judge {
    backend: LlamaBackend,
    model: LlamaModel,
}

impl Judge {
    fn load(path: &Path) -> Result<Self> {
        load_backends();
        let mut backend = LlamaBackend::init()?;
        backend.void_logs();
        let model = LlamaModel::load_from_file(&backend, path, &LlamaModelParams::default())?;
        Ok(Self { backend, model })
    }

    /// Finds where our answer leaves theirs, and what the model thinks there.
    fn part(&self, done: &Done, theirs: &str) -> Result<Verdict> {
        let tokens: Vec<LlamaToken> = done
            .all_tokens
            .iter()
            .copied()
            .map(LlamaToken::new)
            .collect();
        let prompt = done.prompt_tokens as usize;
        let text_to =
            |end: usize| String::from_utf8_lossy(&self.text(&tokens[prompt..end])).into_owned();
        let place = (prompt..tokens.len())
            .find(|&at| !theirs.starts_with(text_to(at + 1).trim_end_matches('\u{fffd}')));
        let place = place.unwrap_or(tokens.len());
        let before = &tokens[..place];
        let one_by_one = self.logits(before, prompt, sys::LLAMA_FLASH_ATTN_TYPE_ENABLED)?;
        let at_once = self.logits(before, before.len(), sys::LLAMA_FLASH_ATTN_TYPE_DISABLED)?;
        let mut order: Vec<usize> = (0..one_by_one.len()).collect();
        order.sort_by(|&a, &b| one_by_one[b].total_cmp(&one_by_one[a]));
        let best = [order[0], order[1]].map(|token| {
            let text = self.text(&[LlamaToken::new(i32::try_from(token).expect("a token"))]);
            (
                String::from_utf8_lossy(&text).into_owned(),
                [one_by_one[token], at_once[token]],
            )
        });
        let theirs = theirs
            .get(text_to(place).len()..)
            .unwrap_or_default()
            .into();
        Ok(Verdict::Parted(Parted {
            after: place - prompt,
            best,
            theirs,
        }))
    }

    fn text(&self, tokens: &[LlamaToken]) -> Vec<u8> {
        tokens
            .iter()
            .flat_map(|&token| self.model.vocab().token_to_piece(token, false, None))
            .collect()
    }

    /// Logits after these tokens, of which the first `at_once` are computed in one batch and the others one by one.
    fn logits(
        &self,
        tokens: &[LlamaToken],
        at_once: usize,
        attention: sys::llama_flash_attn_type,
    ) -> Result<Vec<f32>> {
        let threads = i32::try_from(THREADS)?;
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(CONTEXT))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_flash_attention_policy(attention);
        let mut context = self.model.new_context(&self.backend, params)?;
        let mut batch = LlamaBatch::new(CONTEXT as usize, 1);
        let (first, rest) = tokens.split_at(at_once);
        let mut position = 0;
        for part in std::iter::once(first).chain(rest.chunks(1)) {
            batch.clear();
            for (at, &token) in part.iter().enumerate() {
                batch.add(token, position, &[0], at + 1 == part.len())?;
                position += 1;
            }
            context.decode(&mut batch)?;
        }
        Ok(context.get_logits_ith(batch.n_tokens() - 1).to_vec())
    }
}
