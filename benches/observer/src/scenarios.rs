//! What is measured.

mod cost;
mod coverage;
mod inspect;
mod loss;
mod many;

pub(crate) use self::cost::{idle, stopped};
pub(crate) use self::coverage::storm;
pub(crate) use self::inspect::inspect;
pub(crate) use self::loss::{gaps, kills};
pub(crate) use self::many::many;

/// The value below which `percent` of the values lie.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get((values.len() * percent / 100).min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
