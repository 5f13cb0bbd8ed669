//! What a video folder says of its clips: `metadata.jsonl`, `metadata.csv`, or a `.txt` next to each clip.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::film::is_film;
use crate::{BrokenFile, CaptionPolicy, ClipError, VideoFolder};

/// A clip as its folder lists it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    pub file_name: String,
    pub caption: String,
    pub labels: BTreeMap<String, String>,
}

const JSON_LINES: &str = "metadata.jsonl";
const CSV: &str = "metadata.csv";

/// Every clip of a folder; one without a caption is broken, a line that cannot be read is an error.
pub(crate) fn list(folder: &Path, policy: &CaptionPolicy) -> Result<Vec<Result<Listed, BrokenFile>>, ClipError> {
    let (lines, table) = (folder.join(JSON_LINES), folder.join(CSV));
    let listed = match (lines.is_file(), table.is_file()) {
        (true, _) => json_lines(&lines, policy)?.into_iter().map(Ok).collect(),
        (false, true) => csv_rows(&table, policy)?.into_iter().map(Ok).collect(),
        (false, false) => texts(folder, policy)?,
    };
    if listed.iter().all(Result::is_err) {
        return Err(ClipError::NoMetadata { path: folder.to_owned(), splits: VideoFolder::splits(folder)? });
    }
    Ok(listed)
}

/// Whether a folder lists clips in one of the three ways.
pub(crate) fn lists_clips(folder: &Path) -> bool {
    [JSON_LINES, CSV].iter().any(|name| folder.join(name).is_file())
        || clips_beside_texts(folder).is_ok_and(|clips| clips.iter().any(|clip| text_of(clip).is_file()))
}

