//! The clips of a study: any mixture of formats, broken ones up to a fraction, and nothing encoded twice.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use tnas_clips::{Clip, FilmFormat, FilmSettings, ShapeClips, ShapeSettings, SheetSettings, contact_sheet};

use crate::pipelines::Scene;

const FILM: FilmSettings = FilmSettings { upscale: 1, delay_ms: 100 };

fn shape(index: usize) -> Clip {
    let settings = ShapeSettings { frames: 4, size: 16, ..Default::default() };
    ShapeClips::new(settings).unwrap().clip(index)
}

/// A folder with a clip in each format, whose captions stand in metadata.jsonl.
fn mixed(folder: &Path) {
    fs::create_dir_all(folder.join("frames")).unwrap();
    let encode = |format: FilmFormat, clip: &Clip| format.encode(clip, &FILM).unwrap();
    fs::write(folder.join("a.gif"), encode(FilmFormat::Gif, &shape(0))).unwrap();
    fs::write(folder.join("b.apng"), encode(FilmFormat::Apng, &shape(1))).unwrap();
    fs::write(folder.join("c.webp"), encode(FilmFormat::Webp, &shape(2))).unwrap();
    for frame in 0..4 {
        let still = encode(FilmFormat::Apng, &shape(3).select_frames(&[frame]));
        fs::write(folder.join(format!("frames/{frame:04}.png")), still).unwrap();
    }
    let sheet = SheetSettings { upscale: 1, gutter: 0, gutter_rgb: [0; 3] };
    fs::write(folder.join("grid.png"), contact_sheet(&[&shape(4)], &sheet).unwrap()).unwrap();
    let line = |index: usize, name: &str, more: &str| {
        format!("{{\"file_name\": \"{name}\", \"text\": \"{}\"{more}}}\n", shape(index).caption)
    };
    let lines = [
        line(0, "a.gif", ""),
        line(1, "b.apng", ""),
        line(2, "c.webp", ""),
        line(3, "frames", ""),
        line(4, "grid.png", ", \"rows\": 1, \"columns\": 4"),
    ];
    fs::write(folder.join("metadata.jsonl"), lines.concat()).unwrap();
}

/// A folder whose captions are in .txt files next to its clips.
fn captions_next_to_clips(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for index in 5..7 {
        fs::write(folder.join(format!("{index}.webp")), FilmFormat::Webp.encode(&shape(index), &FILM).unwrap())
            .unwrap();
        fs::write(folder.join(format!("{index}.txt")), &shape(index).caption).unwrap();
    }
}

/// Settings of a study over both.
fn settings(scene: &Scene, name: &str) -> Vec<String> {
    vec![
        format!("name={name:?}"),
        "data.kind=\"videofolder\"".to_owned(),
        format!("data.path={:?}", scene.path("films")),
        "data.fps=10".to_owned(),
        "data.source_fps=10".to_owned(),
    ]
}

fn stage(scene: &Scene, stage: [&str; 2], settings: &[String], more: &[&str]) -> (Option<i32>, String) {
    let settings: Vec<&str> = settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
    scene.stage(stage, &settings)
}

/// Every file below a folder, and when it was written.
fn files(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::metadata(&path).unwrap().modified().unwrap());
        }
    }
    found
}

