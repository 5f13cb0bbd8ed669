//! H.264 of `../shared`, where it is and the feature is on.
#![cfg(feature = "mp4")]

use std::fs;
use std::path::PathBuf;

use tnas_clips::mean_frame_difference;
use tnas_clips::{Film, Fit, FolderSettings, VideoFolder};

/// The film; None, with a line that says so, where it is missing.
fn bunny() -> Option<PathBuf> {
    tnas_testing::shared("data/video/bigbuckbunny.mp4")
}

#[test]
fn every_frame_is_shown_in_order_and_for_its_time() {
    let Some(path) = bunny() else { return };
    let film = Film::read(&path, None).expect("reads");
    let facts = film.facts().expect("plays");
    let seconds = facts.shown_us.iter().map(|&us| f64::from(us)).sum::<f64>() / 1e6;
    eprintln!("{} frames of {}×{}, {seconds:.2} s", facts.frames, facts.width, facts.height);
    assert!(facts.frames > 24 && facts.shown_us.len() == facts.frames);
    let rate = facts.frames as f64 / seconds;
    assert!((10.0..61.0).contains(&rate), "{rate} frames a second");
    // Pictures out of order would jump back and forth: neighbours are nearer than frames three apart.
    let mut pictures = Vec::new();
    film.play([0; 3], |picture| {
        let area = picture.rgb.len();
        pictures.push(picture.rgb.into_iter().step_by(area / 5000).collect::<Vec<_>>());
        if pictures.len() < 48 { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
    })
    .expect("plays");
    let distance = |a: &[[u8; 3]], b: &[[u8; 3]]| -> u64 {
        a.iter().zip(b).flat_map(|(a, b)| (0..3).map(move |i| u64::from(a[i].abs_diff(b[i])))).sum()
    };
    let apart = |step: usize| (0..45).map(|i| distance(&pictures[i], &pictures[i + step])).sum::<u64>();
    assert!(apart(1) <= apart(3), "{} and {}", apart(1), apart(3));
}

#[test]
fn a_folder_of_films_gives_clips_at_a_rate_and_size() {
    let Some(path) = bunny() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(&path, folder.path().join("bunny.mp4")).expect("copied");
    fs::write(folder.path().join("bunny.txt"), "a rabbit in a meadow").expect("written");
    for (fps, fit) in [(None, Fit::Crop), (Some(8.0), Fit::Pad), (Some(12.0), Fit::Stretch)] {
        let settings = FolderSettings { fps, fit, ..Default::default() };
        let opened = VideoFolder::open_with(folder.path(), settings).expect("opens");
        let clip = opened.clip(0, 8, 64).expect("a clip");
        assert_eq!((clip.shape(), clip.caption.as_str()), ([8, 64, 64], "a rabbit in a meadow"));
        // Means of bytes, rounded.
        assert!(clip.pixels.iter().all(|x| x.abs() < 1.0 + 1e-5));
        assert!(mean_frame_difference(&clip) > 0.0);
        if fit == Fit::Pad {
            // A wide film has white above and below.
            assert!(clip.frame(0)[..64].iter().all(|x| *x == 1.0));
        }
    }
}

#[test]
fn a_cut_or_damaged_film_is_an_error_that_names_it() {
    let Some(path) = bunny() else { return };
    let bytes = fs::read(path).expect("read");
    let folder = tempfile::tempdir().expect("a folder");
    let play = |bytes: &[u8]| {
        let path = folder.path().join("film.mp4");
        fs::write(&path, bytes).expect("written");
        Film::read(&path, None)?.facts()
    };
    for length in [12, 40, 1000, bytes.len() / 2, bytes.len() - 1000] {
        let message = play(&bytes[..length]).expect_err("cut").to_string();
        assert!(message.contains("film.mp4"), "{message}");
    }
    // Damage in the description: sizes, counts and offsets of everything.
    let at = bytes.windows(4).position(|name| name == b"moov").expect("a description");
    let length = u32::from_be_bytes([bytes[at - 4], bytes[at - 3], bytes[at - 2], bytes[at - 1]]) as usize;
    for place in (at..at + length.min(1200)).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0xff;
        let path = folder.path().join("film.mp4");
        fs::write(&path, &damaged).expect("written");
        // An error or a first picture; never a panic.
        let _ = Film::read(&path, None).expect("reads").play([0; 3], |_| std::ops::ControlFlow::Break(()));
    }
}
