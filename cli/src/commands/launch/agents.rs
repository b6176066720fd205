//! The agents that `slm launch` knows, and their settings for a daemon and a model.

use serde_json::{Value, json};

/// The key that agents send. The daemon needs none, but several agents refuse to start without one.
const KEY: &str = "slm";

/// An agent.
#[derive(Debug)]
pub(super) struct Agent {
    /// The name for `slm launch`.
    pub(super) name: &'static str,
    /// The name of its program.
    pub(super) program: &'static str,
    /// A command or page that installs it.
    pub(super) install: &'static str,
    /// Whether it works by calling tools.
    pub(super) uses_tools: bool,
    configure: fn(&Target) -> Settings,
}

/// Where an agent finds its model.
#[derive(Debug)]
pub(super) struct Target {
    /// Address of the daemon, such as `http://127.0.0.1:11435`, without a slash at its end.
    pub(super) base: String,
    /// Name of the model.
    pub(super) model: String,
    /// Its context in tokens, if it is known.
    pub(super) context: Option<u64>,
}

impl Target {
    fn openai(&self) -> String {
        format!("{}/v1", self.base)
    }
}

/// What the process of an agent gets. No file is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Variables that are set for the process.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Arguments before the user's.
    pub(super) arguments: Vec<String>,
}

impl Agent {
    /// The agent with this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        AGENTS.iter().find(|agent| agent.name == name)
    }

    /// The settings for `target`.
    pub(super) fn settings(&self, target: &Target) -> Settings {
        (self.configure)(target)
    }
}

/// Every agent, by name.
pub(super) const AGENTS: &[Agent] = &[
    Agent {
        name: "aider",
        program: "aider",
        install: "python3 -m pip install aider-chat",
        uses_tools: false,
        configure: aider,
    },
    Agent {
        name: "claude",
        program: "claude",
        install: "npm install -g @anthropic-ai/claude-code",
        uses_tools: true,
        configure: claude,
    },
    Agent {
        name: "codex",
        program: "codex",
        install: "npm install -g @openai/codex",
        uses_tools: true,
        configure: codex,
    },
    Agent {
        name: "copilot",
        program: "copilot",
        install: "npm install -g @github/copilot",
        uses_tools: true,
        configure: copilot,
    },
    Agent {
        name: "goose",
        program: "goose",
        install: "https://block.github.io/goose/docs/getting-started/installation",
        uses_tools: true,
        configure: goose,
    },
    Agent {
        name: "opencode",
        program: "opencode",
        install: "npm install -g opencode-ai",
        uses_tools: true,
        configure: opencode,
    },
    Agent {
        name: "qwen",
        program: "qwen",
        install: "npm install -g @qwen-code/qwen-code",
        uses_tools: true,
        configure: qwen,
    },
];

/// Arguments, which win over the `.env` files that aider reads.
fn aider(target: &Target) -> Settings {
    let model = format!("openai/{}", target.model);
    arguments(&[
        "--openai-api-base",
        &target.openai(),
        "--openai-api-key",
        KEY,
        "--model",
        &model,
    ])
}

fn claude(target: &Target) -> Settings {
    let mut settings = environment(&[
        ("ANTHROPIC_BASE_URL", &target.base),
        ("ANTHROPIC_AUTH_TOKEN", KEY),
        // A key from the environment of the user would be used beside the token.
        ("ANTHROPIC_API_KEY", ""),
        // A header that differs between requests would stand before the system prompt, and defeat the prefix cache.
        ("CLAUDE_CODE_ATTRIBUTION_HEADER", "0"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ]);
    // Claude Code asks for several models by task; all of them are this one.
    let models = [
        "ANTHROPIC_MODEL",
        "ANTHROPIC_DEFAULT_OPUS_MODEL",
        "ANTHROPIC_DEFAULT_SONNET_MODEL",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL",
        "ANTHROPIC_SMALL_FAST_MODEL",
        "CLAUDE_CODE_SUBAGENT_MODEL",
    ];
    settings
        .environment
        .extend(models.map(|name| (name, target.model.clone())));
    settings
}

/// Options of Codex's configuration, for one call; they may stand before a subcommand.
fn codex(target: &Target) -> Settings {
    let options = [
        ("model_provider", "slm"),
        ("model_providers.slm.name", "slm"),
        ("model_providers.slm.base_url", &target.openai()),
        ("model_providers.slm.wire_api", "responses"),
        ("model", &target.model),
    ];
    // A string in TOML's form, which JSON's is too.
    let options = options.map(|(key, value)| format!("{key}={}", Value::from(value)));
    let context = target
        .context
        .map(|tokens| format!("model_context_window={tokens}"));
    let arguments = options
        .into_iter()
        .chain(context)
        .flat_map(|option| ["-c".to_owned(), option])
        .collect();
    Settings {
        arguments,
        ..Settings::default()
    }
}

fn copilot(target: &Target) -> Settings {
    environment(&[
        ("COPILOT_PROVIDER_TYPE", "openai"),
        ("COPILOT_PROVIDER_BASE_URL", &target.openai()),
        ("COPILOT_PROVIDER_API_KEY", KEY),
        ("COPILOT_MODEL", &target.model),
    ])
}

fn goose(target: &Target) -> Settings {
    environment(&[
        ("GOOSE_PROVIDER", "ollama"),
        ("OLLAMA_HOST", &target.base),
        ("GOOSE_MODEL", &target.model),
    ])
}

/// opencode merges this configuration over its files. It shortens a conversation before the limits of a model are reached.
fn opencode(target: &Target) -> Settings {
    let name = format!("slm/{}", target.model);
    let mut model = json!({ "name": target.model });
    if let Some(context) = target.context {
        model["limit"] = json!({ "context": context, "output": context / 4 });
    }
    let config = json!({
        "provider": { "slm": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "slm",
            "options": { "baseURL": target.openai(), "apiKey": KEY },
            "models": { target.model.as_str(): model },
        } },
        "model": name,
        "small_model": name,
    });
    environment(&[("OPENCODE_CONFIG_CONTENT", &config.to_string())])
}

