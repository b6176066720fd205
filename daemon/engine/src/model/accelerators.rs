//! The backend modules of accelerators: which are installed, what is wrong with them, and the loading of one.
//!
//! `cargo xtask backend vulkan` puts a module with its libraries and its description into one folder:
//!
//! ```text
//! slm-lib/vulkan/backend.json         see [`Description`]
//! slm-lib/vulkan/libggml-vulkan.so
//! ```
//! A runner loads only the modules that its arguments name, because a module loads a driver, and some drivers change how the CPU
//! computes. A driver can also crash or hang, so [`probe_apart`] loads a module in a separate process.

use std::{
    path::{Path, PathBuf},
    thread,
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::Error,
    ffi,
    model::{backend, kernels::Switch, modules},
    system::{child, fs},
};

/// The file with the description of a module.
const DESCRIPTION: &str = "backend.json";

/// Most bytes of a description.
const MAX_DESCRIPTION: u64 = 64 * 1024;

/// The sources of llama.cpp that this program was built from: name and version of their package.
const SOURCES: &str = env!("SLM_LLAMA_PACKAGE");

/// An installed module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// The name of its folder, such as `vulkan`.
    pub(crate) backend: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What its description says, if it can be read.
    pub(crate) description: Option<Description>,
    /// Why it cannot be loaded, as far as its files show it.
    pub(crate) fault: Option<String>,
}

/// `backend.json`, which `cargo xtask backend` writes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Description {
    /// What it computes on, for people.
    pub(crate) about: String,
    /// The file that llama.cpp loads.
    pub(crate) module: String,
    /// Name and version of the package with the sources of llama.cpp.
    pub(crate) llama_cpp: String,
    /// All files of the module, with their sizes.
    files: Vec<DescribedFile>,
}

/// A file of a module.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct DescribedFile {
    name: String,
    bytes: u64,
    /// In hex.
    sha256: String,
}

impl Module {
    fn at(folder: PathBuf) -> Option<Self> {
        let backend = folder.file_name()?.to_str()?.to_owned();
        let path = folder.join(DESCRIPTION);
        let read = fs::text(&path, MAX_DESCRIPTION)
            .map_err(|error| format!("its {DESCRIPTION} cannot be read: {error}"))
            .and_then(|text| {
                serde_json::from_str::<Description>(&text)
                    .map_err(|error| format!("its {DESCRIPTION} is damaged: {error}"))
            });
        let (description, fault) = match read {
            Ok(description) => {
                let fault = description.fault(&folder);
                (Some(description), fault)
            }
            Err(fault) => (None, Some(fault)),
        };
        let fault =
            fault.map(|fault| format!("{fault}; `cargo xtask backend {backend}` builds it again"));
        Some(Self {
            backend,
            folder,
            description,
            fault,
        })
    }

    /// The file that llama.cpp loads.
    fn path(&self) -> Result<PathBuf, String> {
        match (&self.description, &self.fault) {
            (Some(description), None) => Ok(self.folder.join(&description.module)),
            (_, Some(fault)) => Err(fault.clone()),
            (None, None) => Err(format!("it has no {DESCRIPTION}")),
        }
    }

    /// What it says in a separate process.
    fn probe_apart(&self, switch: Switch) -> Value {
        let about = self.description.as_ref().map(|it| it.about.as_str());
        let found = self
            .path()
            .and_then(|_| devices_apart(&self.backend, switch));
        let mut told = json!({"backend": self.backend, "about": about.unwrap_or_default()});
        match found {
            Ok(devices) => told["devices"] = devices,
            Err(fault) => told["fault"] = fault.into(),
        }
        told
    }

    /// Compares the content of all files with the description.
    ///
    /// # Errors
    /// Names the first file that differs.
    fn verify(&self) -> Result<(), String> {
        self.path()?;
        let files = self.description.iter().flat_map(|it| &it.files);
        for file in files {
            let digest = fs::sha256(&self.folder.join(&file.name))
                .map_err(|error| format!("{} cannot be read: {error}", file.name))?;
            if digest != file.sha256 {
                return Err(format!("the content of {} is damaged", file.name));
            }
        }
        Ok(())
    }
}

impl Description {
    /// Why the module cannot be loaded, as far as sizes and versions show it.
    fn fault(&self, folder: &Path) -> Option<String> {
        if self.llama_cpp != SOURCES {
            return Some(format!(
                "it was built from {}, and this program from {SOURCES}",
                self.llama_cpp
            ));
        }
        if !self.files.iter().any(|file| file.name == self.module) {
            return Some(format!("its {DESCRIPTION} does not list {}", self.module));
        }
        self.files.iter().find_map(|file| {
            if Path::new(&file.name).file_name() != Some(file.name.as_ref()) {
                return Some(format!(
                    "{:?} in its {DESCRIPTION} is no name of a file",
                    file.name
                ));
            }
            match fs::regular_file_size(&folder.join(&file.name)) {
                None => Some(format!("{} is missing", file.name)),
                Some(bytes) if bytes != file.bytes => Some(format!(
                    "{} has {bytes} bytes and should have {}",
                    file.name, file.bytes
                )),
                Some(_) => None,
            }
        })
    }
}

/// The installed modules, in the order of their names.
pub(crate) fn list() -> Vec<Module> {
    modules::folder().map_or_else(Vec::new, |folder| list_in(&folder))
}

