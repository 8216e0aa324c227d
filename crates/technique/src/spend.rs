//! Budget allocation, a multiple-choice knapsack: one option (sparsity or precision) for each site, so that the costs fit a
//! budget and the loss rises least.

use serde::{Deserialize, Serialize};

/// Steps into which a budget is divided for the knapsack: costs are rounded up to whole steps.
const STEPS: u64 = 4096;

/// How a budget is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The least sum of rises within the budget.
    #[default]
    Knapsack,
    /// Step by step, the least rise for each unit saved.
    Greedy,
    /// The same share for each site.
    Uniform,
}

/// One way to treat a site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What it takes of the budget.
    pub cost: u64,
    /// How much the loss rises by it.
    pub rise: f64,
}

/// One choice for each site, by number, whose costs are within `budget` and whose rises are the least together;
/// `None` when even the cheapest do not fit.
///
/// For [`Method::Knapsack`] costs are rounded up to a 4096th of the budget, so that the least is exact up to that.
///
/// # Panics
/// When a site has no choice, or the method is [`Method::Uniform`], which chooses nothing: mistakes of the caller.
pub fn spend(sites: &[Vec<Choice>], budget: u64, method: Method) -> Option<Vec<usize>> {
    let cheapest = |choices: &Vec<Choice>| choices.iter().map(|c| c.cost).min().expect("a site has a choice");
    if sites.iter().map(cheapest).fold(0, u64::saturating_add) > budget {
        return None;
    }
    match method {
        Method::Knapsack => knapsack(sites, budget).or_else(|| Some(greedy(sites, budget))),
        Method::Greedy => Some(greedy(sites, budget)),
        Method::Uniform => unreachable!("the same share for each site is no choice"),
    }
}

fn greedy(sites: &[Vec<Choice>], budget: u64) -> Vec<usize> {
    let least = |choices: &Vec<Choice>| {
        let better = |a: &usize, b: &usize| {
            let (a, b) = (choices[*a], choices[*b]);
            a.rise.total_cmp(&b.rise).then(a.cost.cmp(&b.cost))
        };
        (0..choices.len()).min_by(better).expect("a site has a choice")
    };
    let mut chosen: Vec<usize> = sites.iter().map(least).collect();
    let total = |chosen: &[usize]| -> u64 { sites.iter().zip(chosen).map(|(s, c)| s[*c].cost).sum() };
    while total(&chosen) > budget {
        let mut best: Option<(f64, usize, usize)> = None;
        for (site, choices) in sites.iter().enumerate() {
            let now = choices[chosen[site]];
            for (i, choice) in choices.iter().enumerate().filter(|(_, c)| c.cost < now.cost) {
                let price = (choice.rise - now.rise) / (now.cost - choice.cost) as f64;
                if best.is_none_or(|(least, ..)| price < least) {
                    best = Some((price, site, i));
                }
            }
        }
        let (_, site, choice) = best.expect("the cheapest choices fit, so one is cheaper");
        chosen[site] = choice;
    }
    chosen
}

/// Exact up to the rounding of costs; `None` where the rounding is what does not fit.
fn knapsack(sites: &[Vec<Choice>], budget: u64) -> Option<Vec<usize>> {
    let step = budget.div_ceil(STEPS).max(1);
    let room = (budget / step) as usize;
    // The least rise with at most so many steps, and the choice that made it, site by site.
    let mut best = vec![0.0; room + 1];
    let mut made: Vec<Vec<u16>> = Vec::new();
    for choices in sites {
        let mut next = vec![f64::INFINITY; room + 1];
        let mut by = vec![u16::MAX; room + 1];
        for (i, choice) in choices.iter().enumerate() {
            let cost = usize::try_from(choice.cost.div_ceil(step)).unwrap_or(usize::MAX);
            for used in cost..=room {
                let rise = best[used - cost] + choice.rise;
                if rise < next[used] {
                    next[used] = rise;
                    by[used] = i as u16;
                }
            }
        }
        best = next;
        made.push(by);
    }
    let mut used = room;
    let mut chosen = vec![0; sites.len()];
    for (site, by) in made.iter().enumerate().rev() {
        if by[used] == u16::MAX {
            return None;
        }
        chosen[site] = usize::from(by[used]);
        used -= usize::try_from(sites[site][chosen[site]].cost.div_ceil(step)).ok()?;
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use proptest::prelude::*;

    fn rise(sites: &[Vec<Choice>], chosen: &[usize]) -> (u64, f64) {
        let each = sites.iter().zip(chosen).map(|(s, c)| s[*c]);
        each.fold((0, 0.0), |(cost, rise), c| (cost + c.cost, rise + c.rise))
    }

    /// Every combination there is.
    fn best_of_all(sites: &[Vec<Choice>], budget: u64) -> Option<f64> {
        let mut all = vec![vec![]];
        for choices in sites {
            all = all
                .into_iter()
                .flat_map(|head: Vec<usize>| {
                    (0..choices.len()).map(move |i| [head.clone(), vec![i]].concat())
                })
                .collect();
        }
        let fitting = all.iter().map(|c| rise(sites, c)).filter(|(cost, _)| *cost <= budget);
        fitting.map(|(_, rise)| rise).min_by(f64::total_cmp)
    }

    proptest! {
        #[test]
        fn the_knapsack_is_the_best_and_greedy_fits(seed in 0u64..500, budget in 1u64..400) {
            let mut rng = Seed(seed).stream(0);
            let choice = |rng: &mut nlpress_core::seed::Rng| Choice { cost: rng.below(120) as u64, rise: f64::from(rng.uniform()) };
            let sites: Vec<Vec<Choice>> = (0..4).map(|_| (0..4).map(|_| choice(&mut rng)).collect()).collect();
            let best = best_of_all(&sites, budget);
            let found = spend(&sites, budget, Method::Knapsack);
            prop_assert_eq!(best.is_some(), found.is_some());
            if let (Some(best), Some(found)) = (best, found) {
                let (cost, knapsack) = rise(&sites, &found);
                prop_assert!(cost <= budget && (knapsack - best).abs() < 1e-9, "{knapsack} {best}");
                let (cost, greedy) = rise(&sites, &spend(&sites, budget, Method::Greedy).unwrap());
                prop_assert!(cost <= budget && greedy >= best - 1e-9);
            }
        }
    }
}
