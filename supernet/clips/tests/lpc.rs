//! The Universal LPC sprites of `../shared`, where they are: counts, shapes, kinds, captions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tnas_clips::mean_frame_difference;
use tnas_clips::{CaptionPolicy, FolderSettings, Tokenizer, VideoFolder};

/// The folder of the data; None, with a line that says so, where it is missing.
fn lpc() -> Option<PathBuf> {
    tnas_testing::shared("data/lpc")
}

#[test]
fn splits_hold_every_action_in_every_direction_of_every_character() {
    let Some(root) = lpc() else { return };
    assert_eq!(VideoFolder::splits(&root).expect("splits"), ["test_seen_parts", "train", "val"]);
    let mut characters = BTreeSet::new();
    for (split, count) in [("train", 2000), ("val", 200), ("test_seen_parts", 200)] {
        let folder = VideoFolder::open(root.join(split)).expect("opens");
        assert_eq!((folder.len(), folder.broken()), (count, &[][..]), "{split}");
        let mut kinds: BTreeMap<[String; 2], usize> = BTreeMap::new();
        for index in 0..folder.len() {
            let labels = folder.labels(index).expect("labels");
            *kinds.entry(["action", "direction"].map(|name| labels[name].clone())).or_default() += 1;
            characters.insert(format!("{split} {}", labels["character"]));
        }
        assert_eq!(kinds.len(), 20, "5 actions × 4 directions");
        assert!(kinds.values().all(|n| *n == count / 20));
    }
    assert_eq!(characters.len(), 120);
}

#[test]
fn clips_have_the_shape_asked_for_and_move() {
    let Some(root) = lpc() else { return };
    let folder = VideoFolder::open(root.join("val")).expect("opens");
    for index in folder.order(0).into_iter().take(20) {
        for (frames, size) in [(8, 64), (8, 32), (1, 24), (16, 128)] {
            let clip = folder.clip(index, frames, size).expect("a clip");
            assert_eq!(clip.shape(), [frames, size, size]);
            assert!(clip.pixels.iter().all(|x| (-1.0..=1.0).contains(x)));
            assert_eq!(frames > 1, mean_frame_difference(&clip) > 0.0, "{}", clip.caption);
        }
    }
}

#[test]
fn a_walk_leaves_out_the_standing_frame() {
    let Some(root) = lpc() else { return };
    let all = FolderSettings { frame_ranges: Vec::new(), ..Default::default() };
    let (cycle, all) = (
        VideoFolder::open(root.join("val")).expect("opens"),
        VideoFolder::open_with(root.join("val"), all).expect("opens"),
    );
    for index in 0..40 {
        let nine = all.clip(index, 9, 64).expect("a clip");
        if nine.labels["action"] == "walk" {
            assert_eq!(cycle.clip(index, 8, 64).expect("a clip"), nine.select_frames(&[1, 2, 3, 4, 5, 6, 7, 8]));
        }
    }
}

#[test]
fn the_order_is_balanced() {
    let Some(root) = lpc() else { return };
    let folder = VideoFolder::open(root.join("train")).expect("opens");
    let order = folder.order(3);
    let label = |index: &usize, name: &str| folder.labels(*index).expect("labels")[name].clone();
    for twenty in order.chunks(20) {
        let kinds: BTreeSet<String> = twenty.iter().map(|i| label(i, "action") + &label(i, "direction")).collect();
        assert_eq!(kinds.len(), 20);
    }
    let characters: BTreeSet<String> = order[..200].iter().map(|i| label(i, "character")).collect();
    assert!(characters.len() >= 95, "{}", characters.len());
}

#[test]
fn captions_are_words_that_the_tokenizer_knows() {
    let Some(root) = lpc() else { return };
    let train = VideoFolder::open(root.join("train")).expect("opens");
    let tokenizer = Tokenizer::from_captions(train.captions());
    // 105 words in the splits together, and the comma; 24 positions hold the longest caption.
    assert!(tokenizer.vocabulary_size() <= 105 + 1 + 4, "{}", tokenizer.vocabulary_size());
    assert!(tokenizer.max_length() <= 24, "{}", tokenizer.max_length());
    for caption in train.captions() {
        assert_eq!(tokenizer.decode(&tokenizer.encode(&caption, 24)), caption);
    }
    for split in ["val", "test_seen_parts"] {
        let unknown: BTreeSet<String> = VideoFolder::open(root.join(split))
            .expect("opens")
            .captions()
            .iter()
            .flat_map(|caption| tokenizer.unknown_words(caption))
            .collect();
        assert!(unknown.is_empty(), "{split}: {unknown:?}");
    }
    let caption = CaptionPolicy::Template("{action} {direction}".to_owned());
    let open =
        VideoFolder::open_with(root.join("val"), FolderSettings { caption, ..Default::default() }).expect("opens");
    assert_eq!(open.captions().len(), 20);
}