#[test]
fn films_of_all_formats_are_encoded_once_for_all_studies() {
    let scene = Scene::new();
    mixed(&scene.path("films/train"));
    captions_next_to_clips(&scene.path("films/val"));
    let run = |name: &str| {
        let settings = settings(&scene, name);
        let (code, text) = stage(&scene, ["backbone", "take"], &settings, &[]);
        assert_eq!(code, Some(0), "{text}");
        let (code, text) = stage(&scene, ["supernet", "train"], &settings, &[]);
        assert_eq!(code, Some(0), "{text}");
        text
    };
    let text = run("one");
    assert!(text.contains("encode train 5/5") && text.contains("waited for clips"), "{text}");
    let (latents, features) = (scene.path("runs/cache/latents"), scene.path("runs/cache/text"));
    let (encoded, features_before) = (files(&latents), files(&features));
    assert_eq!((encoded.len(), features_before.len()), (5 + 2, 1));
    // Times waited are kept apart from the figures that every run repeats.
    let times = fs::read_to_string(scene.path("runs/one/times.jsonl")).unwrap();
    assert!(times.contains("waited_fraction"), "{times}");
    assert!(!fs::read_to_string(scene.path("runs/one/metrics.jsonl")).unwrap().contains("waited"));

    let text = run("two");
    assert!(!text.contains("encode"), "{text}");
    assert_eq!((files(&latents), files(&features)), (encoded.clone(), features_before));
    assert_eq!(
        fs::read(scene.path("runs/one/supernet/supernet.safetensors")).unwrap(),
        fs::read(scene.path("runs/two/supernet/supernet.safetensors")).unwrap()
    );

    // A torn entry is made again.
    let torn = encoded.keys().next().unwrap();
    let whole = fs::read(torn).unwrap();
    fs::write(torn, &whole[..whole.len() / 2]).unwrap();
    run("three");
    assert_eq!(fs::read(torn).unwrap(), whole);

    // Another film in the place of one: its latent alone is new, and what was trained on it is trained again.
    fs::write(scene.path("films/train/a.gif"), FilmFormat::Gif.encode(&shape(9), &FILM).unwrap()).unwrap();
    let text = run("two");
    assert!(text.contains("encode train 1/1") && text.contains("supernet runs again"), "{text}");
    let after = files(&latents);
    assert_eq!(after.len(), encoded.len() + 1);
    assert!(encoded.iter().all(|(file, time)| file == torn || after.get(file) == Some(time)));
    assert!(run("two").contains("supernet up to date"));
}

#[test]
fn broken_films_are_named_and_stop_the_run_above_the_share() {
    let scene = Scene::new();
    mixed(&scene.path("films/train"));
    captions_next_to_clips(&scene.path("films/val"));
    let bytes = fs::read(scene.path("films/train/c.webp")).unwrap();
    fs::write(scene.path("films/train/c.webp"), &bytes[..bytes.len() / 2]).unwrap();
    let settings = settings(&scene, "broken");
    let (code, text) = stage(&scene, ["backbone", "take"], &settings, &[]);
    assert!(code == Some(0), "an image model is taken without the clips: {text}");
    let (code, text) = stage(&scene, ["supernet", "train"], &settings, &["data.max_broken=0.1"]);
    assert!(code == Some(3) && text.contains("1 of 5 files are broken, more than 10 %"), "{code:?} {text}");
    assert!(text.contains("c.webp"), "{text}");
    let (code, text) = stage(&scene, ["supernet", "train"], &settings, &["data.max_broken=0.2"]);
    assert!(code == Some(0) && text.contains("c.webp"), "{code:?} {text}");
    let list = scene.json("runs/broken/broken_files.json");
    assert_eq!(list["splits"]["train"][0]["file_name"], "c.webp");
    assert_eq!(list["splits"]["val"].as_array().unwrap().len(), 0);
    for (wrong, word) in [("data.max_broken=2", "max_broken"), ("data.fps=0", "fps"), ("data.grid=[0, 1]", "grid")]
    {
        let (code, text) = stage(&scene, ["supernet", "train"], &settings, &[wrong]);
        assert!(code != Some(0) && text.contains(word), "{code:?} {text}");
    }
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let scene = Scene::new();
    let generate = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tnas"));
        command.current_dir(scene.path("")).args(["generate", "study.toml"]).args(more);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (more, word) in [
        (&["--caption", "x", "--format", "avi"][..], "gif, apng, webp or mp4"),
        (&["--caption", "x", "--frames", "0"], "--frames"),
        (&["--caption", "x", "--size", "17"], "--size = 17"),
        (&["--caption", "x", "--student", "--guidance", "2"], "--guidance"),
        (&["--caption", "x", "--steps", "0"], "--steps"),
        (&["--captions-file", "missing.txt"], "missing.txt"),
        (&[], "--caption"),
    ] {
        let (code, text) = generate(more);
        assert!(code != Some(0) && text.contains(word), "{more:?}: {code:?} {text}");
    }
    if !cfg!(feature = "mp4") {
        let (code, text) = generate(&["--caption", "x", "--format", "mp4"]);
        assert!(code == Some(2) && text.contains("--features mp4"), "{code:?} {text}");
    }
}
