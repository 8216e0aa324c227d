//! Any two techniques that the plans allow, one after the other: what is made is what was planned, whatever came before.
//!
//! A plan sees outlines only, so of all techniques that leave the same outline one goes first.

use nlpress_model::Outline;
use nlpress_pipeline::kinds;
use nlpress_technique::Made;
use nlpress_testkit::{Bench, cpu};

/// What some technique leaves of the network, one of each outline, with the technique's name.
fn firsts(bench: &Bench) -> Vec<(&'static str, Made)> {
    let mut seen: Vec<Outline> = Vec::new();
    let mut firsts = Vec::new();
    for kind in kinds::all().filter(|kind| bench.runs(kind)) {
        let made = bench.run(kind, 1).unwrap();
        let outline = made.model.outline();
        if !seen.contains(&outline) {
            seen.push(outline);
            firsts.push((kind.name, made));
        }
    }
    firsts
}

fn compose(bench: &Bench) {
    let (mut done, mut refused, mut wrong) = (0, 0, Vec::new());
    let firsts = firsts(bench);
    for (first, made) in &firsts {
        for kind in kinds::all() {
            match bench.then(made, kind) {
                Ok(Some(_)) => done += 1,
                Ok(None) => refused += 1,
                // Plans know how many entries are kept in all, not at which site.
                Err(why) if why.contains("entries are kept, fewer than") => refused += 1,
                // Which widths are left to choose from shows in what the search measures.
                Err(why) if kind.name == "prune.search" && why.starts_with("apply") => refused += 1,
                Err(why) => wrong.push(format!("{first}, then {}: {why}", kind.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}: {}", bench.name(), wrong.join("\n"));
    assert!(firsts.len() >= 8 && done >= 150, "{} outlines, {done} pairs, {refused} refused", firsts.len());
}

#[test]
fn techniques_compose_on_a_perceptron() {
    compose(&Bench::new(&cpu()).unwrap());
}

#[test]
fn techniques_compose_on_an_attention_network() {
    compose(&Bench::attention(&cpu()).unwrap());
}
