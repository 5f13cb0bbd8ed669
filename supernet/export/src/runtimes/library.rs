use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tnas_graph::RuntimeError;

/// A shared library that a Python package carries, or that stands by itself.
pub(crate) struct Library {
    /// Package on PyPI; the runtime has its name.
    pub package: &'static str,
    /// Folder of the library inside the package.
    pub folder: &'static str,
    /// File name without version and extension, e.g. `libonnxruntime`.
    pub stem: &'static str,
    /// Environment variable with the library's file.
    pub variable: &'static str,
    /// File inside the package of the `python3` that is found, once it was searched for.
    pub installed: OnceLock<Option<PathBuf>>,
}

impl Library {
    /// File of the library: `named` (its file, or the folder of a Python environment), the environment variable, or the
    /// file in the package of the `python3` that is found.
    pub fn find(&self, named: Option<&Path>) -> Result<PathBuf, RuntimeError> {
        let variable = || std::env::var_os(self.variable).map(PathBuf::from);
        let file = match named.map(PathBuf::from).or_else(variable) {
            Some(folder) if folder.is_dir() => {
                self.in_environment(&folder).ok_or_else(|| self.missing(&format!("in {}", folder.display())))?
            }
            Some(file) => file,
            None => {
                let installed = self.installed.get_or_init(|| self.ask_python());
                installed.clone().ok_or_else(|| self.missing("in the packages of python3"))?
            }
        };
        if file.is_file() { Ok(file) } else { Err(self.missing(&format!("at {}", file.display()))) }
    }

    fn missing(&self, place: &str) -> RuntimeError {
        let Self { package, stem, variable, .. } = self;
        RuntimeError::NoLibrary {
            runtime: (*package).into(),
            reason: format!(
                "there is no {stem} {place}; install it with `pip install {package}`, or name its file in {variable}"
            ),
        }
    }

    /// Where Python keeps the package; nothing of it is imported.
    fn ask_python(&self) -> Option<PathBuf> {
        let code = format!(
            "import importlib.util as u; s = u.find_spec('{}'); print(s.submodule_search_locations[0] if s else '')",
            self.package
        );
        let output = Command::new("python3").args(["-c", &code]).output().ok()?;
        let folder = String::from_utf8(output.stdout).ok()?;
        self.in_package(Path::new(folder.trim()))
    }

    /// The library of a virtual or conda environment, or of a folder that holds it.
    fn in_environment(&self, root: &Path) -> Option<PathBuf> {
        let versions = entries(&root.join("lib")).into_iter().map(|version| version.join("site-packages"));
        let pythons = versions.chain([root.join("Lib/site-packages"), root.to_path_buf()]);
        let packages = pythons.map(|folder| folder.join(self.package)).chain([root.to_path_buf()]);
        packages.into_iter().find_map(|package| self.in_package(&package)).or_else(|| self.among(entries(root)))
    }

    fn in_package(&self, package: &Path) -> Option<PathBuf> {
        self.among(entries(&package.join(self.folder)))
    }

    fn among(&self, files: Vec<PathBuf>) -> Option<PathBuf> {
        files.into_iter().find(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let rest = name.strip_prefix(self.stem).unwrap_or_default();
            rest.starts_with(".so") || rest.starts_with('.') && rest.ends_with(".dylib")
        })
    }
}

/// What lies in a folder, sorted; nothing where it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library() -> Library {
        Library {
            package: "abacus",
            folder: "libs",
            stem: "libabacus",
            variable: "TNAS_TEST_ABACUS",
            installed: OnceLock::from(None),
        }
    }

    fn touch(file: &Path) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }

    #[test]
    fn the_library_of_an_environment_is_found_in_any_layout() {
        for place in
            ["lib/python3.14/site-packages/abacus/libs/libabacus.so.3", "libs/libabacus.so", "libabacus.3.dylib"]
        {
            let folder = tempfile::tempdir().unwrap();
            touch(&folder.path().join("lib/python3.14/site-packages/abacus/libs/libabacus_tools.so"));
            touch(&folder.path().join(place));
            assert_eq!(library().find(Some(folder.path())).unwrap(), folder.path().join(place));
            assert_eq!(library().find(Some(&folder.path().join(place))).unwrap(), folder.path().join(place));
        }
    }

    #[test]
    fn a_missing_library_names_the_ways_out() {
        let message = library().find(None).unwrap_err().to_string();
        for part in ["abacus", "python3", "pip install abacus", "TNAS_TEST_ABACUS"] {
            assert!(message.contains(part), "{message}");
        }
        let message = library().find(Some(Path::new("/no/such/file"))).unwrap_err().to_string();
        assert!(message.contains("/no/such/file"), "{message}");
    }
}
