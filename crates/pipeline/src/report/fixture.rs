//! A made-up report with the shape of a real one.

use super::*;

/// Id, family, parent, accuracy, file bytes, microseconds of 1 and of 32 rows.
type Made = (&'static str, Family, &'static str, f64, u64, f64, f64);

const ROWS: [Made; 22] = [
    ("teacher", Family::Baseline, "", 0.748, 604_300, 41.0, 640.0),
    ("control.linear", Family::Control, "", 0.746, 21_400, 3.1, 22.0),
    ("control.more", Family::Control, "teacher", 0.744, 604_300, 41.3, 642.0),
    ("control.student", Family::Control, "teacher", 0.747, 85_300, 7.2, 80.0),
    ("prune.neurons", Family::Clip, "teacher", 0.741, 203_800, 14.6, 190.0),
    ("prune.magnitude", Family::Clip, "teacher", 0.745, 121_600, 22.4, 410.0),
    ("prune.sparse", Family::Clip, "teacher", 0.738, 72_900, 12.9, 240.0),
    ("prune.layers", Family::Simplify, "teacher", 0.749, 563_100, 36.2, 588.0),
    ("prune.l1", Family::Clip, "teacher", 0.743, 118_200, 22.1, 405.0),
    ("prune.l2", Family::Clip, "teacher", 0.747, 604_300, 40.8, 645.0),
    ("prune.clip", Family::Clip, "teacher", 0.744, 604_300, 40.9, 640.0),
    ("quant.int32", Family::Quantize, "teacher", 0.748, 604_900, 58.0, 960.0),
    ("quant.int8.tensor", Family::Quantize, "teacher", 0.745, 164_100, 9.0, 105.0),
    ("quant.int8.channel", Family::Quantize, "teacher", 0.748, 165_300, 9.1, 106.0),
    ("quant.gradients", Family::Quantize, "teacher", 0.742, 604_300, 41.0, 641.0),
    ("distill.student", Family::Distill, "teacher", 0.750, 85_300, 7.1, 80.0),
    ("distill.validation", Family::Distill, "teacher", 0.746, 85_300, 7.2, 80.0),
    ("distill.outputs", Family::Distill, "teacher", 0.727, 52_700, 5.0, 51.0),
    ("parallel.data", Family::Parallel, "teacher", 0.747, 604_300, 41.2, 640.0),
    ("parallel.model", Family::Parallel, "teacher", 0.748, 604_300, 41.1, 639.0),
    ("parallel.tasks", Family::Parallel, "teacher", 0.745, 604_300, 41.0, 640.0),
    ("chain", Family::Chain, "teacher", 0.744, 27_200, 2.9, 18.0),
];

/// 22 rows, among them ones that are not smaller, not faster and less accurate.
pub(super) fn report() -> Report {
    let documents = [("train", 8000), ("validation", 1000), ("test", 2000)];
    Report {
        schema: SCHEMA,
        machine: Machine {
            cpu: "Some CPU @ 2.6 GHz".into(),
            cores: 2,
            architecture: "x86_64".into(),
            features: ["avx2", "avx512f", "avx512vnni"].map(String::from).into(),
            os: "Debian 13, linux 6.12".into(),
            memory_bytes: Some(8_300_000_000),
        },
        corpus: CorpusInfo {
            name: "embedded".into(),
            sha256: "3f".repeat(32),
            classes: 2,
            documents: documents.map(|(name, n)| (name.into(), n)).into(),
            features: 1000,
            source: "film reviews, built in".into(),
            majority: Some(Majority { label: "neg".into(), accuracy: 0.5, macro_f1: 1.0 / 3.0 }),
            known: Some(Known {
                documents: 2000,
                documents_without: 3,
                tokens: 36_000,
                tokens_unknown: 9_000,
            }),
        },
        recipe: RecipeInfo {
            path: "recipes/article.toml".into(),
            sha256: "a9".repeat(32),
            name: "the article".into(),
            seed: 7,
            seeds: 3,
            quick: false,
        },
        backend: "ndarray".into(),
        threads: 2,
        rows: ROWS.iter().map(row).collect(),
        alike_points: 1.0,
        floors: ["text1", "batch1", "batch32", "rows_per_s.1"]
            .map(|call| (call.into(), Floor { reopened: 1.031, control: 1.004, rounds: 150 }))
            .into(),
        advice: String::new(),
        failed: Vec::new(),
        notes: vec!["2000 test documents; a difference below about one point cannot be seen.".into()],
    }
}

