//! The geometry of an autoencoder as its tensors' names and shapes tell it.

use tnas_models::Autoencoder;
use tnas_weights::{HostTensor, SafeTensors};

use super::{GRAPH, Parser, message, safetensors::example};

pub const PARSER: Parser = Parser { name: "autoencoder", examples, read, room_bytes: GRAPH };

fn examples() -> Vec<Vec<u8>> {
    let shapes: &[(&str, &[usize])] = &[
        ("encoder.0.weight", &[4, 3, 3, 3]),
        ("encoder.0.bias", &[4]),
        ("encoder.1.weight", &[4, 4, 3, 3]),
        ("encoder.2.conv.0.weight", &[4, 4, 3, 3]),
        ("encoder.2.conv.0.bias", &[4]),
        ("encoder.2.conv.2.weight", &[4, 4, 3, 3]),
        ("encoder.2.conv.2.bias", &[4]),
        ("encoder.2.conv.4.weight", &[4, 4, 3, 3]),
        ("encoder.2.conv.4.bias", &[4]),
        ("encoder.2.pool.0.weight", &[4, 4, 1, 1]),
        ("encoder.2.pool.1.weight", &[4]),
        ("encoder.2.pool.1.bias", &[4]),
        ("encoder.2.pool.3.weight", &[4, 4, 1, 1]),
        ("encoder.3.weight", &[2, 4, 3, 3]),
        ("encoder.3.bias", &[2]),
        ("decoder.1.weight", &[4, 2, 3, 3]),
        ("decoder.1.bias", &[4]),
        ("decoder.4.weight", &[3, 4, 3, 3]),
        ("decoder.4.bias", &[3]),
    ];
    let zeros = [0.0; 128 * 4];
    let tensor = |&(name, shape): &(&'static str, &[usize])| {
        (name, HostTensor::f32(shape, &zeros[..shape.iter().product::<usize>()]))
    };
    vec![example(&shapes.iter().map(tensor).collect::<Vec<_>>())]
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let file = SafeTensors::from_bytes("vae.safetensors", bytes.to_vec().into()).map_err(message)?;
    let shapes = file.names().map(|name| Ok((name.to_owned(), file.info(name).map_err(message)?.shape.clone())));
    let autoencoder = Autoencoder::from_shapes(shapes.collect::<Result<_, String>>()?).map_err(message)?;
    tnas_graph::cost(&autoencoder.encoder(1, 16, 16).map_err(message)?);
    tnas_graph::cost(&autoencoder.decoder(1, 4, 4).map_err(message)?);
    Ok(())
}
