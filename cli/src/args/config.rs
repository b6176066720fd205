//! Arguments of `config`.

use clap::{Args, Subcommand};

/// Arguments of `config`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Config {
    /// The action.
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

/// Actions on the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Show the settings in force, with what set them.
    ///
    /// With a key, only its value is printed.
    #[command(after_help = "Examples:
  slm config get
  slm config get keep_alive
  slm config get models.phi4-mini.pin")]
    Get {
        /// The key, or `models.NAME.KEY` for a setting of one model; without one, all settings.
        key: Option<String>,
    },
    /// Set a key in config.yaml.
    ///
    /// The whole file is checked before it is written, and comments and order stay. A running daemon applies the change.
    #[command(after_help = "Examples:
  slm config set keep_alive 1h
  slm config set allowed_origins http://localhost:3000
  slm config set models.phi4-mini.context_length 16384
  slm config set 'models.hf.co/*.keep_alive' 0")]
    Set {
        /// The key, or `models.NAME.KEY` for a setting of one model or of a pattern of names.
        key: String,
        /// The value; a list is separated by commas.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove a key from config.yaml, so that its default counts.
    #[command(after_help = "Example:\n  slm config unset keep_alive")]
    Unset {
        /// The key, as for `set`.
        key: String,
    },
    /// Open config.yaml in an editor, and check the result before it is written.
    ///
    /// The editor is that of VISUAL, else of EDITOR, else vi.
    #[command(after_help = "Example:\n  EDITOR=nano slm config edit")]
    Edit,
    /// Print the path of config.yaml.
    #[command(after_help = "Example:\n  cp \"$(slm config path)\" backup.yaml")]
    Path,
    /// Check config.yaml, and the catalogs if a daemon runs.
    #[command(after_help = "Example:\n  slm config check")]
    Check,
}
