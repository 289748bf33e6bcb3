//! Statistics: quantiles, and the exponent of a growth. Pure.

use std::time::Duration;

use serde::Serialize;

/// Quantiles of times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: usize,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// The quantiles of some figures, in any order. Zeros where there are none.
pub fn quantiles(mut figures: Vec<f64>) -> Quantiles {
    figures.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| {
        // The smallest figure that is at least as large as that share of them.
        let rank = (figures.len() * percent).div_ceil(100).max(1) - 1;
        figures.get(rank).copied().map_or(0.0, rounded)
    };
    Quantiles { count: figures.len(), p50: at(50), p90: at(90), p99: at(99), max: at(100) }
}

/// Rounded to three digits after the point, for files that people read.
pub fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// A time in milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A number of bytes, or of anything else, for a ratio.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits")]
pub fn bytes(number: u64) -> f64 {
    number as f64
}

/// A number of things, for a ratio.
pub fn count(number: usize) -> f64 {
    bytes(u64::try_from(number).unwrap_or(u64::MAX))
}

/// `figure = factor * size ^ exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Growth {
    pub factor: f64,
    pub exponent: f64,
}

impl Growth {
    /// The least squares of the logarithms. None with fewer than two sizes.
    pub fn fit(points: &[Point]) -> Option<Self> {
        let logs: Vec<(f64, f64)> = points
            .iter()
            .filter(|point| point.size > 0.0 && point.figure > 0.0)
            .map(|point| (point.size.ln(), point.figure.ln()))
            .collect();
        let Line { slope, intercept } = Line::fit(&logs)?;
        Some(Self { factor: intercept.exp(), exponent: slope })
    }

    /// What follows for another size. A fit, and no measurement.
    pub fn at(&self, size: f64) -> f64 {
        self.factor * size.powf(self.exponent)
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub size: f64,
    pub figure: f64,
}

/// `figure = intercept + slope * size`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    pub intercept: f64,
    pub slope: f64,
}

impl Line {
    /// The least squares of some (x, y). None where all x are the same.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.iter().map(|_| 1.0).sum::<f64>();
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let both: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let slope = both / spread;
        slope.is_finite().then_some(Self { intercept: mean_y - slope * mean_x, slope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn quantiles_are_figures_that_were_measured() {
        let all = quantiles((1..=200).rev().map(f64::from).collect());
        assert_eq!(all, Quantiles { count: 200, p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0 });
        assert!(near(quantiles(vec![7.0]).p99, 7.0));
        assert_eq!(quantiles(Vec::new()), Quantiles::default());
    }

    #[test]
    fn a_growth_has_the_exponent_with_which_it_was_made() {
        let points = [1250.0, 2500.0, 5000.0, 20_000.0_f64]
            .map(|size| Point { size, figure: 0.3 * size.powf(1.04) });
        let growth = Growth::fit(&points).unwrap();
        assert!(near(growth.exponent, 1.04) && near(growth.factor, 0.3), "{growth:?}");
        assert!(near(growth.at(100_000.0), 0.3 * 100_000.0_f64.powf(1.04)));
    }

    #[test]
    fn one_size_has_no_growth() {
        let point = Point { size: 5.0, figure: 5.0 };
        assert_eq!(Growth::fit(&[point]), None);
        assert_eq!(Growth::fit(&[point, point]), None);
        assert_eq!(Growth::fit(&[]), None);
    }

    #[test]
    fn a_line_is_found() {
        let line = Line::fit(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]).unwrap();
        assert!(near(line.slope, 2.0) && near(line.intercept, 3.0));
    }
}
