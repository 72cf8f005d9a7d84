//! Events: what Kubernetes says of an object that its status does not tell, such as a volume that cannot be mounted.

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};

use super::{ApiError, K8s};

impl K8s {
    /// Reads the warnings about one object of the namespace, `Reason: message`, oldest first. One request.
    ///
    /// # Errors
    /// When events cannot be listed.
    pub async fn warnings_about(&self, uid: &str) -> Result<Vec<String>, ApiError> {
        let api: Api<Event> = self.api();
        let fields = format!("involvedObject.uid={uid},type=Warning");
        let mut events = api
            .list(&ListParams::default().fields(&fields))
            .await?
            .items;
        events.sort_by_key(last_seen);
        let said = events.into_iter().map(|event| {
            let reason = event.reason.unwrap_or_default();
            format!("{reason}: {}", event.message.unwrap_or_default())
        });
        Ok(said.collect())
    }
}

fn last_seen(event: &Event) -> Option<jiff::Timestamp> {
    let series = event.series.as_ref();
    series
        .and_then(|series| series.last_observed_time.as_ref().map(|time| time.0))
        .or(event.last_timestamp.as_ref().map(|time| time.0))
        .or(event.event_time.as_ref().map(|time| time.0))
        .or(event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::k8s::fake::FakeApi;
    use crate::k8s::to_fake;

    #[tokio::test]
    async fn warnings_about_an_object_come_in_order() {
        let fake = FakeApi::start().await;
        let event = |name: &str, uid: &str, kind: &str, at: &str| {
            fake.put(
                &format!("/api/v1/namespaces/shop/events/{name}"),
                json!({"involvedObject": {"uid": uid}, "reason": name, "type": kind,
                    "message": "m", "lastTimestamp": at, "count": 2}),
            );
        };
        event("Later", "u1", "Warning", "2026-01-01T00:00:02Z");
        event("Sooner", "u1", "Warning", "2026-01-01T00:00:01Z");
        event("Fine", "u1", "Normal", "2026-01-01T00:00:01Z");
        event("Other", "u2", "Warning", "2026-01-01T00:00:00Z");
        let said = to_fake(&fake).warnings_about("u1").await.unwrap();
        assert_eq!(said, ["Sooner: m", "Later: m"]);
    }
}
