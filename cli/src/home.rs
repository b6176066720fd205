//! `$SLM_HOME`, as far as the client uses it.
//!
//! ```text
//! $SLM_HOME/
//!   run/slmd.json   the addresses of the running daemon, 0600
//!   run/slmd.sock   the daemon's Unix socket, 0600
//!   logs/slmd.log   the log of a daemon that `slm` started
//!   history         lines typed in conversations, 0600
//! ```

use std::path::{Path, PathBuf};

use api::layout;

use crate::env::{self, Environment};
use crate::error::Failure;

/// The home of this user's daemon.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
    chosen: bool,
    socket: PathBuf,
}

impl Home {
    /// `--home`, else `SLM_HOME`, else the data folder of the platform (`~/.local/share/slm`).
    pub(crate) fn resolve(
        flag: Option<&Path>,
        environment: &dyn Environment,
    ) -> Result<Self, Failure> {
        let chosen = flag
            .map(Path::to_path_buf)
            .or_else(|| environment.value(env::SLM_HOME).map(PathBuf::from));
        if let Some(root) = chosen {
            let root = std::path::absolute(&root).map_err(|error| {
                Failure::usage(format!("cannot use `{}` as home: {error}", root.display()))
            })?;
            return Ok(Self::at(root, true, environment));
        }
        let dirs = directories::ProjectDirs::from("", "", "slm").ok_or_else(|| {
            Failure::usage("this user has no home folder")
                .hint("name the folder for models with --home FOLDER or SLM_HOME")
        })?;
        Ok(Self::at(dirs.data_dir().to_path_buf(), false, environment))
    }

    fn at(root: PathBuf, chosen: bool, environment: &dyn Environment) -> Self {
        // A relative path starts at the home, as in the daemon.
        let socket = match environment.value(env::SLM_SOCKET) {
            Some(path) => root.join(path),
            None => root.join(layout::SOCKET),
        };
        Self {
            root,
            chosen,
            socket,
        }
    }

    /// The folder itself, absolute.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether `--home` or `SLM_HOME` names this folder.
    pub(crate) fn is_chosen(&self) -> bool {
        self.chosen
    }

    /// The path of the daemon's Unix socket: `SLM_SOCKET`, else `run/slmd.sock`. The daemon's own configuration may name another one,
    /// which [`Self::note`] has.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// The file with the addresses of the running daemon.
    pub(crate) fn note(&self) -> PathBuf {
        self.root.join(layout::NOTE)
    }

    /// The log of a daemon that `slm` started.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join(layout::LOG)
    }

    /// The lines typed in conversations.
    pub(crate) fn history(&self) -> PathBuf {
        self.root.join("history")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_overrides_the_variable_and_the_variable_the_platform() {
        let environment = [("SLM_HOME", "/from/env")];
        let home = Home::resolve(Some(Path::new("/from/flag")), &environment).unwrap();
        assert_eq!(home.root(), Path::new("/from/flag"));
        assert!(home.is_chosen());
        let home = Home::resolve(None, &environment).unwrap();
        assert_eq!(home.socket(), Path::new("/from/env/run/slmd.sock"));
        assert!(home.is_chosen());
        let apart = |path| Home::resolve(Some(Path::new("/h")), &[("SLM_SOCKET", path)]).unwrap();
        assert_eq!(apart("/tmp/x.sock").socket(), Path::new("/tmp/x.sock"));
        assert_eq!(apart("x.sock").socket(), Path::new("/h/x.sock"));
        let home = Home::resolve(None, &[("SLM_HOME", "")]).unwrap();
        assert!(!home.is_chosen(), "an empty variable counts as unset");
    }
}
