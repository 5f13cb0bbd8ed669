//! A tokenizer's folder: its files one after the other with a zero byte between; an empty one is not there.

use std::fs;

use tnas_clips::{CaptionTokenizer, Tokenizer};

use super::{Parser, in_folder, message, shipped};

pub const PARSER: Parser = Parser { name: "tokenizer", examples, read, room_bytes: 64 << 20 };

const FILES: [&str; 4] = ["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"];

fn examples() -> Vec<Vec<u8>> {
    let [words, settings] = in_folder(|root| {
        let folder = root.join("tokenizer-example");
        Tokenizer::from_captions(["a red square moves left, up"]).save(&folder).unwrap();
        [FILES[0], FILES[1]].map(|name| fs::read(folder.join(name)).unwrap())
    });
    let [vocabulary, merges] =
        [FILES[2], FILES[3]].map(|name| shipped(&format!("supernet/clips/tests/bpe/{name}")));
    let clip = br#"{"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": "<|startoftext|>",
        "eos_token": {"content": "<|endoftext|>", "normalized": true}, "add_prefix_space": false, "do_lower_case": true}"#;
    vec![[words, settings].join(&0), [&[], &clip[..], &vocabulary, &merges].join(&0)]
}

fn read(bytes: &[u8]) -> Result<(), String> {
    in_folder(|root| {
        let folder = root.join("tokenizer");
        fs::create_dir_all(&folder).map_err(message)?;
        let mut parts = bytes.splitn(FILES.len(), |&byte| byte == 0);
        for path in FILES.map(|name| folder.join(name)) {
            match parts.next().unwrap_or_default() {
                [] if path.exists() => fs::remove_file(path).map_err(message)?,
                [] => {}
                part => fs::write(path, part).map_err(message)?,
            }
        }
        let tokenizer = CaptionTokenizer::load(&folder).map_err(message)?;
        let ids =
            tokenizer.encode("a red dog's left, 12 é\u{1f600}", tokenizer.max_length().min(16)).map_err(message)?;
        assert!(ids.iter().all(|&id| (0..tokenizer.vocabulary_size() as i64).contains(&id)));
        Ok(())
    })
}
