//! Every technique that a recipe can name.

use nlpress_technique::Kind;

use crate::controls;
use crate::joint;
use crate::report;

/// The family that a row made by a technique is reported under.
impl From<nlpress_technique::Family> for report::Family {
    fn from(family: nlpress_technique::Family) -> Self {
        use nlpress_technique::Family;
        match family {
            Family::Simplify => Self::Simplify,
            Family::Clip => Self::Clip,
            Family::Quantize => Self::Quantize,
            Family::Distill => Self::Distill,
            Family::Parallel => Self::Parallel,
            Family::Chain => Self::Chain,
            Family::Train => Self::Control,
        }
    }
}

/// The kinds of all crates, in the order of the article's sections; then what joins them, and controls last.
pub fn all() -> impl Iterator<Item = &'static Kind> {
    let families: [&'static [Kind]; 6] = [
        nlpress_prune::KINDS,
        nlpress_quant::KINDS,
        nlpress_distill::KINDS,
        nlpress_parallel::KINDS,
        &[joint::KIND],
        controls::KINDS,
    ];
    families.into_iter().flatten()
}

/// The kind of that name.
pub fn find(name: &str) -> Option<&'static Kind> {
    all().find(|k| k.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_family_is_reported_under_its_own_name() {
        for kind in all() {
            assert_eq!(report::Family::from(kind.family).name(), kind.family.to_string(), "{}", kind.name);
        }
    }

    #[test]
    fn names_are_unique_and_of_the_form_family_dot_method() {
        let mut seen = BTreeSet::new();
        for kind in all() {
            assert!(seen.insert(kind.name), "{} is listed twice", kind.name);
            assert_eq!(kind.name.split('.').count(), 2, "{}", kind.name);
            assert!(!kind.summary.is_empty() && !kind.source.is_empty(), "{}", kind.name);
        }
    }
}
