//! Prunes a burn module of one's own, with nothing of nlpress but this crate.
#![allow(clippy::print_stdout)]

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation::relu};
use nlpress_prune::{BackendKind, Fraction, Scope, Selectors, module};

#[derive(Module, Debug)]
struct Classifier {
    up: Linear,
    down: Linear,
}

impl Classifier {
    fn new(device: &Device) -> Self {
        Self { up: LinearConfig::new(100, 32).init(device), down: LinearConfig::new(32, 2).init(device) }
    }

    fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        self.down.forward(relu(self.up.forward(rows)))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = BackendKind::compiled().first().copied().ok_or("no backend is compiled in")?.open()?;
    let model = Classifier::new(backend.device());

    let selectors = Selectors::parse(&["*.weight"])?;
    let (model, report) =
        module::prune_magnitude(model, &selectors, Fraction::try_from(0.9)?, Scope::Global)?;

    for site in &report.sites {
        let kept = site.keep.iter().filter(|k| **k).count();
        println!("{}: {kept} of {} kept", site.path, site.keep.len());
    }
    println!("{} kept, {} dropped", report.kept, report.dropped);

    // While training goes on: `model = optimizer.step(rate, model, gradients); model = report.hold(model);`
    let model = report.hold(model);
    println!("{}", model.forward(Tensor::ones([1, 100], backend.device())));
    Ok(())
}
