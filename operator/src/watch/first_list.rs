//! Whether each kind has had its first list.
//!
//! Any number of tasks may wait for it. kube's `Store::wait_until_ready` wakes only the task that
//! waited last.

use tokio::sync::watch;

/// One for each kind that is listed.
#[derive(Clone, Debug, Default)]
pub struct FirstLists {
    pub nodes: FirstList,
    pub reports: FirstList,
    pub profiles: FirstList,
    pub policies: FirstList,
    pub daemon_sets: FirstList,
}

/// A clone shares the answer.
#[derive(Clone, Debug)]
pub struct FirstList(watch::Sender<bool>);

impl Default for FirstList {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl FirstList {
    /// The store has every object of the list.
    pub(super) fn done(&self) {
        self.0.send_if_modified(|is_done| !std::mem::replace(is_done, true));
    }

    /// Returns when the store has had its first list.
    pub async fn wait(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|is_done| *is_done).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_task_that_waits_is_woken() {
        let list = FirstList::default();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let list = list.clone();
                tokio::spawn(async move { list.wait().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|task| !task.is_finished()));
        list.done();
        for task in waiting {
            task.await.unwrap();
        }
        list.wait().await;
    }
}
