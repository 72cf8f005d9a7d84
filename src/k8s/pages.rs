//! Whole collections, page by page, so that thousands of objects are never one answer.

use kube::Resource;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

/// Objects asked for at once, as kubectl does.
const PAGE: u32 = 500;
/// How often a list is begun anew because the API server has forgotten the version that it began with.
const ATTEMPTS: usize = 3;

/// Every object of a collection that `keep` makes something of; the others are let go with their page.
///
/// # Errors
/// What the API server answers; a list whose continuation has expired (410) is begun anew first.
pub async fn all<K, T>(
    api: &Api<K>,
    mut keep: impl FnMut(K) -> Option<T>,
) -> Result<Vec<T>, kube::Error>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut attempt = 1;
    let mut kept = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        match api.list(&params).await {
            Ok(page) => {
                let next = page.metadata.continue_.filter(|token| !token.is_empty());
                kept.extend(page.items.into_iter().filter_map(&mut keep));
                match next {
                    Some(token) => params = params.continue_token(&token),
                    None => return Ok(kept),
                }
            }
            Err(kube::Error::Api(status)) if status.code == 410 && attempt < ATTEMPTS => {
                attempt += 1;
                kept.clear();
                params = ListParams::default().limit(PAGE);
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::super::fake::{FakeApi, Fault};
    use super::super::to_fake;
    use super::*;

    async fn server_with(pods: usize) -> FakeApi {
        let fake = FakeApi::start().await;
        for i in 0..pods {
            let path = format!("/api/v1/namespaces/shop/pods/pod-{i:04}");
            fake.put(&path, json!({"apiVersion": "v1", "kind": "Pod"}));
        }
        fake
    }

    fn name(pod: Pod) -> Option<String> {
        pod.metadata.name.filter(|name| name.ends_with('0'))
    }

    #[tokio::test]
    async fn every_page_is_read_once_and_only_what_matters_is_kept() {
        let fake = server_with(1201).await;
        let k8s = to_fake(&fake);
        let kept = all(&k8s.api_all::<Pod>(), name).await.unwrap();
        assert_eq!(kept.len(), 121);
        assert_eq!(
            (kept[0].as_str(), kept[120].as_str()),
            ("pod-0000", "pod-1200")
        );
        let asked = fake.requests();
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert!(asked.iter().all(|line| line.contains("limit=500")));
    }

    #[tokio::test]
    async fn a_list_that_expired_between_two_pages_is_begun_anew() {
        let fake = server_with(600).await;
        fake.fault("continue=", 1, Fault::Status(410, Vec::new()));
        let k8s = to_fake(&fake);
        let kept = all(&k8s.api::<Pod>(), name).await.unwrap();
        assert_eq!(kept.len(), 60);
        assert_eq!(fake.requests().len(), 4);
    }
}