/// Arguments, which win over the `.env` files and settings that Qwen Code reads.
fn qwen(target: &Target) -> Settings {
    arguments(&[
        "--auth-type",
        "openai",
        "--openai-base-url",
        &target.openai(),
        "--openai-api-key",
        KEY,
        "--model",
        &target.model,
    ])
}

fn environment(variables: &[(&'static str, &str)]) -> Settings {
    Settings {
        environment: variables
            .iter()
            .map(|&(name, value)| (name, value.to_owned()))
            .collect(),
        ..Settings::default()
    }
}

fn arguments(words: &[&str]) -> Settings {
    Settings {
        arguments: words.iter().map(|&word| word.to_owned()).collect(),
        ..Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str) -> Settings {
        let target = Target {
            base: "http://127.0.0.1:11435".to_owned(),
            model: "qwen3:4b".to_owned(),
            context: Some(32768),
        };
        Agent::named(name).unwrap().settings(&target)
    }

    #[track_caller]
    fn variable(name: &str, variable: &str) -> String {
        let found = settings(name).environment.into_iter();
        found
            .filter_map(|(key, value)| (key == variable).then_some(value))
            .next()
            .unwrap()
    }

    #[test]
    fn claude_gets_the_bare_address_and_one_model_for_every_task() {
        assert_eq!(
            variable("claude", "ANTHROPIC_BASE_URL"),
            "http://127.0.0.1:11435"
        );
        assert_eq!(variable("claude", "ANTHROPIC_MODEL"), "qwen3:4b");
        assert_eq!(
            variable("claude", "ANTHROPIC_DEFAULT_HAIKU_MODEL"),
            "qwen3:4b"
        );
        assert_eq!(variable("claude", "ANTHROPIC_API_KEY"), "");
    }

    #[test]
    fn codex_gets_a_provider_with_the_responses_api() {
        assert_eq!(
            settings("codex").arguments,
            [
                "-c",
                r#"model_provider="slm""#,
                "-c",
                r#"model_providers.slm.name="slm""#,
                "-c",
                r#"model_providers.slm.base_url="http://127.0.0.1:11435/v1""#,
                "-c",
                r#"model_providers.slm.wire_api="responses""#,
                "-c",
                r#"model="qwen3:4b""#,
                "-c",
                "model_context_window=32768",
            ]
        );
    }

    #[test]
    fn opencode_gets_a_provider_and_both_of_its_models() {
        let config = variable("opencode", "OPENCODE_CONFIG_CONTENT");
        let config: Value = serde_json::from_str(&config).unwrap();
        let provider = &config["provider"]["slm"];
        assert_eq!(provider["options"]["baseURL"], "http://127.0.0.1:11435/v1");
        let model = &provider["models"]["qwen3:4b"];
        assert_eq!(model["name"], "qwen3:4b");
        assert_eq!(model["limit"], json!({"context": 32768, "output": 8192}));
        assert_eq!(config["model"], "slm/qwen3:4b");
        assert_eq!(config["small_model"], "slm/qwen3:4b");
    }

    #[test]
    fn goose_gets_the_address_as_a_host_of_ollama() {
        assert_eq!(variable("goose", "GOOSE_PROVIDER"), "ollama");
        assert_eq!(variable("goose", "OLLAMA_HOST"), "http://127.0.0.1:11435");
        assert_eq!(variable("goose", "GOOSE_MODEL"), "qwen3:4b");
    }

    #[test]
    fn clients_of_chat_completions_get_the_address_with_v1() {
        for (name, option, model) in [
            ("aider", "--openai-api-base", "openai/qwen3:4b"),
            ("qwen", "--openai-base-url", "qwen3:4b"),
        ] {
            let arguments = settings(name).arguments;
            let follows = |option: &str, value: &str| {
                arguments
                    .windows(2)
                    .any(|pair| pair == [option.to_owned(), value.to_owned()])
            };
            assert!(follows(option, "http://127.0.0.1:11435/v1"), "{name}");
            assert!(follows("--model", model), "{name}");
        }
        assert_eq!(
            variable("copilot", "COPILOT_PROVIDER_BASE_URL"),
            "http://127.0.0.1:11435/v1"
        );
        assert_eq!(variable("copilot", "COPILOT_MODEL"), "qwen3:4b");
    }
}
