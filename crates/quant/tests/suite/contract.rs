//! Every technique of this crate against the contract, on every backend that opens; and what they are for.

use nlpress_core::Seed;
use nlpress_core::event::Quiet;
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Graph, MlpSpec, Model, Network, SiteId, Weight};
use nlpress_quant::integers::{INT2, INT4, INT8};
use nlpress_quant::{KINDS, gradients};
use nlpress_technique::{Cx, Kind, StepError};
use nlpress_testkit::contract::check_all;
use nlpress_testkit::{Bench, backends, clear_rows, cpu, rows};
use nlpress_text::Rows;
use nlpress_train::{Fit, FitConfig, fit};

#[test]
fn every_kind_keeps_the_contract() {
    for backend in backends() {
        check_all(KINDS, &[], &backend).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

/// Applies `kind` with `with` to `model`, and returns the model with everything that was reported.
fn apply(
    kind: &Kind,
    with: &str,
    model: Model,
    on: &[&str],
    bench: &Bench,
) -> Result<(Model, Vec<(String, f64)>), StepError> {
    let backend = cpu();
    let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
    let on: Vec<SiteId> = on.iter().map(|s| SiteId::new(*s)).collect();
    let mut problems = Vec::new();
    let planned = technique.plan(&model.outline(), &on, &mut problems);
    if let Some(problem) = problems.first() {
        return Err(StepError::Failed(problem.to_string()));
    }
    let mut cx = Cx::new(Seed(4), &backend, (bench.train(), bench.valid()), &Quiet);
    let model = technique.apply(model, &on, &mut cx)?.model;
    assert!(model.outline() == planned || !technique.exact() && model.outline().fits_within(&planned));
    Ok((model, cx.measured.into_iter().map(|m| (m.name, m.value)).collect()))
}

/// The settings without which a kind does not run, or not quickly.
fn least(kind: &Kind) -> &'static str {
    match kind.name {
        "quant.gradients" => "fit = { epochs = 1 }",
        "quant.mixed" => "bytes = 500",
        _ => "",
    }
}

/// Accuracy on rows that were not trained on.
fn score(model: &Model, unseen: &Dataset) -> f64 {
    let logits = Network::bind(model, &cpu()).logits_of(unseen).unwrap();
    accuracy(&logits, 1, unseen.labels())
}

fn value(measured: &[(String, f64)], name: &str) -> f64 {
    measured.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} in {measured:?}")).1
}

/// The bench's model with every third entry of `hidden.0` pruned.
fn masked(bench: &Bench) -> Model {
    let layer = &bench.model().layers()[0];
    let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 3 != 0).collect();
    let values = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    bench.model().clone().with_weight(&SiteId::hidden(0), Weight::Masked { values, keep }).unwrap()
}

#[test]
fn eight_bits_take_a_quarter_and_cost_next_to_nothing() {
    let bench = Bench::new(&cpu()).unwrap();
    let (model, measured) = apply(&INT8, "", bench.model().clone(), &["hidden.0"], &bench).unwrap();
    assert!(value(&measured, "sqnr.hidden.0") > 35.0, "{measured:?}");
    assert_eq!(value(&measured, "site_bytes"), (24 * 12 + 4 * 12) as f64);
    assert_eq!(value(&measured, "site_bytes_as_f32"), (4 * 24 * 12) as f64);
    let unseen = rows(400, 17).unwrap();
    let (coded, exact) = (score(&model, &unseen), score(bench.model(), &unseen));
    assert!((coded - exact).abs() <= 0.02, "{coded} {exact}");
}

