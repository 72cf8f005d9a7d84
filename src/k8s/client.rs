//! The connection to one API server: who, where, and handles to its objects.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, Resource};

use super::config::{self, Target};
use super::wire::{Entry, Limits, Notice, Wire};
use super::{ApiError, ConnectOptions};

/// Connection to one API server as one user; clones share it.
#[derive(Clone)]
pub struct K8s {
    client: Client,
    wire: Arc<Wire>,
    namespace: Arc<str>,
    context: Arc<str>,
    user: Arc<str>,
}

impl K8s {
    /// Finds the API server and the user by kubectl's rules.
    ///
    /// Reads files only: no request is made and no credential plugin runs before the first call.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read or does not name a usable cluster.
    #[expect(
        clippy::unused_async,
        reason = "needs a runtime to be running, as its clients do"
    )]
    pub async fn connect(options: &ConnectOptions) -> anyhow::Result<Self> {
        let env = |name: &str| std::env::var(name).ok();
        let target = config::resolve(options, &env, std::env::home_dir().as_deref())?;
        Ok(Self::to(target, Limits::new(options.request_timeout)))
    }

    pub(super) fn to(target: Target, limits: Limits) -> Self {
        // An error means that another provider is installed already, which serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let wire = Arc::new(Wire::new(target.config, target.plugin, limits));
        Self {
            client: Client::new(Entry(Arc::clone(&wire)), target.namespace.clone()),
            wire,
            namespace: target.namespace.into(),
            context: target.context.into(),
            user: target.user.into(),
        }
    }

    /// The same connection with another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            ..self.clone()
        }
    }

    /// kube's client, for what has no method here.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Namespace to work in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name of the kubeconfig context; `in-cluster` in a pod, empty when `--server` replaces one.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Name of the kubeconfig user, for display; the server may know the person by another name.
    pub fn user(&self) -> String {
        self.user.to_string()
    }

    /// Address of the API server.
    pub fn server(&self) -> String {
        self.wire.server().to_string()
    }

    /// Time by the API server's clock, as learned from its answers; ours before the first one.
    pub fn now(&self) -> jiff::Timestamp {
        self.wire.now()
    }

    /// Number of requests sent, repetitions included.
    pub fn requests(&self) -> u64 {
        self.wire.requests()
    }

    /// Names who hears about retries and about the API server's warnings; replaces the one before.
    pub fn on_notice(&self, listener: impl Fn(&Notice) + Send + Sync + 'static) {
        self.wire.listen(Arc::new(listener));
    }

    /// Objects of a type in the namespace to work in.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// Objects of a type in one namespace.
    pub fn api_in<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// Objects of a type without namespace, or those of all namespaces.
    pub fn api_all<K>(&self) -> Api<K>
    where
        K: Resource,
        K::DynamicType: Default,
    {
        Api::all(self.client())
    }

    /// Objects of a type that is only known at run time, in the namespace to work in.
    ///
    /// `api_version` is `v1` or `apps/v1`, `plural` is `statefulsets`.
    pub fn dynamic(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        self.dynamic_in(&self.namespace, api_version, kind, plural)
    }

    /// The same of a kind whose plural is regular, as those of all workloads, claims and volume snapshots are.
    pub fn regular(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        self.dynamic(api_version, kind, &format!("{}s", kind.to_lowercase()))
    }

    /// The same in one namespace; with an empty one, objects without namespace.
    pub fn dynamic_in(
        &self,
        namespace: &str,
        api_version: &str,
        kind: &str,
        plural: &str,
    ) -> Api<DynamicObject> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        if namespace.is_empty() {
            Api::all_with(self.client(), &resource)
        } else {
            Api::namespaced_with(self.client(), namespace, &resource)
        }
    }

    /// Version of the API server, such as `v1.34.1`. One request; needs no permission.
    pub async fn server_version(&self) -> Result<String, ApiError> {
        let info = self.client.apiserver_version().await?;
        Ok(info.git_version)
    }
}