fn list_in(folder: &Path) -> Vec<Module> {
    let mut found: Vec<Module> = fs::list(folder)
        .into_iter()
        .filter(|path| path.join(DESCRIPTION).exists())
        .filter_map(Module::at)
        .collect();
    found.sort_by(|one, other| one.backend.cmp(&other.backend));
    found
}

/// Loads the module of this backend into this process.
///
/// # Errors
/// [`Error::Unavailable`] with the reason; the process may also crash.
pub(crate) fn load(backend: &str) -> Result<(), Error> {
    let failed = |reason| Error::Unavailable {
        backend: backend.to_owned(),
        reason,
    };
    let module = list()
        .into_iter()
        .find(|module| module.backend == backend)
        .ok_or_else(|| failed(not_installed(backend)))?;
    let path = module.path().map_err(failed)?;
    ffi::log::take_first_error();
    if ffi::modules::load(&path) {
        return Ok(());
    }
    Err(failed(ffi::log::take_first_error().unwrap_or_else(|| {
        "llama.cpp cannot load it and gives no reason".to_owned()
    })))
}

fn not_installed(backend: &str) -> String {
    format!(
        "it is not installed; `installer/install.sh --backend {backend}` builds and installs it"
    )
}

/// Loads a module into this process, and describes its devices. The process may crash.
///
/// # Errors
/// [`Error::Unavailable`] with the reason.
pub(crate) fn probe(backend: &str, switch: Switch) -> Result<Value, Error> {
    let unavailable = |reason| Error::Unavailable {
        backend: backend.to_owned(),
        reason,
    };
    if let Some(module) = list().iter().find(|module| module.backend == backend) {
        module.verify().map_err(unavailable)?;
    }
    let (_llama, _) = backend::open(None, &[backend], switch)?;
    Ok(Value::from(backend::accelerators()))
}

/// Probes all installed modules at the same time, each in a separate process:
/// `[{"backend": "vulkan", "about": "…", "devices": […]}, {"backend": "cuda", "about": "…", "fault": "…"}]`.
pub(crate) fn probe_apart(switch: Switch) -> Vec<Value> {
    thread::scope(|scope| {
        let probes: Vec<_> = list()
            .into_iter()
            .map(|module| scope.spawn(move || module.probe_apart(switch)))
            .collect();
        let told = probes.into_iter().map(thread::ScopedJoinHandle::join);
        told.filter_map(Result::ok).collect()
    })
}

fn devices_apart(backend: &str, switch: Switch) -> Result<Value, String> {
    let devices = child::json(&["probe", "backend", backend], switch.argument())?;
    match devices.as_array() {
        Some(found) if found.is_empty() => Err("it finds no device that it can use".to_owned()),
        Some(_) => Ok(devices),
        None => Err("its probe answered something else than a list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module as `cargo xtask backend` leaves it.
    fn install(folder: &Path, backend: &str) -> PathBuf {
        let place = folder.join(backend);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("libggml-x.so"), "code").unwrap();
        describe(&place, SOURCES, "libggml-x.so");
        place
    }

    fn describe(place: &Path, sources: &str, file: &str) {
        let files = json!([{"name": file, "bytes": 4, "sha256":
            "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b"}]);
        let description = json!({"about": "things", "module": "libggml-x.so",
            "llama_cpp": sources, "files": files});
        std::fs::write(place.join(DESCRIPTION), description.to_string()).unwrap();
    }

    fn fault(folder: &Path) -> String {
        let [module] = list_in(folder).try_into().unwrap();
        module.fault.unwrap()
    }

    #[test]
    fn a_module_is_a_folder_with_a_description() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libllama.so.0"), "").unwrap();
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        install(folder.path(), "vulkan");
        install(folder.path(), "cuda");
        let found = list_in(folder.path());
        let names: Vec<_> = found.iter().map(|module| &*module.backend).collect();
        assert_eq!(names, ["cuda", "vulkan"]);
        for module in found {
            assert_eq!(module.fault, None);
            assert_eq!(module.verify(), Ok(()));
            assert_eq!(module.path(), Ok(module.folder.join("libggml-x.so")));
        }
    }

    #[test]
    fn a_faulty_module_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let place = install(folder.path(), "vulkan");

        describe(&place, "llama-cpp-sys-2-0.0.1", "libggml-x.so");
        assert_eq!(
            fault(folder.path()),
            format!(
                "it was built from llama-cpp-sys-2-0.0.1, and this program from {SOURCES}; `cargo xtask backend vulkan` builds it again"
            )
        );
        describe(&place, SOURCES, "../libggml-x.so");
        assert!(fault(folder.path()).contains("does not list libggml-x.so"));
        std::fs::write(place.join(DESCRIPTION), "{").unwrap();
        assert!(fault(folder.path()).starts_with("its backend.json is damaged: "));

        describe(&place, SOURCES, "libggml-x.so");
        std::fs::write(place.join("libggml-x.so"), "cod").unwrap();
        assert!(fault(folder.path()).starts_with("libggml-x.so has 3 bytes and should have 4;"));
        std::fs::remove_file(place.join("libggml-x.so")).unwrap();
        assert!(fault(folder.path()).starts_with("libggml-x.so is missing;"));
    }

    #[test]
    fn changed_content_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let place = install(folder.path(), "vulkan");
        std::fs::write(place.join("libggml-x.so"), "edoc").unwrap();
        let [module] = list_in(folder.path()).try_into().unwrap();
        assert_eq!(module.fault, None);
        assert_eq!(
            module.verify(),
            Err("the content of libggml-x.so is damaged".to_owned())
        );
    }
}