#[test]
fn a_masked_site_keeps_its_mask_through_every_kind() {
    let bench = Bench::new(&cpu()).unwrap();
    // One code for several outputs cannot leave one of them out, and nothing takes factors for the first site: planning
    // refuses both.
    let refused = ["quant.product", "quant.smooth"];
    for kind in KINDS.iter().filter(|kind| !refused.contains(&kind.name)) {
        let model = masked(&bench);
        let keep = model.layers()[0].weight.keep();
        let (after, _) = apply(kind, least(kind), model, &["hidden.0"], &bench).unwrap();
        assert_eq!(after.layers()[0].weight.keep(), keep, "{}", kind.name);
        assert!(after.layers()[0].weight.values().iter().zip(&keep).all(|(v, k)| *k || *v == 0.0));
    }
}

#[test]
fn packed_sites_are_refused() {
    let bench = Bench::new(&cpu()).unwrap();
    let (packed, _) = apply(&INT8, "", bench.model().clone(), &["hidden.0"], &bench).unwrap();
    for kind in KINDS {
        let error = apply(kind, least(kind), packed.clone(), &["hidden.0"], &bench).unwrap_err();
        assert!(error.to_string().contains("packed int8/channel"), "{}: {error}", kind.name);
    }
    let on_the_rest =
        apply(&gradients::KIND, "fit = { epochs = 1 }", packed.clone(), &["output"], &bench).unwrap().0;
    assert_eq!(on_the_rest.layers()[0], packed.layers()[0]);
}

#[test]
fn integer_gradients_train_as_well_as_floats_in_a_quarter_of_the_bytes() {
    let bench = Bench::new(&cpu()).unwrap();
    let (train, unseen) = (clear_rows(96, 15).unwrap(), clear_rows(400, 16).unwrap());
    let with = "compare = false\nfit = { epochs = 40, learning_rate = 0.01 }";
    let technique = (gradients::KIND.parse)(&with.parse().unwrap()).unwrap();
    let backend = cpu();
    let mut cx = Cx::new(Seed(4), &backend, (&train, &unseen), &Quiet);
    let all = ["hidden.0", "hidden.1", "output"].map(SiteId::new);
    let model = technique.apply(bench.model().clone(), &all, &mut cx).unwrap().model;
    let measured: Vec<(String, f64)> = cx.measured.into_iter().map(|m| (m.name, m.value)).collect();
    let steps = 40.0 * 3.0;
    assert_eq!(value(&measured, "gradient_bytes_as_f32"), steps * 4.0 * 413.0);
    // 300 numbers in two blocks, 104 in one, 9 in one.
    assert_eq!(value(&measured, "gradient_bytes"), steps * (413.0 + 4.0 * 4.0));
    let config: FitConfig = toml::from_str("epochs = 40\nlearning_rate = 0.01").unwrap();
    let fresh = Model::init(bench.model().graph(), Seed(5)).unwrap();
    let floats = fit(fresh, Fit::new(&config, &backend, &train, Seed(4), &Quiet)).unwrap().0;
    let (coded, whole) = (score(&model, &unseen), score(&floats, &unseen));
    assert!(coded > 0.8 && coded > whole - 0.05, "{coded} {whole}");
    let (whole, measured) = apply(
        &gradients::KIND,
        "block = 'site'\nfit = { epochs = 1 }",
        bench.model().clone(),
        &["output"],
        &bench,
    )
    .unwrap();
    assert_eq!(value(&measured, "gradient_bytes"), 3.0 * (404.0 * 4.0 + 9.0 + 4.0));
    assert_ne!(&whole, bench.model());
}

/// Cases beside the examples: outliers with each grid that has them, and with fixed scales of the activations.
#[test]
fn outliers_keep_the_contract() {
    let with_all = "outliers = 8\nactivations = { calibrator = 'minmax', samples = 40 }";
    for bench in backends().iter().map(|backend| Bench::new(backend).unwrap()) {
        for (kind, example) in [
            (INT8, "outliers = 3"),
            (INT8, with_all),
            (INT4, "per = 'tensor'\noutliers = 2"),
            (INT2, with_all),
        ] {
            bench.check(&Kind { example, ..kind }).unwrap();
        }
    }
    let attention = Bench::attention(&cpu()).unwrap();
    for example in ["outliers = 4", with_all] {
        attention.check(&Kind { example, ..INT4 }).unwrap();
    }
}

