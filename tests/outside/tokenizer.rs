//! A tokenizer's folder: tokenizer.json and tokenizer_config.json, one after the other with a zero byte between.

use std::fs;

use tnas_clips::Tokenizer;

use super::{Parser, in_folder, told};

pub const PARSER: Parser = Parser { name: "tokenizer", examples, read, room_bytes: 0 };

const FILES: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];

fn examples() -> Vec<Vec<u8>> {
    in_folder(|root| {
        let folder = root.join("tokenizer-example");
        Tokenizer::from_captions(["a red square moves left, up"]).save(&folder).unwrap();
        vec![FILES.map(|name| fs::read(folder.join(name)).unwrap()).join(&0)]
    })
}

fn read(bytes: &[u8]) -> Result<(), String> {
    in_folder(|root| {
        let folder = root.join("tokenizer");
        fs::create_dir_all(&folder).map_err(told)?;
        let mut parts = bytes.splitn(2, |&byte| byte == 0);
        for name in FILES {
            fs::write(folder.join(name), parts.next().unwrap_or_default()).map_err(told)?;
        }
        let tokenizer = Tokenizer::load(&folder).map_err(told)?;
        let ids = tokenizer.encode("a red dog, left", tokenizer.max_length().min(16));
        assert!(ids.iter().all(|&id| (0..tokenizer.vocabulary_size() as i64).contains(&id)));
        tokenizer.decode(&ids);
        Ok(())
    })
}
