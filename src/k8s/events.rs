//! Events: what Kubernetes says happened to an object, and what this tool adds to it.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, ListParams, PostParams};

use super::{ApiError, K8s, labels};

/// One event, newest wording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When it was seen last; `None` when the event does not tell.
    pub at: Option<jiff::Timestamp>,
    /// `Warning`, not `Normal`.
    pub warning: bool,
    /// Such as `FailedScheduling`.
    pub reason: String,
    /// The text, as the component wrote it.
    pub message: String,
    /// How often it was seen.
    pub count: i32,
}

impl From<Event> for Happening {
    fn from(event: Event) -> Self {
        let series = event.series.as_ref();
        let at = series
            .and_then(|series| series.last_observed_time.as_ref().map(|time| time.0))
            .or(event.last_timestamp.map(|time| time.0))
            .or(event.event_time.map(|time| time.0))
            .or(event.metadata.creation_timestamp.map(|time| time.0));
        let count = event
            .series
            .and_then(|series| series.count)
            .or(event.count)
            .unwrap_or(1);
        Self {
            at,
            warning: event.type_.as_deref() == Some("Warning"),
            reason: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
            count,
        }
    }
}

impl K8s {
    /// Reads the events about one object of the namespace, oldest first. One request.
    pub async fn events_about(&self, uid: &str) -> Result<Vec<Happening>, ApiError> {
        let api: Api<Event> = self.api();
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        let mut happenings: Vec<Happening> = api
            .list(&params)
            .await?
            .items
            .into_iter()
            .map(Happening::from)
            .collect();
        happenings.sort_by_key(|happening| happening.at);
        Ok(happenings)
    }

    /// Adds an event to an object, for `kubectl describe` and audit.
    ///
    /// `regarding` needs `apiVersion`, kind, namespace, name and UID; `reason` is one `CamelCase` word.
    pub async fn add_event(
        &self,
        regarding: ObjectReference,
        warning: bool,
        reason: &str,
        message: &str,
    ) -> Result<(), ApiError> {
        let now = self.now();
        let namespace = regarding
            .namespace
            .clone()
            .unwrap_or_else(|| self.namespace().to_owned());
        let name = regarding.name.clone().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                // The form client-go gives: unique by time.
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: regarding,
            type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(reason.to_owned()),
            // Longer ones are refused by the API server.
            message: Some(message.chars().take(1000).collect()),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            source: Some(EventSource {
                component: Some(labels::MANAGER.to_owned()),
                host: None,
            }),
            ..Event::default()
        };
        let api: Api<Event> = self.api_in(&namespace);
        drop(api.create(&PostParams::default(), &event).await?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s::fake::FakeApi;
    use crate::k8s::to_fake;

    #[tokio::test]
    async fn events_about_an_object_come_in_order() {
        let fake = FakeApi::start().await;
        let event = |name: &str, uid: &str, at: &str| {
            fake.put(
                &format!("/api/v1/namespaces/shop/events/{name}"),
                json!({"involvedObject": {"uid": uid}, "reason": name, "type": "Warning",
                    "message": "m", "lastTimestamp": at, "count": 2}),
            );
        };
        event("Later", "u1", "2026-01-01T00:00:02Z");
        event("Sooner", "u1", "2026-01-01T00:00:01Z");
        event("Other", "u2", "2026-01-01T00:00:00Z");
        let happenings = to_fake(&fake).events_about("u1").await.unwrap();
        let reasons: Vec<&str> = happenings.iter().map(|h| h.reason.as_str()).collect();
        assert_eq!(reasons, ["Sooner", "Later"]);
        assert!(happenings[0].warning);
        assert_eq!(happenings[0].count, 2);
    }

    #[tokio::test]
    async fn an_event_is_added_to_its_object() {
        let fake = FakeApi::start().await;
        let regarding = ObjectReference {
            api_version: Some("apps/v1".into()),
            kind: Some("StatefulSet".into()),
            name: Some("db".into()),
            namespace: Some("shop".into()),
            uid: Some("u1".into()),
            ..ObjectReference::default()
        };
        let k8s = to_fake(&fake);
        k8s.add_event(regarding, false, "Upgraded", "now 17")
            .await
            .unwrap();
        let happenings = k8s.events_about("u1").await.unwrap();
        assert_eq!(happenings[0].message, "now 17");
    }
}