/// The bench's network and rows with one input so many times as large, and its weights as much smaller.
fn lopsided(bench: &Bench, input: u32, times: f32) -> (Model, Dataset) {
    let data = bench.valid();
    let rows = data.features().unwrap().clone().map_rows(|columns, values| {
        values.iter_mut().zip(columns).filter(|(_, c)| **c == input).for_each(|(x, _)| *x *= times);
    });
    let data = Dataset::new(rows, data.labels().to_vec(), data.classes()).unwrap();
    let layer = &bench.model().layers()[0];
    let mut values = layer.weight.values().into_owned();
    let outputs = layer.shape.outputs;
    values[input as usize * outputs..][..outputs].iter_mut().for_each(|w| *w /= times);
    (bench.model().clone().with_weight(&layer.id, Weight::Dense(values)).unwrap(), data)
}

/// Rows of numbers that are all alike.
fn alike(count: usize, width: usize) -> Dataset {
    let mut rng = Seed(8).stream(0);
    let dense: Vec<f32> = (0..count * width).map(|_| rng.uniform()).collect();
    let labels = (0..count as u32).map(|row| row % 2).collect();
    Dataset::new(Rows::from_dense(count, width, &dense).unwrap(), labels, 2).unwrap()
}

#[test]
fn an_input_that_is_a_hundred_times_the_others_is_kept_and_others_are_not() {
    let (backend, site) = (cpu(), SiteId::hidden(0));
    let bench = Bench::new(&backend).unwrap();
    let (model, data) = lopsided(&bench, 7, 100.0);
    let logits = |model: &Model, data| Network::bind(model, &backend).logits_of(data).unwrap();
    let made = |with: &str, model: &Model, data: &Dataset| {
        let technique = (INT8.parse)(&with.parse().unwrap()).unwrap();
        let mut cx = Cx::new(Seed(4), &backend, (data, data), &Quiet);
        let model = technique.apply(model.clone(), std::slice::from_ref(&site), &mut cx).unwrap().model;
        (model, cx.measured.into_iter().map(|m| (m.name, m.value)).collect::<Vec<_>>())
    };
    for fixed in ["", "\nactivations = { calibrator = 'minmax' }"] {
        let error = |with: &str| -> f64 {
            let (after, exact) = (logits(&made(with, &model, &data).0, &data), logits(&model, &data));
            after.iter().zip(exact).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
        };
        let (without, with) = (error(&fixed[fixed.len().min(1)..]), error(&format!("outliers = 8{fixed}")));
        assert!(5.0 * with <= without, "{with} {without}");

        let (after, measured) = made(&format!("outliers = 8{fixed}"), &model, &data);
        let Weight::Packed { matrix, .. } = &after.layers()[0].weight else { panic!("it was packed") };
        assert!(matrix.outliers().unwrap().inputs().contains(&7));
        let kept = matrix.outliers().unwrap().inputs().len();
        assert_eq!(value(&measured, "outliers.hidden.0"), kept as f64);
        assert!(value(&measured, "outlier_error_ratio.hidden.0") < 0.04, "{measured:?}");
        let bytes = 24 * 12 + 4 * 12 + kept * (4 + 2 * 12) + if fixed.is_empty() { 0 } else { 4 };
        assert_eq!(value(&measured, "site_bytes"), bytes as f64);

        // A network in whose rows nothing stands out: none, and the same model as without the setting.
        let even = Model::init(&Graph::from(MlpSpec::new(200, &[16], 1, 0.0)), Seed(3)).unwrap();
        let (plain, measured) = made(&format!("outliers = 4{fixed}"), &even, &alike(64, 200));
        assert_eq!(value(&measured, "outliers.hidden.0"), 0.0);
        assert_eq!(plain, made(&fixed[fixed.len().min(1)..], &even, &alike(64, 200)).0);
    }
}
