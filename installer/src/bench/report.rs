//! The measured table in words.

use super::Options;
use super::start::Start;
use super::statistics::Samples;
use super::versus::Versus;
use crate::machine::Machine;

/// The text that stands between the markers of the page.
pub(super) fn text(
    machine: &Machine,
    options: &Options,
    start: &Start,
    versus: &Versus,
    request: &Samples,
) -> String {
    let cold = if start.cache_emptied {
        "no daemon, page cache emptied"
    } else {
        "no daemon, page cache warm"
    };
    format!(
        "\
Measured on {date} at commit {commit}: {processor}, {memory}, Linux {kernel}, load {load} before the run.
Command: `cargo xtask bench --model {model} --runs {runs}`.
Each cell is a median of {runs} runs (smallest to largest).

| what | slm | llama-server | ratio |
|---|---|---|---|
| one stream, tokens/s, {threads} threads, {answer} tokens | {stream_slm} | {stream_llama} | {stream:.2} |
| prompt of {prompt_tokens} tokens, tokens/s until the first one | {prompt_slm} | {prompt_llama} | {prompt:.2} |
| `slm run {model}` to the first text, {cold}, s | {cold_s} | | |
| `slm run {model}` to the first text, model loaded, s | {warm_s} | | |
| idle daemon, resident, MiB | {idle} | | |
| one request through the daemon, mock runner, ms | {request} | | |

Of {compared} answers, {same} were the same text on both servers.
",
        date = machine.date,
        commit = machine.commit,
        processor = machine.processor,
        memory = machine.memory,
        kernel = machine.kernel,
        load = machine.load,
        model = options.model,
        runs = options.runs,
        threads = versus.threads,
        answer = versus.answer_tokens,
        stream_slm = versus.stream.slm.spread(1),
        stream_llama = versus.stream.llama.spread(1),
        stream = versus.stream.ratio(),
        prompt_tokens = versus.prompt_tokens,
        prompt_slm = versus.prompt.slm.spread(0),
        prompt_llama = versus.prompt.llama.spread(0),
        prompt = versus.prompt.ratio(),
        cold_s = start.cold.spread(2),
        warm_s = start.warm.spread(2),
        idle = start.idle_mib.spread(1),
        request = request.spread(2),
        compared = versus.stream.slm.count(),
        same = versus.same_text,
    )
}
