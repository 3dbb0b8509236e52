//! Why this member stopped: set once, seen by everybody.

use crate::error::Stopped;
use tokio::sync::watch;

/// Shared by all parts.
#[derive(Clone)]
pub(crate) struct StopCell(watch::Sender<Option<Stopped>>);

impl StopCell {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The first reason stays.
    pub(crate) fn set(&self, reason: Stopped) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    pub(crate) fn get(&self) -> Option<Stopped> {
        self.0.borrow().clone()
    }

    /// Resolves once there is a reason.
    pub(crate) async fn wait(&self) -> Stopped {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Stopped::Asked),
            // Cannot be: `self` holds the sender.
            Err(_) => Stopped::Asked,
        }
    }
}
