use super::{Pending, Store};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// An answer is given again for this long, however many ask.
const FRESH: Duration = Duration::from_secs(1);

/// Whether the database can be used, told under any load: it is asked on a connection that stands in no queue, and at most
/// once a second. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Probe(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    last: Mutex<Option<(Instant, Option<Pending>)>>,
}

impl Probe {
    /// Beside this store; no connection is made yet.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self(Arc::new(Inner { store: store.apart(), last: Mutex::default() }))
    }

    /// How the schema stands; `None` where the database cannot be used.
    pub async fn look(&self) -> Option<Pending> {
        // Who asks while another does waits for that answer.
        let mut last = self.0.last.lock().await;
        if let Some((_, pending)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return pending.clone();
        }
        let pending = self.0.store.find_pending().await.ok();
        *last = Some((Instant::now(), pending.clone()));
        pending
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.0.store.close().await;
    }
}
