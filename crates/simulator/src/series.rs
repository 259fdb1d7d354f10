//! A quantity over time, in a bounded number of steps.
//!
//! Owns its steps. Their width doubles as time goes on, so that a year takes no more memory than an hour.

use std::time::Duration;

/// Steps at most; two become one when there would be more.
const STEPS: usize = 240;

/// Means of a quantity over steps of time.
#[derive(Clone, Debug)]
pub struct Series {
    width: Duration,
    /// Sum and weight of each step.
    steps: Vec<(f64, f64)>,
}

impl Default for Series {
    fn default() -> Self {
        Self { width: Duration::from_secs(1), steps: Vec::new() }
    }
}

impl Series {
    /// The quantity had this value for some time.
    pub(crate) fn hold(&mut self, from: Duration, to: Duration, value: f64) {
        let mut at = from;
        while at < to {
            let step = self.step(at);
            let end = self.width.saturating_mul(u32::try_from(step + 1).unwrap_or(u32::MAX)).min(to);
            // A step that was folded meanwhile may end earlier than the clock is.
            let end = if end > at { end } else { to };
            let part = end.saturating_sub(at).as_secs_f64();
            let (sum, weight) = &mut self.steps[step];
            *sum += value * part;
            *weight += part;
            at = end;
        }
    }

    /// One value among others of that time.
    pub(crate) fn note(&mut self, at: Duration, value: f64) {
        let step = self.step(at);
        let (sum, weight) = &mut self.steps[step];
        *sum += value;
        *weight += 1.0;
    }

    fn step(&mut self, at: Duration) -> usize {
        loop {
            let n = usize::try_from(at.as_nanos() / self.width.as_nanos().max(1)).unwrap_or(usize::MAX);
            if n < STEPS {
                if n >= self.steps.len() {
                    self.steps.resize(n + 1, (0.0, 0.0));
                }
                return n;
            }
            self.width = self.width.saturating_mul(2);
            self.steps = self
                .steps
                .chunks(2)
                .map(|pair| pair.iter().fold((0.0, 0.0), |(s, w), (sum, weight)| (s + sum, w + weight)))
                .collect();
        }
    }

    /// Where each step begins and the mean in it; steps without anything are left out.
    pub fn points(&self) -> impl Iterator<Item = (Duration, f64)> + '_ {
        let start = |n: usize| self.width.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX));
        let filled = self.steps.iter().enumerate().filter(|(_, (_, weight))| *weight > 0.0);
        filled.map(move |(n, (sum, weight))| (start(n), sum / weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_takes_few_steps_and_keeps_the_mean() {
        let mut series = Series::default();
        let hours = |n: u64| Duration::from_secs(3600 * n);
        for n in 0..1000 {
            series.hold(hours(n), hours(n + 1), f64::from(u32::try_from(n % 2).unwrap()));
        }
        let points: Vec<_> = series.points().collect();
        assert!(points.len() <= STEPS && points.len() >= STEPS / 2, "{}", points.len());
        assert!(points.iter().all(|(_, mean)| (mean - 0.5).abs() < 0.2), "{points:?}");
        let mean: f64 = points.iter().map(|(_, mean)| mean).sum::<f64>()
            / f64::from(u32::try_from(points.len()).unwrap());
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn a_short_time_is_kept_as_it_is() {
        let mut series = Series::default();
        series.hold(Duration::ZERO, Duration::from_millis(1500), 1.0);
        series.hold(Duration::from_millis(1500), Duration::from_secs(2), 0.0);
        let points: Vec<_> = series.points().collect();
        assert_eq!(points, [(Duration::ZERO, 1.0), (Duration::from_secs(1), 0.5)]);
    }
}
