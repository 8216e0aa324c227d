//! Inference in integers: near to what floats answer, and without a float.

#![cfg(test)]

mod common;

use common::{artifact, encoder, random, texts};
use nlpress_artifact::{Artifact, EncoderParts, Layer, Provenance};
use nlpress_graph::{AttentionSpec, BlockSpec, Form, Graph, MlpSpec, Outline, Ranks, SiteId};
use nlpress_packed::{Activations, Grid, Index, Int, Matrix, Per, Scales, Scheme, Values};
use nlpress_runtime::integer::ONE;
use nlpress_runtime::{IntegerScratch, Session};
use nlpress_text::{BagEncoder, EncoderConfig, Weighting};

const VOCABULARY: usize = 200;

/// A network of that shape with 8-bit weights, whose activations are fixed at what fits numbers up to 4.
fn session(graph: &Graph, per: Per, zero_points: bool, config: EncoderConfig) -> Session {
    let mut next = random(11);
    let mut outline = Outline::dense(graph);
    let mut layers = Vec::new();
    for site in &mut outline.sites {
        let (inputs, outputs) = (site.shape.inputs, site.shape.outputs);
        let int = Int { zero_points, activations: Activations::Static, ..Int::new(Grid::Int8, per) };
        site.form = Form::Packed(Scheme { values: Values::Int(int), index: Index::Full });
        let q: Vec<i32> = (0..inputs * outputs).map(|_| (next() * 253.0) as i32 - 126).collect();
        let count = per.scales(inputs, outputs);
        let spread = 1.7 / (inputs.min(24) as f32).sqrt() / 127.0;
        let scales = Scales::of(per, (0..count).map(|_| spread * (0.5 + next())).collect());
        let shape = (inputs, outputs);
        let matrix = match zero_points {
            true => {
                let points = (0..count).map(|_| (next() * 30.0) as i8 - 15).collect();
                Matrix::affine(shape, Grid::Int8, &q, scales, points).unwrap()
            }
            false => Matrix::quantized(shape, Grid::Int8, &q, scales, None, Index::Full).unwrap(),
        };
        // With scales of rows, activations are small numbers.
        let step = if per == Per::Row { 4.0 * spread / 127.0 } else { 4.0 / 127.0 };
        let matrix = matrix.with_activations(step).unwrap();
        let bias = (0..outputs).map(|_| next() * 0.2 - 0.1).collect();
        layers.push(Layer { id: site.id.clone(), matrix, bias });
    }
    let all: Vec<String> = texts(40, VOCABULARY, 30).into_iter().chain([common_words()]).collect();
    let encoder = BagEncoder::fit(&config, all.iter().map(String::as_str)).unwrap();
    assert_eq!(encoder.width(), VOCABULARY);
    let (config, blob) = encoder.to_parts();
    let labels = (0..graph.outputs().max(2)).map(|n| format!("class {n}")).collect();
    let parts = EncoderParts { config, blob };
    let artifact = Artifact::new(outline, layers, vec![], labels, parts, Provenance::default()).unwrap();
    Session::from_artifact(artifact).unwrap()
}

/// A text with every word that the made-up texts are of.
fn common_words() -> String {
    encoder(VOCABULARY).words().join(" ")
}

fn perceptron(outputs: usize) -> Graph {
    Graph::from(MlpSpec::new(VOCABULARY, &[48, 24], outputs, 0.0))
}

fn attention() -> Graph {
    Graph::from(AttentionSpec {
        inputs: VOCABULARY,
        width: 24,
        head_width: 8,
        layers: vec![BlockSpec { heads: 2, neurons: 20 }; 2],
        outputs: 3,
        dropout: 0.0,
        tokens: 16,
        ranks: Ranks::from([(SiteId::new("encoder.0.ffn.up"), 12)]),
    })
}