fn json_lines(path: &Path, policy: &CaptionPolicy) -> Result<Vec<Listed>, ClipError> {
    let text = read(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let entries: Vec<Listed> = lines
        .map(|(i, line)| parse_line(line, policy).map_err(|message| wrong(path, i + 1, message)))
        .collect::<Result<_, _>>()?;
    some(path, entries)
}

fn parse_line(line: &str, policy: &CaptionPolicy) -> Result<Listed, String> {
    let fields: BTreeMap<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in fields {
        match value {
            Value::String(text) => drop(labels.insert(name, text)),
            Value::Number(_) | Value::Bool(_) => drop(labels.insert(name, value.to_string())),
            // Boxes, lists of objects: nothing that a caption could name.
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
    listed(labels, policy)
}

fn csv_rows(path: &Path, policy: &CaptionPolicy) -> Result<Vec<Listed>, ClipError> {
    let text = read(path)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let message = |error: csv::Error| {
        let line = error.position().map_or(1, |position| position.line() as usize);
        wrong(path, line, error.to_string())
    };
    let names = reader.headers().map_err(message)?.clone();
    let mut entries = Vec::new();
    for row in reader.records() {
        let row = row.map_err(message)?;
        let line = row.position().map_or(1, |position| position.line() as usize);
        // An empty field says nothing.
        let fields = names.iter().zip(&row).filter(|(_, value)| !value.is_empty());
        let labels = fields.map(|(name, value)| (name.trim().to_owned(), value.to_owned())).collect();
        entries.push(listed(labels, policy).map_err(|message| wrong(path, line, message))?);
    }
    some(path, entries)
}

fn listed(mut labels: BTreeMap<String, String>, policy: &CaptionPolicy) -> Result<Listed, String> {
    let file_name = labels.remove("file_name").ok_or("no file_name")?;
    let stays_inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(&file_name).components().all(stays_inside) {
        return Err(format!("file_name {file_name:?} leads out of the folder"));
    }
    let text = labels.remove("text");
    if text.is_none() && *policy == CaptionPolicy::Full {
        return Err("no text, and the caption is to be the full text".to_owned());
    }
    let caption = policy.caption(&text.unwrap_or_default(), &labels).map_err(|error| error.to_string())?;
    Ok(Listed { file_name, caption, labels })
}

/// Clips whose captions are files next to them: `NAME.txt` for `NAME.gif` or the folder `NAME`.
fn texts(folder: &Path, policy: &CaptionPolicy) -> Result<Vec<Result<Listed, BrokenFile>>, ClipError> {
    let entry = |path: PathBuf| {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = text_of(&path);
        let broken = |reason: String| BrokenFile { file_name: file_name.clone(), reason };
        let name = text.file_name().unwrap_or_default().to_string_lossy();
        let caption = fs::read_to_string(&text).map_err(|error| broken(format!("its caption, {name}: {error}")))?;
        let caption = caption.split_whitespace().collect::<Vec<_>>().join(" ");
        if caption.is_empty() {
            return Err(broken(format!("its caption, {name}, is empty")));
        }
        let labels = BTreeMap::new();
        let caption = policy.caption(&caption, &labels).map_err(|error| broken(error.to_string()))?;
        Ok(Listed { file_name, caption, labels })
    };
    Ok(clips_beside_texts(folder)?.into_iter().map(entry).collect())
}

/// Files that are named as films, and folders of numbered pictures, sorted.
fn clips_beside_texts(folder: &Path) -> Result<BTreeSet<PathBuf>, ClipError> {
    let read_error = |source| ClipError::Read { path: folder.to_owned(), source };
    let mut clips = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        if is_film(&path) {
            clips.insert(path);
        }
    }
    Ok(clips)
}

fn text_of(clip: &Path) -> PathBuf {
    if clip.is_dir() { clip.with_added_extension("txt") } else { clip.with_extension("txt") }
}

fn read(path: &Path) -> Result<String, ClipError> {
    let text = fs::read_to_string(path).map_err(|source| ClipError::Read { path: path.to_owned(), source })?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

fn some(path: &Path, entries: Vec<Listed>) -> Result<Vec<Listed>, ClipError> {
    if entries.is_empty() { Err(wrong(path, 1, "the file names no clip".to_owned())) } else { Ok(entries) }
}

fn wrong(path: &Path, line: usize, message: String) -> ClipError {
    ClipError::MetadataLine { path: path.to_owned(), line, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    fn captions(folder: &tempfile::TempDir) -> Vec<String> {
        let entry = |listed: Result<Listed, BrokenFile>| match listed {
            Ok(entry) => format!("{}: {}", entry.file_name, entry.caption),
            Err(broken) => format!("{}: {}", broken.file_name, broken.reason),
        };
        list(folder.path(), &CaptionPolicy::Full).expect("lists").into_iter().map(entry).collect()
    }

    #[test]
    fn a_table_says_what_lines_of_json_say() {
        let table = "\u{feff}file_name,text,kind,n\r\na.gif,\"a \"\"b\"\", c\",k0,1\r\nb.gif,d,,2\r\n";
        let lines = "{\"file_name\": \"a.gif\", \"text\": \"a \\\"b\\\", c\", \"kind\": \"k0\", \"n\": 1}\n\n\
                     {\"file_name\": \"b.gif\", \"text\": \"d\", \"kind\": null, \"n\": 2, \"boxes\": [1]}\n";
        let (table, lines) = (files(&[(CSV, table)]), files(&[(JSON_LINES, lines)]));
        let list = |folder: &tempfile::TempDir| list(folder.path(), &CaptionPolicy::Full).expect("lists");
        assert_eq!(list(&table), list(&lines));
        assert_eq!(list(&table)[0].as_ref().expect("whole").labels["kind"], "k0");
        assert!(!list(&table)[1].as_ref().expect("whole").labels.contains_key("kind"));
    }

    #[test]
    fn wrong_rows_are_errors_with_their_line() {
        for (row, complaint) in
            [("a.gif", "fields"), (",x", "no file_name"), ("../a.gif,x", "leads out"), ("a.gif,", "no text")]
        {
            let folder = files(&[(CSV, &format!("file_name,text\nb.gif,x\n{row}\n"))]);
            let message = list(folder.path(), &CaptionPolicy::Full).expect_err("a wrong row").to_string();
            assert!(message.contains("line 3") && message.contains(complaint), "{message}");
        }
        let folder = files(&[(CSV, "file_name,text\n")]);
        assert!(list(folder.path(), &CaptionPolicy::Full).is_err());
    }

    #[test]
    fn captions_may_lie_beside_the_clips() {
        let folder = files(&[
            ("b.gif", ""),
            ("b.txt", " a red\n square "),
            ("a.mp4", ""),
            ("c.webp", ""),
            ("c.txt", " \n"),
            ("readme.txt", "of no clip"),
        ]);
        fs::create_dir(folder.path().join("d.2")).expect("made");
        fs::write(folder.path().join("d.2/1.png"), "").expect("written");
        fs::write(folder.path().join("d.2.txt"), "frames").expect("written");
        let found = captions(&folder);
        assert_eq!(found.len(), 4);
        assert!(found[0].starts_with("a.mp4: its caption, a.txt: "), "{}", found[0]);
        assert_eq!(found[1..], ["b.gif: a red square", "c.webp: its caption, c.txt, is empty", "d.2: frames"]);
        assert!(lists_clips(folder.path()) && !lists_clips(&folder.path().join("d.2")));
    }
}
