//! CLIP's byte-pair encoding against ids that transformers gave for the same files.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;
use tnas_clips::{BpeTokenizer, CaptionTokenizer, ClipError};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bpe");

fn golden() -> Value {
    let text = fs::read_to_string(Path::new(HERE).join("golden.json")).expect("golden.json");
    serde_json::from_str(&text).expect("JSON")
}

/// A folder with the vocabulary, the merges and these settings.
fn folder(config: &Value) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(Path::new(HERE).join(name), folder.path().join(name)).expect("copied");
    }
    write(&folder, "tokenizer_config.json", config);
    folder
}

fn write(folder: &TempDir, name: &str, value: &Value) {
    fs::write(folder.path().join(name), value.to_string()).expect("written");
}

fn ids_agree(tokenizer: &CaptionTokenizer, texts: &Value, ids: &Value) {
    for (text, ids) in texts.as_array().expect("texts").iter().zip(ids.as_array().expect("ids")) {
        let text = text.as_str().expect("a text");
        let ours = tokenizer.encode(text, tokenizer.max_length()).expect("ids");
        assert_eq!(json!(ours), *ids, "{text:?}");
    }
}

#[test]
fn ids_are_those_of_transformers() {
    let golden = golden();
    for (name, case) in golden["cases"].as_object().expect("cases") {
        let folder = folder(&case["tokenizer_config"]);
        let tokenizer = CaptionTokenizer::load(folder.path()).expect(name);
        ids_agree(&tokenizer, &golden["texts"], &case["ids"]);
        // What is saved is what was read.
        let copy = tempfile::tempdir().expect("a folder");
        tokenizer.save(copy.path().join("tokenizer")).expect("saved");
        let again = CaptionTokenizer::load(copy.path().join("tokenizer")).expect("loaded");
        ids_agree(&again, &golden["texts"], &case["ids"]);
        assert_eq!(again.vocabulary_size(), tokenizer.vocabulary_size());
        assert!(tokenizer.unknown_words("qwertz 東").is_empty());
    }
}

#[test]
fn a_special_tokens_map_goes_before_the_settings() {
    let golden = golden();
    let folder = folder(&golden["cases"]["eos"]["tokenizer_config"]);
    write(&folder, "special_tokens_map.json", &json!({"pad_token": "!"}));
    let tokenizer = CaptionTokenizer::load(folder.path()).expect("loaded");
    ids_agree(&tokenizer, &golden["texts"], &golden["cases"]["exclamation"]["ids"]);
}

#[test]
fn added_tokens_have_the_ids_that_they_ask_for() {
    let folder = folder(&json!({"model_max_length": 8}));
    let plain = BpeTokenizer::load(folder.path()).expect("loaded");
    let next = plain.vocabulary_size();
    write(&folder, "added_tokens.json", &json!({ "<toy>": next }));
    let tokenizer = BpeTokenizer::load(folder.path()).expect("loaded");
    assert_eq!(tokenizer.vocabulary_size(), next + 1);
    assert_eq!(tokenizer.encode("<toy>", 3).expect("ids")[1], next as i64);
    write(&folder, "added_tokens.json", &json!({ "<toy>": next + 7 }));
    let message = BpeTokenizer::load(folder.path()).expect_err("a gap").to_string();
    assert!(message.contains("<toy>"), "{message}");
}

#[test]
fn settings_that_are_not_known_are_refused_by_name() {
    for (config, complaint) in [
        (json!({"do_lower_case": false}), "do_lower_case = false"),
        (json!({"add_prefix_space": true}), "add_prefix_space = true"),
        (json!({"some_new_switch": 1}), "some_new_switch = 1"),
        (json!({"tokenizer_class": "T5Tokenizer"}), "tokenizer_class = \"T5Tokenizer\""),
        (json!({"padding_side": "both"}), "padding_side = \"both\""),
        (json!({"model_max_length": 1}), "model_max_length = 1"),
        (json!({"bos_token": 7}), "bos_token = 7"),
        (json!({"added_tokens_decoder": {"x": "y"}}), "added_tokens_decoder"),
    ] {
        let folder = folder(&config);
        let message = BpeTokenizer::load(folder.path()).expect_err(complaint).to_string();
        assert!(message.contains(complaint) && message.contains("tokenizer_config.json"), "{message}");
    }
}

#[test]
fn broken_files_are_named() {
    let break_it = |name: &str, text: &str| {
        let folder = folder(&json!({}));
        fs::write(folder.path().join(name), text).expect("written");
        BpeTokenizer::load(folder.path()).expect_err(text).to_string()
    };
    for (name, text, complaint) in [
        ("vocab.json", "[]", "vocab.json"),
        ("vocab.json", "{\"a\": -1}", "vocab.json"),
        ("vocab.json", "{}", "vocab.json"),
        ("merges.txt", "#version: 0.2\na b\nabc\n", "line 3: \"abc\" is not a pair"),
        ("merges.txt", "qqqq zzzz\n", "qqqq"),
        ("tokenizer.json", "{\"model\": {\"type\": \"Unigram\"}}", "its model is of type \"Unigram\""),
        ("tokenizer.json", "{", "tokenizer.json"),
        ("tokenizer_config.json", "{", "tokenizer_config.json"),
    ] {
        let message = break_it(name, text);
        assert!(message.contains(complaint), "{name}: {message}");
    }
    let empty = tempfile::tempdir().expect("a folder");
    let error = CaptionTokenizer::load(empty.path()).expect_err("nothing");
    assert!(matches!(error, ClipError::Tokenizer { .. }), "{error}");
    assert!(error.to_string().contains("vocab.json"), "{error}");
}
