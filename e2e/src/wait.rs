//! Waiting for a condition, with a deadline.
//!
//! In: a deadline, the condition, and its name in words. Out: the value of the condition, or an
//! error with the last observation.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// How often a condition is checked.
const PERIOD: Duration = Duration::from_millis(100);

/// The condition did not hold before the deadline.
#[derive(Debug, thiserror::Error)]
#[error("waited {:.0} s for {what}; last seen: {observed}", waited.as_secs_f64())]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// The deadline.
    pub waited: Duration,
    /// The last observation.
    pub observed: String,
}

/// Checks `condition` until it is `Ok`, and returns its value. `Err` is an observation.
pub async fn until<T, O: ToString>(
    deadline: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, O>,
) -> Result<T, TimedOut> {
    let end = Instant::now() + deadline;
    let mut observed = "nothing yet".to_owned();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let look = async {
            ticks.tick().await;
            condition().await
        };
        match timeout_at(end, look).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(observation)) => observed = observation.to_string(),
            Err(_) => {
                return Err(TimedOut { what: what.to_owned(), waited: deadline, observed });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn returns_the_value_as_soon_as_the_condition_holds() {
        let mut looks = 0;
        let value = until(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) }
        });
        assert_eq!(value.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_has_the_condition_and_the_last_observation() {
        let never = until(Duration::from_secs(1), "the moon", async || Err::<(), _>("a cloud"));
        assert_eq!(
            never.await.unwrap_err().to_string(),
            "waited 1 s for the moon; last seen: a cloud"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_hangs_times_out_too() {
        let hangs = until(Duration::from_secs(1), "a hanging look", async || {
            std::future::pending::<Result<(), &str>>().await
        });
        assert!(hangs.await.unwrap_err().to_string().contains("nothing yet"));
    }
}