/// Few enough digits that JSON's reader, which may err in the seventeenth, reads them exactly.
fn round(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

fn around(mean: f64, half: f64) -> Estimate {
    Estimate { mean: round(mean), ci95: [round(mean - half), round(mean + half)] }
}

fn spread(p50: f64) -> Percentiles {
    Percentiles { p50, p90: round(1.1 * p50), p99: round(1.6 * p50) }
}

fn ratio(median: f64) -> Ratio {
    let ends = |share: f64| [round(median * (1.0 - share)), round(median * (1.0 + share))];
    let ([q1, q3], interval) = (ends(0.02), Some(ends(0.03)));
    Ratio { median: round(median), q1, q3, interval }
}

fn row(made: &Made) -> Row {
    let (id, family, parent, accuracy, file_bytes, one, batch) = *made;
    let teacher = &ROWS[0];
    let (text, teachers_text) = (one + 24.0, teacher.5 + 24.0);
    let versus = || {
        let versus = Versus {
            accuracy: around(accuracy - teacher.3, 0.007),
            file_ratio: round(file_bytes as f64 / teacher.4 as f64),
            text1_speedup: Some(ratio(teachers_text / text)),
            rows_per_s_speedup: [("1".into(), ratio(teachers_text / text))].into(),
            batch1_speedup: ratio(teacher.5 / one),
            batch32_speedup: ratio(teacher.6 / batch),
            ..Versus::default()
        };
        let judged = versus.judged(1.0);
        if family == Family::Parallel { Versus { faster: false, slower: false, ..judged } } else { judged }
    };
    let unshrunk =
        || Unshrunk { what: "vocabulary".into(), bytes: 9_100, why: "words are needed as they are".into() };
    Row {
        id: id.into(),
        family,
        parent: (!parent.is_empty()).then(|| parent.into()),
        technique: format!("{id}(…)"),
        seeds: 3,
        quality: Quality {
            accuracy: around(accuracy, 0.019),
            macro_f1: around(accuracy - 0.002, 0.019),
            nll: around(0.53, 0.02),
            agreement: around(0.96, 0.009),
        },
        size: Size {
            file_bytes,
            weight_bytes: file_bytes.saturating_sub(12_000),
            vocabulary_bytes: 9_100,
            unshrunk: (!parent.is_empty()).then(unshrunk).into_iter().collect(),
            parameters: 136_577,
            nonzeros: 136_577,
            macs: 136_256,
            mean_macs: None,
        },
        speed: Speed {
            batch1_us: spread(one),
            batch32_us: spread(batch),
            text1_us: Some(spread(text)),
            rows_per_s: [("1", 3.2e7 / batch), ("2", 5.9e7 / batch)]
                .map(|(t, r)| (t.into(), round(r)))
                .into(),
            rss_bytes: Some(9_000_000),
        },
        versus_parent: (!parent.is_empty()).then(versus),
        versus_baseline: (id != "teacher").then(versus),
        training: (family == Family::Parallel).then(|| Training {
            seconds: Some(1.25),
            serial_seconds: Some(2.0),
            speedup: Some(ratio(1.6)),
            exchanged_bytes: Some(1_200_000),
        }),
        rolled_back: BTreeMap::new(),
        curves: vec![Curve {
            epochs: (1..=5)
                .map(|epoch| Epoch {
                    epoch,
                    loss: 1.0 / f64::from(1 << epoch),
                    valid_accuracy: Some(accuracy),
                })
                .collect(),
        }],
        measured: vec![Measurement::higher("sparsity", 0.9, "1"), Measurement::lower("error", 0.004, "rms")],
        cost_s: 3.4,
        artifact: format!("artifacts/{id}.nlpress"),
        sha256: "0c".repeat(32),
        artifacts: (0..3)
            .map(|seed| SeedArtifact {
                seed,
                path: format!("artifacts/{id}-{seed}.nlpress"),
                sha256: "0c".repeat(32),
            })
            .collect(),
        notes: vec![],
    }
}
