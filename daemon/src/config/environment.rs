//! The home, and the settings that only the environment has.

use std::ffi::OsString;
use std::path::PathBuf;

use registry::credentials::LoginFiles;

use super::error::suggestion;
use super::{Error, Flags, KEYS};
use crate::env::{self, Environment};

/// Known variables that are not settings of the daemon: those of the client and the runner, which share its environment, and of
/// the build and benchmark tools.
const OTHER_VARIABLES: &[&str] = &[env::HOME, "SLM_RUNNER_LOG", "SLM_PEER"];

/// Variables by which the drivers of accelerators, and llama.cpp's backends, select devices and drivers.
const DRIVER_VARIABLES: &[&str] = &[
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "GGML_VK_VISIBLE_DEVICES",
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
    "ONEAPI_DEVICE_SELECTOR",
    "ZE_AFFINITY_MASK",
    "ASCEND_RT_VISIBLE_DEVICES",
    "GGML_OPENVINO_DEVICE",
    "GGML_OPENVINO_STATEFUL_EXECUTION",
];

/// Prefix of the variables of tests.
const TEST_PREFIX: &str = "SLM_TEST_";

/// Where Docker, Podman and the Hugging Face hub's own programs keep logins.
pub(super) fn logins(environment: &dyn Environment) -> LoginFiles {
    let folder = |name: &str| {
        let text = environment.get(name)?;
        Some(PathBuf::from(text)).filter(|path| path.is_absolute())
    };
    let home = folder("HOME");
    let below = |path: &str| home.as_ref().map(|home| home.join(path));
    let docker = folder("DOCKER_CONFIG").or_else(|| below(".docker"));
    let docker = docker.map(|folder| folder.join("config.json"));
    let podman = folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    let hub = folder("HF_HOME").or_else(|| below(".cache/huggingface"));
    let hub = folder("HF_TOKEN_PATH").or_else(|| hub.map(|folder| folder.join("token")));
    LoginFiles {
        docker: docker.into_iter().chain(podman).collect(),
        hub_tokens: hub.into_iter().collect(),
    }
}

/// The variables by which drivers select devices, as far as they are set.
pub(super) fn driver_variables(environment: &dyn Environment) -> Vec<(OsString, OsString)> {
    DRIVER_VARIABLES
        .iter()
        .filter_map(|name| Some(((*name).into(), environment.get(name)?.into())))
        .collect()
}

/// The home: from the flag, the environment, or the user's data directory.
pub(super) fn home(flags: &Flags, environment: &dyn Environment) -> Result<PathBuf, Error> {
    let given = flags.home.clone().or_else(|| {
        environment
            .get(env::HOME)
            .filter(|h| !h.is_empty())
            .map(PathBuf::from)
    });
    let home = match given {
        Some(home) => home,
        None => directories::ProjectDirs::from("", "", "slm")
            .ok_or(Error::NoHome)?
            .data_dir()
            .to_owned(),
    };
    std::path::absolute(&home).map_err(|_| Error::NoHome)
}

/// Warnings about unknown variables with the prefix `SLM_`, which may be misspelt.
pub(super) fn unknown_names(environment: &dyn Environment) -> Vec<String> {
    let known = || {
        KEYS.iter()
            .map(|key| key.env)
            .chain(OTHER_VARIABLES.iter().copied())
    };
    let mut unknown: Vec<String> = environment
        .names()
        .into_iter()
        .filter(|name| name.starts_with("SLM_") && !name.starts_with(TEST_PREFIX))
        .filter(|name| !known().any(|known| known == name))
        // An empty variable counts as unset, as everywhere.
        .filter(|name| environment.get(name).is_none_or(|value| !value.is_empty()))
        .collect();
    unknown.sort();
    let sentence = |name: &String| {
        let meant = suggestion(nearest(name, known()).as_ref());
        format!("environment variable {name} is not known{meant}")
    };
    unknown.iter().map(sentence).collect()
}

pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}
