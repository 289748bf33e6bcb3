//! Whether each kind has had its first list.
//!
//! Any number of tasks may wait for it. kube's `Store::wait_until_ready` wakes only the task that
//! waited last.

use std::sync::Arc;

use tokio::sync::SetOnce;

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
#[derive(Clone, Debug, Default)]
pub struct FirstList(Arc<SetOnce<()>>);

impl FirstList {
    /// The store has every object of the list.
    pub(super) fn done(&self) {
        // Every list after the first one finds it set.
        let _ = self.0.set(());
    }

    /// Returns when the store has had its first list.
    pub async fn wait(&self) {
        self.0.wait().await;
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
