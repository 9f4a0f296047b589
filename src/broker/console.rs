//! A console link instead of credentials: the same way, with one call more before the outcome is recorded.

use super::{Broker, Inner, IssueError, Obtained, Request, events};
use crate::{
    audit::Actor,
    identity::Caller,
    sts::{Destination, LINK_LASTS, ReleasedLink},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Everything before the outcome's row: with that, an answer comes within 20 s whoever is silent.
const BEFORE_THE_ROW: Duration = Duration::from_secs(14);

impl Broker {
    /// Issues a link that signs in to the AWS console as one role, or says why not; either is on record before this
    /// returns. Goes on like [`Broker::issue`] when the client has gone.
    pub async fn sign_in(
        &self,
        caller: Arc<Caller>,
        actor: Actor,
        mut request: Request,
        destination: Destination,
    ) -> Result<ReleasedLink, IssueError> {
        request.ask.begins_within = LINK_LASTS;
        let inner = self.0.clone();
        self.run(async move { inner.sign_in(&caller, &actor, &request, &destination).await }).await
    }
}

impl Inner {
    async fn sign_in(
        &self,
        caller: &Caller,
        actor: &Actor,
        request: &Request,
        destination: &Destination,
    ) -> Result<ReleasedLink, IssueError> {
        let began = Instant::now();
        let chained = self.chained()?;
        let Obtained { requested, intent, minted, permit, .. } = self.obtain(caller, actor, request, chained).await?;
        let facts = minted.facts().clone();
        let granted = (!chained).then_some(permit.duration);
        let patience = BEFORE_THE_ROW.saturating_sub(began.elapsed());
        let link = match self.sts.link(minted, granted, destination, patience).await {
            Ok(link) => link,
            Err(error) => {
                let failure = IssueError::from(error);
                let event = events::link_failed(&self.clock, requested, &facts, &failure);
                self.recorder.abandon(event, intent).await?;
                return Err(failure);
            }
        };
        let event = events::link_issued(&self.clock, requested, &link);
        let receipt = self.recorder.conclude(event, intent).await?;
        link.release(receipt).map_err(|_| IssueError::Broken)
    }
}
