//! The shape of a loss in a listing: tails, runs, and the same within each target.
//!
//! People leave one by one or in groups, wherever they stand in the listing. A read that was cut
//! short loses its end, a page that failed loses a run. How improbable it is that so many removals
//! fell just there by chance is counted exactly (hypergeometric), in powers of ten.

/// Powers of ten by which it is improbable that a fixed set of `inside` of `all` places is among
/// `chosen` that were drawn at random.
pub(super) fn improbable(all: u64, chosen: u64, inside: u64) -> f64 {
    if inside == 0 || inside > chosen || chosen > all {
        return 0.0;
    }
    // C(all - inside, chosen - inside) / C(all, chosen), factor by factor.
    let factors = (0..inside.min(100_000)).map(|i| (chosen - i) as f64 / (all - i) as f64);
    -factors.map(f64::log10).sum::<f64>()
}

/// How many of the sorted positions are the end of a listing of so many.
pub(super) fn tail(sorted: &[u32], all: u64) -> u64 {
    let mut length = 0;
    for position in sorted.iter().rev() {
        if u64::from(*position) + 1 + length != all {
            break;
        }
        length += 1;
    }
    length
}

/// The longest run of consecutive positions: where it begins, and its length.
pub(super) fn longest_run(sorted: &[u32]) -> (u32, u64) {
    let (mut best, mut begin, mut length) = ((0, 0), 0, 0_u64);
    let mut last: Option<u32> = None;
    for position in sorted {
        if last.is_some_and(|last| last.checked_add(1) == Some(*position)) {
            length += 1;
        } else {
            (begin, length) = (*position, 1);
        }
        if length > best.1 {
            best = (begin, length);
        }
        last = Some(*position);
    }
    best
}

/// Sizes in which sources hand out pages.
const PAGES: [u64; 9] = [1_000, 500, 250, 200, 100, 50, 30, 25, 20];

/// The page size that a number is, or is a multiple of; none for numbers of no page.
pub(super) fn page(number: u64) -> Option<u64> {
    PAGES.into_iter().find(|page| number == *page)
}

/// How improbable a run of such length is anywhere in a listing. A run that is whole pages, from the
/// beginning of one, could have begun in fewer places.
pub(super) fn run_improbable(all: u64, chosen: u64, begin: u32, length: u64) -> f64 {
    let page = PAGES.into_iter().find(|page| {
        u64::from(begin).is_multiple_of(*page)
            && (length.is_multiple_of(*page) || u64::from(begin) + length == all)
    });
    let places = page.map_or(all - length.min(all) + 1, |page| all / page + 1);
    (improbable(all, chosen, length) - (places as f64).log10()).max(0.0)
}

/// Powers of ten by which several such improbabilities are improbable together (Fisher's method).
pub(super) fn together(parts: &[f64]) -> f64 {
    let half = parts.iter().sum::<f64>() * std::f64::consts::LN_10;
    if parts.is_empty() || half <= 0.0 {
        return 0.0;
    }
    // Tail of chi squared with 2 m degrees of freedom: exp(-h) * sum of h^i / i! for i < m.
    let (mut term, mut sum) = (0.0_f64, 0.0_f64);
    for index in 0..parts.len().min(2_000) {
        if index > 0 {
            term += half.ln() - (index as f64).ln();
        }
        sum = if index == 0 { term } else { log_add(sum, term) };
    }
    ((half - sum) / std::f64::consts::LN_10).max(0.0)
}

fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}
