//! Files that claim more than they hold, or hold more than anyone should play: each is an error that names the file, returned
//! before memory is asked for.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use tnas_clips::{Clip, Film, FilmFormat, FilmSettings, FolderSettings, VideoFolder};

fn message(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("written");
    let message = Film::read(&path, None).and_then(|film| film.facts()).expect_err("hostile").to_string();
    assert!(message.contains(name), "{message}");
    message
}

fn small(format: FilmFormat) -> Vec<u8> {
    let clip = Clip::new(2, 2, 2, (0..24).map(|i| i as f32 / 24.0).collect()).expect("a clip");
    format.encode(&clip, &FilmSettings { upscale: 1, delay_ms: 100 }).expect("encodes")
}

/// A PNG's chunk: length, name, body, checksum.
fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let named = [&name[..], body].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&named);
    [&(body.len() as u32).to_be_bytes()[..], &named, &crc.sum().to_be_bytes()].concat()
}

fn png_head(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header)].concat()
}

#[test]
fn pictures_of_huge_sides_are_refused_by_their_head() {
    let mut gif = small(FilmFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    assert!(message("huge.gif", &gif).contains("65535×65535"));
    let png = [png_head(2_000_000_000, 2_000_000_000), chunk(b"IDAT", &[0; 8]), chunk(b"IEND", &[])].concat();
    message("huge.png", &png);
    let mut webp = small(FilmFormat::Webp);
    // The canvas's sides less one, in 24 bits each.
    webp[24..30].copy_from_slice(&[0xff; 6]);
    message("huge.webp", &webp);
    webp[24..30].copy_from_slice(&[0xff, 0x3f, 0, 0xff, 0x3f, 0]);
    assert!(message("large.webp", &webp).contains("16384×16384"));
}

#[test]
fn frames_without_end_are_refused() {
    // The last frame of a GIF over and over: 15 bytes a frame of a large screen.
    let mut gif = small(FilmFormat::Gif);
    let at = gif.iter().rposition(|&byte| byte == 0x2c).expect("a frame");
    // Its control block has 8 bytes before the frame.
    let frame = gif[at - 8..gif.len() - 1].to_vec();
    gif[6..10].copy_from_slice(&[0, 0x10, 0, 0x10]);
    gif.truncate(gif.len() - 1);
    (0..300).for_each(|_| gif.extend_from_slice(&frame));
    gif.push(0x3b);
    assert!(message("long.gif", &gif).contains("frames of 4096×4096 in"));
    // An animation that says it has four thousand million frames, and has two.
    let png = small(FilmFormat::Apng);
    let at = png.windows(4).position(|name| name == b"acTL").expect("an animation");
    let control = chunk(b"acTL", &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    message("endless.png", &[&png[..at - 4], &control, &png[at + 16..]].concat());
}

#[test]
fn a_picture_that_unpacks_without_end_is_cut_off() {
    // 64 MiB of zeros behind a head that claims 4 pixels.
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packer, &vec![0; 1 << 26]).expect("packed");
    let packed = packer.finish().expect("packed");
    assert!(packed.len() < 1 << 17);
    let png = [png_head(2, 2), chunk(b"IDAT", &packed), chunk(b"IEND", &[])].concat();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("bomb.png"), png).expect("written");
    // Whether it is an error is the decoder's to say; what comes out has four pixels.
    if let Ok(facts) = Film::read(&folder.path().join("bomb.png"), None).expect("read").facts() {
        assert_eq!((facts.frames, facts.height, facts.width), (1, 2, 2));
    }
}

/// Names of the files in the folders of a folder.
fn entries(folder: &Path) -> BTreeSet<OsString> {
    let inside = |folder: &Path| fs::read_dir(folder).expect("kept").map(|entry| entry.expect("kept"));
    inside(folder)
        .flat_map(|entry| inside(&entry.path()).map(|file| file.file_name()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_folder_counts_its_broken_files_of_every_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("written");
    let whole = small(FilmFormat::Webp);
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("cut.webp", whole[..whole.len() / 2].to_vec()),
        ("empty.gif", Vec::new()),
        ("renamed.mp4", small(FilmFormat::Gif)),
        ("text.png", b"this is no picture".to_vec()),
        ("whole.gif", small(FilmFormat::Gif)),
        ("whole.png", small(FilmFormat::Apng)),
    ];
    files.push(("whole.webp", whole));
    for (name, bytes) in &files {
        write(name, bytes);
    }
    let rows: Vec<String> = files.iter().map(|(name, _)| format!("{name},a clip")).collect();
    write("metadata.csv", format!("file_name,text\n{}\nmissing.gif,a clip\n", rows.join("\n")).as_bytes());
    let cache = folder.path().join("cache");
    let settings = FolderSettings { broken_fraction: 0.7, cache: Some(cache.clone()), ..Default::default() };
    // Twice: what was found out is the same when it is read from the cache.
    for _ in 0..2 {
        let opened = VideoFolder::open_with(folder.path(), settings.clone()).expect("opens");
        let broken: Vec<&str> = opened.broken().iter().map(|file| file.file_name.as_str()).collect();
        assert_eq!(broken, ["cut.webp", "empty.gif", "renamed.mp4", "text.png", "missing.gif"]);
        assert!(opened.broken()[2].reason.contains("rename it"), "{:?}", opened.broken()[2]);
        for index in 0..3 {
            assert_eq!(opened.clip(index, 4, 8).expect("a clip").shape(), [4, 8, 8]);
        }
        assert_eq!(entries(&cache.join("films")).len(), 7, "all that could be read");
    }
    let strict = FolderSettings { broken_fraction: 0.5, ..settings.clone() };
    let message = VideoFolder::open_with(folder.path(), strict).expect_err("too many").to_string();
    assert!(message.contains("5 of 8 files are broken, more than 50 %; the first: cut.webp"), "{message}");
    // A file that changes later is an error that names it, never other pixels.
    let opened =
        VideoFolder::open_with(folder.path(), FolderSettings { broken_fraction: 0.7, ..Default::default() });
    write("whole.gif", &small(FilmFormat::Gif)[..40]);
    let message = opened.expect("opens").clip(0, 4, 8).expect_err("changed").to_string();
    assert!(message.contains("whole.gif"), "{message}");

    // The cache learns of the changed file alone.
    let before = entries(&cache.join("films"));
    VideoFolder::open_with(folder.path(), FolderSettings { broken_fraction: 0.8, ..settings }).expect("opens");
    let after = entries(&cache.join("films"));
    assert!(after.is_superset(&before) && after.len() == before.len() + 1);
}
