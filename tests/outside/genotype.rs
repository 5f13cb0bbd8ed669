//! A genotype's text, and the denoiser that it makes of a small backbone.

use tnas_models::{Backbone, DenoiserShape, UNetConfig};
use tnas_space::Genotype;

use super::{GRAPH, Parser, message, text, unet};

pub const PARSER: Parser = Parser { name: "genotype", examples, read, room_bytes: GRAPH };

fn examples() -> Vec<Vec<u8>> {
    let texts = [
        "none",
        "down.0.0.r=conv1d(k=3);mid.0.r=attn1d(heads=2,ff=2,pos=rotary)+conv1d(k=5,expand=2,depthwise=true)",
        "in=shift(fraction=4); down.1.0.r=conv3d(k=3); down.1.0.a=conv2p1d ;mid.0.a=attn3d(kv_stride=2)",
        "up.0.0.r=cross1d(heads=2);up.0.1.a=cross3d;up.1.0.r=linear3d(heads=2,ff=1)",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let genotype: Genotype = text(bytes)?.parse().map_err(message)?;
    assert_eq!(genotype.to_string().parse::<Genotype>().map_err(message)?, genotype);
    let backbone = Backbone::new(UNetConfig::from_json(unet::SMALL).map_err(message)?);
    let shape = DenoiserShape { batch: 1, frames: 3, height: 8, width: 8, tokens: 2 };
    tnas_graph::cost(&backbone.denoiser(&genotype, shape).map_err(message)?);
    Ok(())
}
