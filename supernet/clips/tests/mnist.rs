//! Moving MNIST from the digits of `../shared`, where they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use tnas_clips::frame_differences;
use tnas_clips::{Digits, MovingMnist, MovingMnistSettings, Split, Tokenizer};

/// The folder of the data; None, with a line that says so, where it is missing.
fn digits() -> Option<Arc<Digits>> {
    tnas_testing::shared("data/mnist").map(|path| Arc::new(Digits::open(path).expect("MNIST")))
}

fn moving(digits: &Arc<Digits>, frames: usize, size: usize, split: Split) -> MovingMnist {
    let settings = MovingMnistSettings { frames, size, split, ..Default::default() };
    MovingMnist::new(digits.clone(), settings).expect("settings")
}

#[test]
fn a_clip_is_a_function_of_seed_split_and_index() {
    let Some(digits) = digits() else { return };
    let train = moving(&digits, 8, 32, Split::Train);
    assert_eq!(train.clip(7).expect("a clip"), train.clone().clip(7).expect("a clip"));
    let mut seen = BTreeSet::new();
    for split in [Split::Train, Split::Validation, Split::Test] {
        for index in 0..200 {
            let clip = moving(&digits, 2, 32, split).clip(index).expect("a clip");
            assert!(clip.pixels.iter().all(|x| (-1.0..=1.0).contains(x)));
            let bytes: Vec<u8> = clip.pixels.iter().flat_map(|x| x.to_le_bytes()).collect();
            assert!(seen.insert(bytes), "{split:?} {index} was seen before");
        }
    }
    let other = MovingMnistSettings { seed: 1, frames: 8, size: 32, ..Default::default() };
    let other = MovingMnist::new(digits, other).expect("settings");
    assert_ne!(other.clip(7).expect("a clip"), train.clip(7).expect("a clip"));
}

#[test]
fn captions_name_both_digits_and_sizes_share_a_scene() {
    let Some(digits) = digits() else { return };
    let (small, large) = (moving(&digits, 8, 32, Split::Train), moving(&digits, 16, 64, Split::Train));
    let mut captions = BTreeSet::new();
    for index in 0..2000 {
        let (caption, labels) = small.describe(index).expect("a description");
        assert_eq!((&caption, &labels), (&large.describe(index).expect("a description").0, &labels));
        assert_eq!(caption, format!("digits {} and {} moving", labels["first"], labels["second"]));
        assert!(labels["first"] <= labels["second"]);
        captions.insert(caption);
    }
    assert_eq!(captions.len(), 55, "pairs of ten digits in either order");
    let tokenizer = Tokenizer::from_captions(captions);
    assert_eq!(tokenizer.vocabulary_size(), 4 + 3 + 10);
    let clip = large.clip(3).expect("a clip");
    assert_eq!(clip.shape(), [16, 64, 64]);
    assert!(frame_differences(&clip).iter().all(|difference| *difference > 0.0), "digits never rest");
    // Ink: two digits of 28×28 in 64×64.
    let ink = clip.frame(0)[..4096].iter().filter(|x| **x > 0.0).count();
    assert!((60..600).contains(&ink), "{ink} bright pixels");
}

#[test]
fn damaged_digits_are_errors() {
    let Some(from) = tnas_testing::shared("data/mnist") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let message = |folder: &tempfile::TempDir| Digits::open(folder.path()).expect_err("damaged").to_string();
    assert!(message(&folder).contains("t10k-images-idx3-ubyte"), "{}", message(&folder));
    let images = std::fs::read(from.join("t10k-images-idx3-ubyte.gz")).expect("read");
    let labels = std::fs::read(from.join("t10k-labels-idx1-ubyte")).expect("read");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("written");
    write("t10k-labels-idx1-ubyte", &labels);
    write("t10k-images-idx3-ubyte.gz", &images[..images.len() / 2]);
    assert!(message(&folder).contains("t10k-images-idx3-ubyte.gz"), "{}", message(&folder));
    write("t10k-images-idx3-ubyte.gz", &images);
    for (bytes, complaint) in [
        (&labels[..500], "ends after 500 of 10008"),
        (&[&labels[..], &[0]].concat(), "goes on after"),
        (&[&[0, 0, 8, 3], &labels[4..]].concat(), "its head is"),
        (&[&labels[..8], &[77], &labels[9..]].concat(), "digit 0 is called 77"),
    ] {
        write("t10k-labels-idx1-ubyte", bytes);
        assert!(message(&folder).contains(complaint), "{}", message(&folder));
    }
}
