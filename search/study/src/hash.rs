use crate::StudyError;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use tnas_weights::is_temporary;

const BUFFER_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 64;

/// SHA-256 of bytes, in hexadecimal.
pub fn hash_bytes(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// SHA-256 of a file's contents, or of a folder's: the sorted relative paths of its files, each with its contents.
///
/// A file's hash is what `sha256sum` prints. Links are followed, half-written files are passed over, and times,
/// permissions and empty folders do not count.
pub fn hash_path(path: impl AsRef<Path>) -> Result<String, StudyError> {
    let path = path.as_ref();
    let found = fs::metadata(path).map_err(|source| read_error(path, source))?;
    if found.is_file() {
        return hash_file(path);
    }
    let mut files = Vec::new();
    collect(path, "", 0, &mut files)?;
    files.sort_unstable();
    let mut whole = Sha256::new();
    whole.update(b"folder\0");
    for file in files {
        whole.update(hash_file(&path.join(&file))?);
        whole.update(file);
        whole.update(b"\0");
    }
    Ok(hex(whole.finalize()))
}

/// The files under a folder, by their paths from it with `/` between names.
fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) -> Result<(), StudyError> {
    if depth > MAX_DEPTH {
        return Err(StudyError::TooDeep { path: folder.into(), limit: MAX_DEPTH });
    }
    for entry in fs::read_dir(folder).map_err(|source| read_error(folder, source))? {
        let path = entry.map_err(|source| read_error(folder, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| read_error(&path, std::io::Error::other("its name is not Unicode")))?;
        let kind = fs::metadata(&path).map_err(|source| read_error(&path, source))?.file_type();
        if kind.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), depth + 1, files)?;
        } else if !kind.is_file() {
            return Err(StudyError::NotAFile { path });
        } else if !is_temporary(&path) {
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

fn hash_file(path: &Path) -> Result<String, StudyError> {
    let mut file = File::open(path).map_err(|source| read_error(path, source))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hash = Sha256::new();
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(read_error(path, source)),
        }
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_error(path: &Path, source: std::io::Error) -> StudyError {
    StudyError::Read { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn a_file_hashes_to_its_sha256() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("abc");
        fs::write(&path, b"abc")?;
        // FIPS 180-4, example B.1.
        assert_eq!(hash_path(&path)?, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash_path(&path)?, hash_bytes(b"abc"));
        Ok(())
    }

    #[test]
    fn a_folder_hashes_to_its_names_and_contents_alone() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        for (root, order) in [(&one, ["a/b", "c"]), (&two, ["c", "a/b"])] {
            for name in order {
                fs::create_dir_all(root.join("a"))?;
                fs::write(root.join(name), name)?;
            }
        }
        fs::create_dir(two.join("empty"))?;
        fs::write(two.join(".c.1-0.tnas-tmp"), "half")?;
        let before = hash_path(&one)?;
        assert_eq!(before, hash_path(&two)?);
        fs::rename(two.join("c"), two.join("d"))?;
        assert_ne!(before, hash_path(&two)?, "a name counts");
        fs::write(one.join("a/b"), "a/c")?;
        assert_ne!(before, hash_path(&one)?, "a byte counts");
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_linked_into_itself_is_an_error() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        std::os::unix::fs::symlink(".", folder.path().join("self"))?;
        assert!(hash_path(&folder).is_err());
        Ok(())
    }
}
