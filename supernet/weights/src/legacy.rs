//! Names that diffusers has given up but still reads.

/// Projections of the attention over pixels, before diffusers made it one with that of transformers: old name, new name.
const ATTENTION: [(&str, &str); 4] =
    [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

/// The name that a tensor has today: `….attentions.0.proj_attn.bias` is `….attentions.0.to_out.0.bias`.
pub(crate) fn current_name(stored: &str) -> String {
    renamed(stored).unwrap_or_else(|| stored.into())
}

fn renamed(stored: &str) -> Option<String> {
    let (path, leaf) = stored.rsplit_once('.')?;
    let (attention, layer) = path.rsplit_once('.')?;
    let (list, index) = attention.rsplit_once('.')?;
    let listed = list.rsplit('.').next() == Some("attentions") && index.bytes().all(|b| b.is_ascii_digit());
    let (_, layer) = ATTENTION.iter().find(|(old, _)| *old == layer)?;
    (listed && ["weight", "bias"].contains(&leaf)).then(|| format!("{attention}.{layer}.{leaf}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_attentions_have_new_names() {
        for (stored, current) in [
            ("mid_block.attentions.0.query.weight", "mid_block.attentions.0.to_q.weight"),
            ("down_blocks.1.attentions.12.key.bias", "down_blocks.1.attentions.12.to_k.bias"),
            ("encoder.mid_block.attentions.0.value.weight", "encoder.mid_block.attentions.0.to_v.weight"),
            ("attentions.0.proj_attn.weight", "attentions.0.to_out.0.weight"),
        ] {
            assert_eq!(current_name(stored), current);
        }
    }

    #[test]
    fn other_names_stay() {
        for name in [
            "mid_block.attentions.0.group_norm.weight",
            "mid_block.attentions.0.to_q.weight",
            "mid_block.attentions.0.query.scale",
            "mid_block.attentions.x.query.weight",
            "mid_block.resnets.0.query.weight",
            "query.weight",
            "",
        ] {
            assert_eq!(current_name(name), name);
        }
    }
}