#[test]
fn integers_answer_nearly_what_floats_answer() {
    let plain = EncoderConfig::default();
    let configs = [
        plain.clone(),
        EncoderConfig { sublinear: true, ..plain.clone() },
        EncoderConfig { weighting: Weighting::Binary, l2: false, ..plain.clone() },
        EncoderConfig { weighting: Weighting::Count, l2: false, ..plain.clone() },
        EncoderConfig { weighting: Weighting::Count, ..plain },
    ];
    let specs = [perceptron(1), perceptron(4), attention()];
    let pers = [Per::Channel, Per::Tensor, Per::Row];
    for (graph, per) in specs.iter().flat_map(|graph| pers.map(|per| (graph, per))) {
        for (config, zero_points) in configs.iter().flat_map(|c| [(c, false), (c, true)]) {
            let session = session(graph, per, zero_points, config.clone());
            let integers = session.in_integers().unwrap();
            let mut scratch = IntegerScratch::default();
            let (mut same, mut count, mut apart) = (0, 0, 0.0);
            let all: Vec<String> = texts(60, VOCABULARY, 25).into_iter().chain([String::new()]).collect();
            let rows = session.encoder().bag().unwrap().encode_all(&all);
            let floats = session.logits(&rows).unwrap();
            let largest = floats.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
            for (text, floats) in all.iter().zip(floats.chunks_exact(graph.outputs())) {
                let found: Vec<f32> = integers
                    .logits(text, &mut scratch)
                    .unwrap()
                    .iter()
                    .map(|x| *x as f32 / ONE as f32)
                    .collect();
                for (a, b) in found.iter().zip(floats) {
                    // A tie in rounding may fall either way, which is a step of the activations.
                    let most = largest * if graph.is_chain() { 0.08 } else { 0.2 };
                    apart += (a - b).abs();
                    assert!((a - b).abs() <= most, "{per} {zero_points} {config:?}: {found:?} {floats:?}");
                }
                let class = session.predict(text).unwrap().class;
                assert_eq!(
                    integers.classify(text, &mut scratch).unwrap(),
                    integers.class(integers.logits(text, &mut scratch).unwrap())
                );
                same += usize::from(integers.classify(text, &mut scratch).unwrap() == class);
                count += 1;
            }
            let mean = apart / floats.len() as f32;
            assert!(mean <= largest * 0.02, "{mean} of {largest}: {per} {zero_points} {config:?}");
            assert!(same * 100 >= count * 93, "{same} of {count}: {per} {zero_points} {config:?}");
        }
    }
}

/// A network whose scales and steps are powers of two, so that nothing is ever rounded: what an activation of a site
/// stands for is a multiple of the next site's step. What is beyond the levels is clipped, here and there alike.
fn exact_session(graph: &Graph, per: Per, zero_points: bool) -> Session {
    let mut next = random(3);
    let mut outline = Outline::dense(graph);
    let mut layers = Vec::new();
    // What all numbers that come into a site are multiples of: counts are whole.
    let mut grain = 1.0_f32;
    for site in &mut outline.sites {
        let shape = (site.shape.inputs, site.shape.outputs);
        let int = Int { zero_points, activations: Activations::Static, ..Int::new(Grid::Int8, per) };
        site.form = Form::Packed(Scheme { values: Values::Int(int), index: Index::Full });
        let q: Vec<i32> = (0..shape.0 * shape.1).map(|_| (next() * 9.0) as i32 - 4).collect();
        // 1/8 or 1/4 for what is multiplied after the sum; 1 or 1/2 for what is before it.
        let (step, scales, finest) = match per {
            Per::Row => (
                grain / 2.0,
                (0..shape.0).map(|_| if next() < 0.5 { 1.0 } else { 0.5 }).collect(),
                grain / 2.0,
            ),
            _ => {
                let count = per.scales(shape.0, shape.1);
                let scales = (0..count).map(|_| if next() < 0.5 { 0.25 } else { 0.125 }).collect();
                (grain, scales, grain / 8.0)
            }
        };
        let scales = Scales::of(per, scales);
        // A bias is kept in units of the sums: of what an integer of them stands for.
        let unit = |j| match &scales {
            Scales::Row(_) => step,
            all => step * all.all()[all.place(0, j, shape.1)],
        };
        let bias = (0..shape.1).map(|j| ((next() * 9.0) as i32 - 4) as f32 * unit(j)).collect();
        let matrix = match zero_points {
            true => {
                let points = (0..per.scales(shape.0, shape.1)).map(|n| (n % 5) as i8 - 2).collect();
                Matrix::affine(shape, Grid::Int8, &q, scales, points).unwrap()
            }
            false => Matrix::quantized(shape, Grid::Int8, &q, scales, None, Index::Full).unwrap(),
        };
        let matrix = matrix.with_activations(step).unwrap();
        layers.push(Layer { id: site.id.clone(), matrix, bias });
        grain = finest;
    }
    assert!(grain >= 1.0 / ONE as f32);
    let config = EncoderConfig { weighting: Weighting::Count, l2: false, ..EncoderConfig::default() };
    let all: Vec<String> = texts(40, VOCABULARY, 30).into_iter().chain([common_words()]).collect();
    let (config, blob) = BagEncoder::fit(&config, all.iter().map(String::as_str)).unwrap().to_parts();
    let labels = (0..graph.outputs().max(2)).map(|n| format!("class {n}")).collect();
    let parts = EncoderParts { config, blob };
    let artifact = Artifact::new(outline, layers, vec![], labels, parts, Provenance::default()).unwrap();
    Session::from_artifact(artifact).unwrap()
}

