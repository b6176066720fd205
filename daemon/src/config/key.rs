//! The table of all settings.

/// When a changed value in `config.yaml` takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// At once: the next request or the next decision uses it.
    Now,
    /// With the next load of a model.
    NextLoad,
    /// With the next start of the daemon.
    Restart,
}

impl Applies {
    /// In the reference, and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::NextLoad => "next load",
            Self::Restart => "restart",
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name in `config.yaml`.
    pub name: &'static str,
    /// Name on the command line: the same with hyphens.
    pub flag: &'static str,
    /// Name in the environment.
    pub env: &'static str,
    /// Its default text; may be empty.
    pub default: &'static str,
    /// When a change takes effect.
    pub applies: Applies,
    /// Its description in `--help` and in the reference.
    pub about: &'static str,
}

use Applies::{NextLoad, Now, Restart};

const fn key(
    name: &'static str,
    flag: &'static str,
    env: &'static str,
    default: &'static str,
    applies: Applies,
    about: &'static str,
) -> Key {
    Key {
        name,
        flag,
        env,
        default,
        applies,
        about,
    }
}

/// All settings, in the order of the reference.
pub const KEYS: &[Key] = &[
    key(
        "host",
        "host",
        "SLM_HOST",
        "127.0.0.1",
        Restart,
        "Address to listen on, with or without port; loopback only.",
    ),
    key(
        "port",
        "port",
        "SLM_PORT",
        "11435",
        Restart,
        "TCP port; 0 takes a free one.",
    ),
    key(
        "also_listen",
        "also-listen",
        "SLM_ALSO_LISTEN",
        "",
        Restart,
        "Further TCP addresses to listen on, such as 127.0.0.1:11434, separated by commas; loopback only.",
    ),
    key(
        "socket",
        "socket",
        "SLM_SOCKET",
        "",
        Restart,
        "Path of the Unix socket; `run/slmd.sock` in the home when empty.",
    ),
    key(
        "keep_alive",
        "keep-alive",
        "SLM_KEEP_ALIVE",
        "5m",
        NextLoad,
        "How long a model stays loaded after its last request; -1 for ever, 0 not at all.",
    ),
    key(
        "context_length",
        "context-length",
        "SLM_CONTEXT_LENGTH",
        "4096",
        Now,
        "Default context of a model in tokens, if neither request nor model sets it.",
    ),
    key(
        "max_loaded_models",
        "max-loaded-models",
        "SLM_MAX_LOADED_MODELS",
        "auto",
        Now,
        "Maximum number of loaded models; auto or 0 as many as memory allows.",
    ),
    key(
        "memory_budget",
        "memory-budget",
        "SLM_MEMORY_BUDGET",
        "auto",
        Now,
        "Host memory that all loaded models together may take: a size, or a percentage of the machine's memory; auto all but the reserve.",
    ),
    key(
        "memory_reserve",
        "memory-reserve",
        "SLM_MEMORY_RESERVE",
        "auto",
        Now,
        "Host memory to leave free for other programs: a size, or a percentage of the machine's memory; auto chooses by the machine.",
    ),
    key(
        "device_budget",
        "device-budget",
        "SLM_DEVICE_BUDGET",
        "",
        Now,
        "Memory that all loaded models together may take on a device, such as `CUDA0=20GiB,Vulkan0=80%`; separated by commas.",
    ),
    key(
        "spare_runners",
        "spare-runners",
        "SLM_SPARE_RUNNERS",
        "1",
        Now,
        "Maximum number of runner processes that are started ahead of a load; 0 none.",
    ),
    key(
        "shrink",
        "shrink",
        "SLM_SHRINK",
        "false",
        Now,
        "Reload an idle model with a smaller context and fewer slots before it is unloaded for another one.",
    ),
    key(
        "max_queue",
        "max-queue",
        "SLM_MAX_QUEUE",
        "512",
        Now,
        "Maximum number of requests that wait for models to load; a further one gets a 503.",
    ),
    key(
        "parallel",
        "parallel",
        "SLM_PARALLEL",
        "16",
        NextLoad,
        "Maximum number of concurrent requests of a model.",
    ),
    key(
        "threads",
        "threads",
        "SLM_THREADS",
        "0",
        NextLoad,
        "CPU threads of a runner; 0 lets it choose.",
    ),
    key(
        "gpu_layers",
        "gpu-layers",
        "SLM_GPU_LAYERS",
        "-1",
        NextLoad,
        "Layers on a GPU; -1 as many as fit, 0 none.",
    ),
    key(
        "backend",
        "backend",
        "SLM_BACKEND",
        "auto",
        Restart,
        "Backend of runners: auto the best usable one, cpu, or one name such as vulkan.",
    ),
    key(
        "speculative",
        "speculative",
        "SLM_SPECULATIVE",
        "auto",
        NextLoad,
        "Speculative decoding: auto if it is measured to be faster, off never.",
    ),
    key(
        "deterministic",
        "deterministic",
        "SLM_DETERMINISTIC",
        "false",
        Now,
        "Compute each request alone, so that the same request gives the same text; a request can override it.",
    ),
    key(
        "runner",
        "runner",
        "SLM_RUNNER",
        "",
        Restart,
        "Path of the runner's executable; `slm-runner` next to `slmd` when empty.",
    ),
    key(
        "kernels",
        "kernels",
        "SLM_KERNELS",
        "auto",
        NextLoad,
        "slm's own CPU kernels: auto if the processor has them, off never.",
    ),
    key(
        "sandbox",
        "sandbox",
        "SLM_SANDBOX",
        "auto",
        NextLoad,
        "Sandbox of runners: auto as far as the machine can, require no model below the level full, off none.",
    ),
    key(
        "state_memory",
        "state-memory",
        "SLM_STATE_MEMORY",
        "auto",
        NextLoad,
        "Host cache of a runner for states of finished sequences, such as `512MiB`; 0 none, auto a sixteenth of the memory that is available when the model is loaded.",
    ),
    key(
        "state_disk",
        "state-disk",
        "SLM_STATE_DISK",
        "4GiB",
        NextLoad,
        "Disk space for saved states of unloaded models; 0 saves none and removes existing ones.",
    ),
    key(
        "responses",
        "responses",
        "SLM_RESPONSES",
        "256MiB",
        Now,
        "Disk space for saved responses and conversations of the Responses API; 0 saves none and removes existing ones.",
    ),
    key(
        "responses_lifetime",
        "responses-lifetime",
        "SLM_RESPONSES_LIFETIME",
        "720h",
        Now,
        "How long responses and conversations are kept after their last change.",
    ),
    key(
        "pip",
        "pip",
        "SLM_PIP",
        "",
        Now,
        "Program that fetches Python packages, with the arguments of `pip`; found automatically when empty.",
    ),
    key(
        "library",
        "library",
        "SLM_LIBRARY",
        "",
        Now,
        "Registry that stands in for the Ollama library, such as https://mirror.example; registry.ollama.ai when empty.",
    ),
    key(
        "mirrors",
        "mirrors",
        "SLM_MIRRORS",
        "",
        Now,
        "Registries that are tried before others, such as ghcr.io=mirror.example/ghcr; separated by commas.",
    ),
    key(
        "hub",
        "hub",
        "HF_ENDPOINT",
        "",
        Now,
        "Mirror that stands in for the Hugging Face hub; https://huggingface.co when empty.",
    ),
    key(
        "http_proxy",
        "http-proxy",
        "HTTP_PROXY",
        "",
        Now,
        "Proxy for requests over http.",
    ),
    key(
        "https_proxy",
        "https-proxy",
        "HTTPS_PROXY",
        "",
        Now,
        "Proxy for requests over https.",
    ),
    key(
        "no_proxy",
        "no-proxy",
        "NO_PROXY",
        "",
        Now,
        "Hosts, domains and networks without a proxy, separated by commas; loopback never has one.",
    ),
    key(
        "ca_file",
        "ca-file",
        "SLM_CA_FILE",
        "",
        Now,
        "File of additional trusted certificates (PEM), for networks that inspect TLS.",
    ),
    key(
        "max_transfers",
        "max-transfers",
        "SLM_MAX_TRANSFERS",
        "2",
        Now,
        "Maximum number of concurrent pulls and pushes; further ones are queued.",
    ),
    key(
        "pull_rate",
        "pull-rate",
        "SLM_PULL_RATE",
        "",
        Now,
        "Maximum rate of all pulls together, such as 20MB/s; no limit when empty.",
    ),
    key(
        "pull_window",
        "pull-window",
        "SLM_PULL_WINDOW",
        "",
        Now,
        "Time of day in which pulls and pushes move bytes, such as 22:00-06:00; any time when empty.",
    ),
    key(
        "metered",
        "metered",
        "SLM_METERED",
        "false",
        Now,
        "Whether the network is metered: pulls and pushes without `--now` wait then.",
    ),
    key(
        "load_timeout",
        "load-timeout",
        "SLM_LOAD_TIMEOUT",
        "5m",
        NextLoad,
        "Maximum time without progress during a load.",
    ),
    key(
        "stall_timeout",
        "stall-timeout",
        "SLM_STALL_TIMEOUT",
        "1m",
        NextLoad,
        "Maximum time without a sign of life from a runner with requests; then it is killed.",
    ),
    key(
        "grace",
        "grace",
        "SLM_GRACE",
        "10s",
        Now,
        "How long running answers may continue when the daemon stops.",
    ),
    key(
        "max_connections",
        "max-connections",
        "SLM_MAX_CONNECTIONS",
        "4096",
        Restart,
        "Maximum number of connections; further ones wait.",
    ),
    key(
        "allowed_hosts",
        "allowed-hosts",
        "SLM_ALLOWED_HOSTS",
        "",
        Now,
        "Host names besides localhost for this machine, separated by commas.",
    ),
    key(
        "allowed_origins",
        "allowed-origins",
        "SLM_ALLOWED_ORIGINS",
        "",
        Now,
        "Web origins whose pages may call the API, separated by commas.",
    ),
    key(
        "log",
        "log",
        "SLM_LOG",
        "info",
        Now,
        "Log level, or a list such as `warn,daemon=debug`.",
    ),
    key(
        "log_json",
        "log-json",
        "SLM_LOG_JSON",
        "false",
        Restart,
        "Log lines as JSON objects.",
    ),
];
