//! The circuit breaker on the operator's Lease: for clusters without an LsmPolicy, and for people
//! who look at one place.
//!
//! ## Flow
//! the breaker switches, or a while passes while it is open → the Lease's next renewal says so
//! ([`Notes`](crate::run::election::notes::Notes)), and an Event about the Lease. A person
//! annotates the Lease → the next renewal sees it → held changes are released.
//!
//! ## Errors
//! An Event that cannot be published is logged. The Lease says the same.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use kube_runtime::events::{Event, EventType};
use lsm_ready_crds::names::{BREAKER_ANNOTATION, BREAKER_RELEASE};
use lsm_ready_crds::text::truncate;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::breaker::{CLOSED, MAX_NOTE};
use crate::context::Context;
use crate::policy::status::held::held_message;
use crate::run::election::notes::Says;
use crate::run::lease::LEASE;

/// How often the Lease's text follows the counts while the breaker is open.
const REFRESH: Duration = Duration::from_secs(10);
/// Shortest time between two Events.
const EVENT_PERIOD: Duration = Duration::from_secs(10);

/// Keeps the Lease and the breaker in step, until `stop`.
pub async fn follow(ctx: &Arc<Context>, stop: impl Future<Output = ()>) {
    let mut told =
        Told { releases: ctx.notes.releases(), is_open: ctx.notes.is_open(), next: Instant::now() };
    let follow = std::pin::pin!(async {
        loop {
            ctx.release_held_changes(ctx.required().released_by.is_some());
            told.look(ctx).await;
            told.wait(ctx).await;
        }
    });
    let stop = std::pin::pin!(stop);
    match select(follow, stop).await {
        Either::Left((never, _)) => never,
        Either::Right(((), _)) => {}
    }
}

/// What people were told.
struct Told {
    releases: watch::Receiver<bool>,
    is_open: bool,
    /// When the next Event may be published.
    next: Instant,
}

impl Told {
    async fn look(&mut self, ctx: &Context) {
        let says = says(ctx);
        let is_open = match &says {
            Says::Nothing => return,
            Says::Closed => false,
            Says::Open { .. } => true,
        };
        let event = event(&says);
        ctx.notes.say(says);
        if self.is_open == is_open || Instant::now() < self.next {
            return;
        }
        self.is_open = is_open;
        self.next = Instant::now() + EVENT_PERIOD;
        if let Some(lease) = ctx.notes.lease() {
            match ctx.events.publish(&event, &lease).await {
                Ok(()) => ctx.metrics.wrote("Event"),
                Err(error) => warn!(%error, "event about the Lease not published"),
            }
        }
    }

    async fn wait(&mut self, ctx: &Context) {
        let is_calm = !self.is_open && !ctx.breaker.is_open();
        let refresh = async {
            if is_calm {
                std::future::pending::<()>().await;
            }
            sleep_until(Instant::now() + REFRESH).await;
        };
        tokio::select! {
            biased;
            // First, so that a breaker that keeps switching does not hide what a person asks for.
            Ok(()) = self.releases.changed() => ctx.queues.all_policies(&ctx.stores.policies),
            () = ctx.breaker.switched() => {}
            () = refresh => {}
        }
    }
}

/// What the breaker says to people.
fn says(ctx: &Context) -> Says {
    if !ctx.breaker.is_restored() {
        return Says::Nothing;
    }
    let Some(holding) = ctx.breaker.holding() else { return Says::Closed };
    let namespace = ctx.notes.lease().and_then(|lease| lease.namespace).unwrap_or_default();
    let how = format!("-n {namespace} lease {LEASE} {BREAKER_ANNOTATION}={BREAKER_RELEASE}");
    let message = held_message(&holding, ctx.breaker.limit(), &how);
    Says::Open { since: ctx.breaker.open_since(), message }
}

fn event(says: &Says) -> Event {
    let (type_, reason, note) = match says {
        Says::Open { message, .. } => (EventType::Warning, "BreakerOpened", message.as_str()),
        Says::Closed | Says::Nothing => (EventType::Normal, "BreakerClosed", CLOSED),
    };
    let note = Some(truncate(note, MAX_NOTE));
    Event { type_, reason: reason.into(), note, action: "Hold".into(), secondary: None }
}
