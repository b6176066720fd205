//! The one table of what can be set.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name in `config.yaml`.
    pub name: &'static str,
    /// Name on the command line: the same with hyphens.
    pub flag: &'static str,
    /// Name in the environment.
    pub env: &'static str,
    /// Text it has when nobody sets it; may be empty.
    pub default: &'static str,
    /// What it means, for the reference and `--help`.
    pub about: &'static str,
}

const fn key(
    name: &'static str,
    flag: &'static str,
    env: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        flag,
        env,
        default,
        about,
    }
}

/// Every setting, in the order of the reference.
pub const KEYS: &[Key] = &[
    key(
        "host",
        "host",
        "SLM_HOST",
        "127.0.0.1",
        "Address to listen on, with or without port; loopback only.",
    ),
    key(
        "port",
        "port",
        "SLM_PORT",
        "11435",
        "TCP port; 0 takes a free one.",
    ),
    key(
        "socket",
        "socket",
        "SLM_SOCKET",
        "",
        "Path of the Unix socket; `run/slmd.sock` in the home when empty.",
    ),
    key(
        "keep_alive",
        "keep-alive",
        "SLM_KEEP_ALIVE",
        "5m",
        "How long a model stays loaded after its last request; -1 for ever, 0 not at all.",
    ),
    key(
        "context_length",
        "context-length",
        "SLM_CONTEXT_LENGTH",
        "4096",
        "Context in tokens that a model is loaded with when neither request nor model says otherwise.",
    ),
    key(
        "max_loaded_models",
        "max-loaded-models",
        "SLM_MAX_LOADED_MODELS",
        "3",
        "Most models that are loaded side by side.",
    ),
    key(
        "max_queue",
        "max-queue",
        "SLM_MAX_QUEUE",
        "512",
        "Most requests that wait for models to load; one more is answered with 503.",
    ),
    key(
        "parallel",
        "parallel",
        "SLM_PARALLEL",
        "16",
        "Most requests that one model answers side by side.",
    ),
    key(
        "threads",
        "threads",
        "SLM_THREADS",
        "0",
        "CPU threads of a runner; 0 lets it choose.",
    ),
    key(
        "gpu_layers",
        "gpu-layers",
        "SLM_GPU_LAYERS",
        "-1",
        "Layers that go on a GPU; -1 as many as fit, 0 none.",
    ),
    key(
        "speculative",
        "speculative",
        "SLM_SPECULATIVE",
        "auto",
        "Guess tokens before they are chosen: auto as long as that is measured to be faster, off never.",
    ),
    key(
        "deterministic",
        "deterministic",
        "SLM_DETERMINISTIC",
        "false",
        "Compute each request when nothing else is, so that the same one gives the same text; requests may say otherwise.",
    ),
    key(
        "runner",
        "runner",
        "SLM_RUNNER",
        "",
        "Path of the runner's executable; `slm-runner` next to `slmd` when empty.",
    ),
    key(
        "sandbox",
        "sandbox",
        "SLM_SANDBOX",
        "auto",
        "Confinement of runners: auto as far as the machine can, require fully or not at all, off.",
    ),
    key(
        "state_memory",
        "state-memory",
        "SLM_STATE_MEMORY",
        "auto",
        "Memory of a runner for conversations that left its context, such as `512MiB`; 0 none, auto a sixteenth of what is free.",
    ),
    key(
        "state_disk",
        "state-disk",
        "SLM_STATE_DISK",
        "4GiB",
        "Disk space for conversations of models that left memory; 0 saves none, and removes what is there.",
    ),
    key(
        "pip",
        "pip",
        "SLM_PIP",
        "",
        "Program that fetches Python packages, called as `pip` is; found by itself when empty.",
    ),
    key(
        "library",
        "library",
        "SLM_LIBRARY",
        "",
        "Registry that stands in for the Ollama library, such as https://mirror.example; registry.ollama.ai when empty.",
    ),
    key(
        "mirrors",
        "mirrors",
        "SLM_MIRRORS",
        "",
        "Registries that are asked before others, such as ghcr.io=mirror.example/ghcr; several with commas.",
    ),
    key(
        "hub",
        "hub",
        "HF_ENDPOINT",
        "",
        "Mirror that stands in for the Hugging Face hub; https://huggingface.co when empty.",
    ),
    key(
        "http_proxy",
        "http-proxy",
        "HTTP_PROXY",
        "",
        "Proxy for models that are fetched over http.",
    ),
    key(
        "https_proxy",
        "https-proxy",
        "HTTPS_PROXY",
        "",
        "Proxy for models that are fetched over https.",
    ),
    key(
        "no_proxy",
        "no-proxy",
        "NO_PROXY",
        "",
        "Hosts, domains and networks that are reached without a proxy, separated by commas; loopback always is.",
    ),
    key(
        "ca_file",
        "ca-file",
        "SLM_CA_FILE",
        "",
        "File of certificates (PEM) that are trusted beside the system's, as where a company inspects TLS.",
    ),
    key(
        "max_transfers",
        "max-transfers",
        "SLM_MAX_TRANSFERS",
        "2",
        "Most pulls and pushes that run side by side; more are queued.",
    ),
    key(
        "pull_rate",
        "pull-rate",
        "SLM_PULL_RATE",
        "",
        "Most bytes per second that all pulls take together, such as 20MB/s; no limit when empty.",
    ),
    key(
        "pull_window",
        "pull-window",
        "SLM_PULL_WINDOW",
        "",
        "Time of day in which pulls and pushes move bytes, such as 22:00-06:00; any time when empty.",
    ),
    key(
        "metered",
        "metered",
        "SLM_METERED",
        "false",
        "Whether the network is metered: pulls and pushes wait then, unless they are asked for with `--now`.",
    ),
    key(
        "load_timeout",
        "load-timeout",
        "SLM_LOAD_TIMEOUT",
        "5m",
        "Longest time without progress while a model is loaded.",
    ),
    key(
        "stall_timeout",
        "stall-timeout",
        "SLM_STALL_TIMEOUT",
        "1m",
        "Longest time without a sign of life while a runner answers; then it is ended.",
    ),
    key(
        "grace",
        "grace",
        "SLM_GRACE",
        "10s",
        "How long running answers may go on when the daemon stops.",
    ),
    key(
        "max_connections",
        "max-connections",
        "SLM_MAX_CONNECTIONS",
        "4096",
        "Most connections at a time; more wait.",
    ),
    key(
        "allowed_hosts",
        "allowed-hosts",
        "SLM_ALLOWED_HOSTS",
        "",
        "Names besides localhost that clients may call this machine by, separated by commas.",
    ),
    key(
        "allowed_origins",
        "allowed-origins",
        "SLM_ALLOWED_ORIGINS",
        "",
        "Web origins whose pages may call the API, separated by commas.",
    ),
    key(
        "log",
        "log",
        "SLM_LOG",
        "info",
        "What is logged: a level, or a list such as `warn,daemon=debug`.",
    ),
    key(
        "log_json",
        "log-json",
        "SLM_LOG_JSON",
        "false",
        "Log lines as JSON objects.",
    ),
];
