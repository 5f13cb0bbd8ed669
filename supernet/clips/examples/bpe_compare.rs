fn main() {
    let root = std::path::Path::new("/tmp/pl/bpe");
    let strings: Vec<String> =
        serde_json::from_str(&std::fs::read_to_string(root.join("strings.json")).unwrap()).unwrap();
    let ids: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("ids.json")).unwrap()).unwrap();
    for (name, golden) in ids.as_object().unwrap() {
        let t = tnas_clips::CaptionTokenizer::load(root.join(name)).unwrap();
        let mut bad = Vec::new();
        let start = std::time::Instant::now();
        for (s, g) in strings.iter().zip(golden.as_array().unwrap()) {
            let g: Vec<i64> = g.as_array().unwrap().iter().map(|x| x.as_i64().unwrap()).collect();
            let ours = t.encode(s, t.max_length()).unwrap();
            if ours != g {
                bad.push((s.clone(), ours, g));
            }
        }
        println!(
            "{name}: {} strings, {} differ, {:?}, {} ids, length {}",
            strings.len(),
            bad.len(),
            start.elapsed(),
            t.vocabulary_size(),
            t.max_length()
        );
        for (s, o, g) in bad.iter().take(6) {
            let at = o.iter().zip(g).position(|(a, b)| a != b);
            println!("  {s:?} at {at:?}\n   ours {:?}\n   them {:?}", &o[..20.min(o.len())], &g[..20.min(g.len())]);
        }
    }
}
