//! Prunes and quantizes a burn network that nlpress knows nothing about: `cargo run --release`.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor, activation};
use nlpress_prune::{Fraction, Scope, module as prune};
use nlpress_quant::{Grid, Rounding, Selectors, module as quant};
use std::error::Error;

/// Any module will do; this one scores rows of 256 features.
#[derive(Module, Debug)]
struct Scorer {
    hidden: Linear,
    output: Linear,
}

impl Scorer {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(256, 64).init(device),
            output: LinearConfig::new(64, 2).init(device),
        }
    }

    fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        self.output.forward(activation::relu(self.hidden.forward(rows)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    #[allow(deprecated)] // burn prefers `flex`; either works
    let device = Device::ndarray();
    let scorer = Scorer::new(&device);
    let rows = Tensor::<2>::random([8, 256], Distribution::Default, &device);
    let before = scorer.forward(rows.clone());

    // Drop the smallest 80 % of both weights together, then round what is left to 8-bit integers.
    let on = Selectors::parse(&["*.weight"])?;
    let (scorer, pruned) = prune::prune_magnitude(scorer, &on, Fraction::try_from(0.8)?, Scope::Global)?;
    println!("pruned: {} of {} entries left", pruned.kept, pruned.kept + pruned.dropped);
    let int8 = Rounding::new(Grid::Int8);
    let (scorer, _) = quant::fake_quantize(scorer, &on, &int8)?;

    for parameter in quant::pack(&scorer, &on, &int8)? {
        let (path, matrix) = (&parameter.path, &parameter.matrix);
        println!(
            "{path}: {} bytes before, {} after ({})",
            parameter.bytes_before,
            matrix.bytes(),
            matrix.scheme()
        );
    }
    let moved = (scorer.forward(rows) - before).abs().mean().into_scalar::<f32>();
    println!("an output moved by {moved:.4} on average; train the network again to win that back");
    Ok(())
}