#[test]
fn where_nothing_is_rounded_integers_and_floats_are_the_same() {
    let bottleneck = |ranks: Ranks| {
        Graph::from(AttentionSpec {
            inputs: VOCABULARY,
            width: 24,
            head_width: 8,
            layers: vec![],
            outputs: 3,
            dropout: 0.0,
            tokens: 64,
            ranks,
        })
    };
    let mlp = |hidden: &[usize], outputs| Graph::from(MlpSpec::new(VOCABULARY, hidden, outputs, 0.0));
    let specs = [
        mlp(&[], 1),
        mlp(&[], 5),
        mlp(&[16], 3),
        mlp(&[24, 9], 2),
        bottleneck(Ranks::new()),
        bottleneck(Ranks::from([(SiteId::new("embedding"), 6)])),
    ];
    let mut all = std::collections::BTreeSet::new();
    for (graph, per) in
        specs.iter().flat_map(|graph| [Per::Tensor, Per::Channel, Per::Row].map(|p| (graph, p)))
    {
        for zero_points in [false, true] {
            let session = exact_session(graph, per, zero_points);
            let integers = session.in_integers().unwrap();
            let mut scratch = IntegerScratch::default();
            let mut seen = std::collections::BTreeSet::new();
            for length in [0, 1, 2, 5, 12, 40] {
                for text in texts(6, VOCABULARY, length) {
                    let floats =
                        session.logits(&session.encoder().bag().unwrap().encode_all(&[&text])).unwrap();
                    let found = integers.logits(&text, &mut scratch).unwrap();
                    let exact: Vec<f32> = found.iter().map(|x| *x as f32 / ONE as f32).collect();
                    assert_eq!(exact, floats, "{graph:?} {per} {zero_points} {length} words");
                    seen.extend(found.iter().copied());
                }
            }
            all.extend(seen);
        }
    }
    assert!(all.len() > 50, "nothing was tested");
}

/// The bits of the answers, as a number that was found on one processor and has to be found on all.
#[test]
fn every_processor_answers_the_same_bits() {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for graph in [perceptron(1), perceptron(4), attention()] {
        for per in [Per::Channel, Per::Row] {
            let session = session(&graph, per, per == Per::Channel, EncoderConfig::default());
            let integers = session.in_integers().unwrap();
            let mut scratch = IntegerScratch::default();
            for text in texts(50, VOCABULARY, 25) {
                for byte in integers.logits(&text, &mut scratch).unwrap().iter().flat_map(|x| x.to_le_bytes())
                {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
    }
    assert_eq!(hash, 0xf66477b47c97656e, "{hash:#x}");
}

#[test]
fn what_is_no_integer_is_named() {
    let int = |int: Int| Form::Packed(Scheme { values: Values::Int(int), index: Index::Full });
    let fixed = |grid, per| Int { activations: Activations::Static, ..Int::new(grid, per) };
    for (form, says) in [
        (Form::Dense, "it is f32, but integers of up to 8 bits are needed"),
        (int(Int::new(Grid::Int8, Per::Channel)), "the scale of its activations must be fixed"),
        (int(fixed(Grid::Int16, Per::Tensor)), "it is int16/tensor static, but integers of up to 8 bits"),
        (int(fixed(Grid::Int4, Per::Group(16))), "without groups of scales"),
        (
            int(Int { outliers: 2, ..fixed(Grid::Int8, Per::Channel) }),
            "it is int8/channel static with 2 outliers, but its outliers are multiplied as floats",
        ),
    ] {
        let session = Session::from_artifact(artifact(form, 50, &[8], 2, 100)).unwrap();
        let error = session.in_integers().unwrap_err();
        assert!(
            error.to_string().starts_with("site hidden.0: ") && error.to_string().contains(says),
            "{error}"
        );
    }
    for grid in [Grid::Int8, Grid::Int4, Grid::Int3, Grid::Int2, Grid::Ternary, Grid::Binary] {
        let session =
            Session::from_artifact(artifact(int(fixed(grid, Per::Channel)), 50, &[8], 2, 100)).unwrap();
        assert!(session.in_integers().is_ok());
    }
}

/// Instructions of this program by the function that they are in, from the machine code itself.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod machine_code {
    use super::{EncoderConfig, Per, perceptron, session};
    use nlpress_runtime::IntegerScratch;
    use std::process::Command;

    /// Whether an instruction computes with floats. Moves and bitwise ones do not.
    fn is_float(instruction: &str) -> bool {
        let name = instruction.split_whitespace().next().unwrap_or_default();
        if cfg!(target_arch = "aarch64") {
            let kinds = [
                "fadd", "fsub", "fmul", "fdiv", "fsqrt", "fmadd", "fmla", "fcvt", "scvtf", "ucvtf", "fcmp",
                "frint",
            ];
            return kinds.iter().any(|kind| name.starts_with(kind));
        }
        let plain = name.strip_prefix('v').unwrap_or(name);
        let operations = [
            "add", "sub", "mul", "div", "sqrt", "min", "max", "round", "rcp", "rsqrt", "cmp", "comi",
            "ucomi", "hadd",
        ];
        let types = ["ss", "sd", "ps", "pd"];
        plain.starts_with("cvt")
            || plain.starts_with("fmadd") && plain.len() > 5
            || types.iter().any(|t| {
                plain
                    .strip_suffix(t)
                    .is_some_and(|rest| operations.contains(&rest) || rest.starts_with("cmp"))
            })
    }

    /// For each function, its name and whether it computes with floats.
    fn functions() -> Vec<(String, bool)> {
        let program = std::env::current_exe().unwrap();
        // The second for a program that is run under emulation.
        let tools = ["objdump".to_owned(), format!("{}-linux-gnu-objdump", std::env::consts::ARCH)];
        let outputs = tools.iter().filter_map(|tool| {
            Command::new(tool).args(["-d", "--no-show-raw-insn", "-C"]).arg(&program).output().ok()
        });
        let output = outputs.into_iter().find(|output| output.status.success());
        let output = output.expect("objdump comes with the compiler's linker (binutils)");
        let mut all: Vec<(String, bool)> = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
                all.push((name.to_owned(), false));
            } else if let (Some((_, instruction)), Some(last)) = (line.split_once(":\t"), all.last_mut()) {
                last.1 |= is_float(instruction);
            }
        }
        all
    }

    #[test]
    fn no_function_of_the_integer_path_computes_with_floats() {
        // So that the linker keeps all of it.
        let session = session(&perceptron(2), Per::Channel, false, EncoderConfig::default());
        let integers = session.in_integers().unwrap();
        assert!(integers.classify("worda wordb", &mut IntegerScratch::default()).unwrap() < 2);

        let functions = functions();
        let of = |part: &str| functions.iter().filter(|(name, _)| name.contains(part)).collect::<Vec<_>>();
        // Floats are found where they are.
        assert!(of("nlpress_kernels::multiply").iter().any(|(_, floats)| *floats));
        assert!(of("integer::prepare").iter().any(|(_, floats)| *floats));
        let mut looked_at = 0;
        for part in [
            "nlpress_runtime::integer::",
            "nlpress_kernels::accumulate",
            "::accumulate_with",
            "BagEncoder::tally",
            "nlpress_text::analyzer",
            "_i8",
        ] {
            let found = of(part);
            // What is done once, on opening, makes integers of floats.
            let opening = |name: &str| name.contains("prepare") || name.contains("in_integers");
            for (name, floats) in found.into_iter().filter(|(name, _)| !opening(name)) {
                assert!(!floats || name.contains("multiply"), "{name} computes with floats");
                looked_at += 1;
            }
        }
        assert!(looked_at >= 8, "only {looked_at} functions were found");
        for needed in ["IntegerSession", "accumulate"] {
            assert!(!of(needed).is_empty(), "{needed} is not in the program");
        }
    }
}
