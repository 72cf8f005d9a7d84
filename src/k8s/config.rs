//! Turns flags, kubeconfig files and the environment into one target, by kubectl's rules.
//!
//! kube's own loader is not used for the last step: it reads proxies and `NO_PROXY` differently from
//! kubectl, and one missing file in `KUBECONFIG` makes it fail.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use http::{HeaderName, HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{
    AuthInfo, Cluster, Config, Context as ContextEntry, ExecAuthCluster, ExecConfig, Kubeconfig,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::ConnectOptions;

/// Reads one environment variable; a function, so that tests need no real environment.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Everything needed to open a connection; reading it made no request and ran no plugin.
pub(super) struct Target {
    /// Name of the kubeconfig context, or `in-cluster`.
    pub(super) context: String,
    /// Name of the kubeconfig user, with the impersonated user when there is one.
    pub(super) user: String,
    /// Namespace to work in.
    pub(super) namespace: String,
    /// Connection parameters; credentials of a plugin are not in it.
    pub(super) config: Config,
    /// Credential plugin to run before the first request.
    pub(super) plugin: Option<ExecConfig>,
}

/// Finds the target, by kubectl's precedence: flags, kubeconfig, service account of the own pod.
pub(super) fn resolve(
    options: &ConnectOptions,
    env: Env<'_>,
    home: Option<&Path>,
) -> anyhow::Result<Target> {
    let kubeconfig = read_kubeconfig(options, env, home)?;
    let usable = kubeconfig
        .as_ref()
        .is_some_and(|config| !config.contexts.is_empty() || !config.clusters.is_empty());
    if !usable && options.server.is_none() {
        if options.context.is_none() && env("KUBERNETES_SERVICE_HOST").is_some() {
            return in_cluster(options, env);
        }
        if let Some(context) = &options.context {
            bail!("context \"{context}\" does not exist");
        }
        bail!(
            "no cluster is configured: set KUBECONFIG or --kubeconfig (there is no usable ~/.kube/config)"
        );
    }
    from_kubeconfig(options, &kubeconfig.unwrap_or_default(), env)
}

/// Reads and merges the kubeconfig files; `None` when there is none at all.
fn read_kubeconfig(
    options: &ConnectOptions,
    env: Env<'_>,
    home: Option<&Path>,
) -> anyhow::Result<Option<Kubeconfig>> {
    if let Some(path) = options.kubeconfig.as_deref().filter(|p| !empty(p)) {
        return read_file(path).map(Some);
    }
    let listed: Vec<PathBuf> = env("KUBECONFIG")
        .map(|list| {
            std::env::split_paths(&list)
                .filter(|p| !empty(p))
                .collect::<Vec<_>>()
        })
        .unwrap_or_default();
    let paths = if listed.is_empty() {
        home.map(|home| home.join(".kube").join("config"))
            .into_iter()
            .collect()
    } else {
        listed
    };
    let mut merged: Option<Kubeconfig> = None;
    // A missing file in the list is skipped, as kubectl does.
    for path in paths.iter().filter(|path| path.exists()) {
        let next = read_file(path)?;
        merged = Some(match merged {
            None => next,
            Some(first) => first
                .merge(next)
                .with_context(|| format!("merging kubeconfig {}", path.display()))?,
        });
    }
    Ok(merged)
}

fn empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn read_file(path: &Path) -> anyhow::Result<Kubeconfig> {
    let mut config = Kubeconfig::read_from(path)
        .with_context(|| format!("reading kubeconfig {}", path.display()))?;
    // An empty name means "not set"; kept, it would win over the next file's in a merge.
    config.current_context = config.current_context.filter(|name| !name.is_empty());
    Ok(config)
}

fn from_kubeconfig(
    options: &ConnectOptions,
    kubeconfig: &Kubeconfig,
    env: Env<'_>,
) -> anyhow::Result<Target> {
    let name = set(options.context.as_deref()).or(kubeconfig.current_context.as_deref());
    let context = match name {
        Some(name) => kubeconfig
            .contexts
            .iter()
            .find(|entry| entry.name == name)
            .with_context(|| format!("context \"{name}\" does not exist"))?
            .context
            .clone()
            .unwrap_or_default(),
        None => ContextEntry::default(),
    };

    let cluster_name = set(options.cluster.as_deref()).unwrap_or(&context.cluster);
    let mut cluster = match kubeconfig
        .clusters
        .iter()
        .find(|entry| entry.name == cluster_name)
    {
        Some(entry) => entry.cluster.clone().unwrap_or_default(),
        None if options.server.is_some() && options.cluster.is_none() => Cluster::default(),
        None if cluster_name.is_empty() && name.is_none() => {
            bail!(
                "no current context is set: name one with --context ({})",
                known(kubeconfig)
            )
        }
        None => bail!("cluster \"{cluster_name}\" does not exist"),
    };
    override_cluster(&mut cluster, options);

    let user_name = set(options.user.as_deref())
        .or(set(context.user.as_deref()))
        .unwrap_or_default();
    let found = kubeconfig
        .auth_infos
        .iter()
        .find(|entry| entry.name == user_name);
    if found.is_none() && set(options.user.as_deref()).is_some() {
        bail!("auth info \"{user_name}\" does not exist");
    }
    let mut auth = found
        .and_then(|entry| entry.auth_info.clone())
        .unwrap_or_default();
    override_user(&mut auth, options);

    let namespace = set(options.namespace.as_deref())
        .or(set(context.namespace.as_deref()))
        .unwrap_or("default")
        .to_owned();
    let plugin = take_plugin(&mut auth, &cluster)?;
    let config = config(&cluster, auth, env)?;
    Ok(Target {
        context: name.unwrap_or_default().to_owned(),
        user: display_user(user_name, &config.auth_info),
        namespace,
        config,
        plugin,
    })
}

fn in_cluster(options: &ConnectOptions, env: Env<'_>) -> anyhow::Result<Target> {
    let mut config = Config::incluster_env().context("reading the service account of this pod")?;
    override_user(&mut config.auth_info, options);
    let namespace = set(options.namespace.as_deref())
        .map(str::to_owned)
        .or_else(|| env("POD_NAMESPACE").filter(|name| !name.is_empty()))
        .unwrap_or_else(|| config.default_namespace.clone());
    common(&mut config);
    Ok(Target {
        context: "in-cluster".to_owned(),
        user: display_user("service account", &config.auth_info),
        namespace,
        config,
        plugin: None,
    })
}

/// Applies the cluster flags by client-go's rules (`getCluster` in client-go's `client_config.go`).
fn override_cluster(cluster: &mut Cluster, options: &ConnectOptions) {
    let authority = options.certificate_authority.as_ref();
    if options.insecure_skip_tls_verify == Some(true) || authority.is_some() {
        cluster.insecure_skip_tls_verify = options.insecure_skip_tls_verify;
        cluster.certificate_authority = authority.map(|path| path.display().to_string());
        cluster.certificate_authority_data = None;
    } else if options.insecure_skip_tls_verify == Some(false) {
        cluster.insecure_skip_tls_verify = Some(false);
    }
    // Another server most likely has another name in its certificate.
    if options.tls_server_name.is_some() || options.server.is_some() {
        cluster.tls_server_name.clone_from(&options.tls_server_name);
    }
    if let Some(server) = &options.server {
        cluster.server = Some(server.clone());
    }
}

fn override_user(auth: &mut AuthInfo, options: &ConnectOptions) {
    if let Some(token) = &options.token {
        auth.token = Some(token.clone().into());
        auth.token_file = None;
        auth.username = None;
        auth.password = None;
        auth.auth_provider = None;
        auth.exec = None;
    }
    if let Some(path) = &options.client_certificate {
        auth.client_certificate = Some(path.display().to_string());
        auth.client_certificate_data = None;
    }
    if let Some(path) = &options.client_key {
        auth.client_key = Some(path.display().to_string());
        auth.client_key_data = None;
    }
    // The flags replace the impersonation of the kubeconfig as a whole: half of each would be a third identity.
    let impersonates = options.as_user.is_some()
        || options.as_uid.is_some()
        || !options.as_group.is_empty()
        || !options.as_user_extra.is_empty();
    if impersonates {
        auth.impersonate.clone_from(&options.as_user);
        auth.impersonate_uid.clone_from(&options.as_uid);
        auth.impersonate_groups = (!options.as_group.is_empty()).then(|| options.as_group.clone());
        auth.impersonate_user_extra = (!options.as_user_extra.is_empty()).then(|| {
            let mut extra = std::collections::HashMap::<String, Vec<String>>::new();
            for (key, value) in &options.as_user_extra {
                extra.entry(key.clone()).or_default().push(value.clone());
            }
            extra
        });
    }
}

/// Takes the credential plugin out when nothing of higher precedence is configured.
///
/// kube would run it two or three times per client; this tool runs it once (`credential.rs`).
fn take_plugin(auth: &mut AuthInfo, cluster: &Cluster) -> anyhow::Result<Option<ExecConfig>> {
    let Some(mut plugin) = auth.exec.take() else {
        return Ok(None);
    };
    let basic = auth.username.is_some() && auth.password.is_some();
    if auth.auth_provider.is_some() || basic || auth.token.is_some() || auth.token_file.is_some() {
        return Ok(None);
    }
    if plugin.provide_cluster_info {
        plugin.cluster = Some(ExecAuthCluster::try_from(cluster)?);
    }
    Ok(Some(plugin))
}

fn config(cluster: &Cluster, auth: AuthInfo, env: Env<'_>) -> anyhow::Result<Config> {
    // The conversion for plugins is kube's only public way to decode or read the authority.
    let authority = ExecAuthCluster::try_from(cluster)
        .context("reading the certificate authority")?
        .certificate_authority_data;
    let tls = authority.is_some()
        || cluster.insecure_skip_tls_verify == Some(true)
        || auth.client_certificate.is_some()
        || auth.client_certificate_data.is_some();
    let server = cluster
        .server
        .as_deref()
        .filter(|server| !server.is_empty())
        .context("the cluster has no server address")?;
    let url = server_url(server, tls)?;

    let mut config = Config::new(url);
    if let Some(pem) = authority {
        let certificates = CertificateDer::pem_slice_iter(&pem)
            .map(|der| der.map(|der| der.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| anyhow::anyhow!("reading the certificate authority: {error}"))?;
        config.root_cert = Some(certificates);
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = cluster
        .tls_server_name
        .clone()
        .filter(|name| !name.is_empty());
    config.proxy_url = proxy(cluster, &config.cluster_url, env)?;
    config.auth_info = auth;
    common(&mut config);
    Ok(config)
}

fn common(config: &mut Config) {
    config.connect_timeout = Some(Duration::from_secs(15));
    config.default_retry = false;
    config
        .headers
        .push((HeaderName::from_static("user-agent"), user_agent()));
}

/// `kubectl-pg_upgrade/1.2.3 (linux/amd64)`, the form audit logs know from kubectl.
fn user_agent() -> HeaderValue {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let version = env!("CARGO_PKG_VERSION");
    HeaderValue::from_str(&format!("kubectl-pg_upgrade/{version} ({os}/{arch})"))
        .unwrap_or(HeaderValue::from_static("kubectl-pg_upgrade"))
}

/// Parses the server's address; without a scheme, TLS settings decide, as in client-go.
fn server_url(server: &str, tls: bool) -> anyhow::Result<Uri> {
    let full = if server.contains("://") {
        server.to_owned()
    } else if tls {
        format!("https://{server}")
    } else {
        format!("http://{server}")
    };
    full.parse()
        .with_context(|| format!("the server address \"{server}\" is not a URL"))
}

/// Finds the proxy: `proxy-url` of the kubeconfig wins and ignores `NO_PROXY`, then the environment.
fn proxy(cluster: &Cluster, server: &Uri, env: Env<'_>) -> anyhow::Result<Option<Uri>> {
    if let Some(proxy) = cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
        return proxy_url(proxy).map(Some);
    }
    let host = server.host().unwrap_or_default();
    if is_loopback(host) {
        // Go never sends loopback addresses to a proxy from the environment.
        return Ok(None);
    }
    let first = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| env(name).filter(|value| !value.trim().is_empty()))
    };
    let value = match server.scheme_str() {
        Some("https") => first(["HTTPS_PROXY", "https_proxy"]),
        _ => first(["HTTP_PROXY", "http_proxy"]),
    };
    let Some(value) = value else {
        return Ok(None);
    };
    let url = proxy_url(&value)?;
    let port = server
        .port_u16()
        .unwrap_or(if server.scheme_str() == Some("https") {
            443
        } else {
            80
        });
    let list = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if list.split([',', ' ']).any(|entry| entry == "*") {
        // The matcher takes a lone star for names only, Go for addresses as well.
        return Ok(None);
    }
    let exceptions = exceptions(&list, port);
    let matcher = Matcher::builder()
        .all("http://proxy.invalid")
        .no(exceptions)
        .build();
    Ok(matcher.intercept(server).is_some().then_some(url))
}

/// Brings `NO_PROXY` into the form the matcher takes: no empty entries, no ports but the server's.
fn exceptions(list: &str, port: u16) -> String {
    let keep = |entry: &str| -> Option<String> {
        let entry = entry.trim();
        if entry.is_empty() {
            return None;
        }
        match entry.rsplit_once(':') {
            // More than one colon is a bare IPv6 address.
            Some((host, digits)) if !host.contains(':') || host.ends_with(']') => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                (digits.parse() == Ok(port)).then(|| host.to_owned())
            }
            _ => Some(entry.trim_start_matches("*.").to_owned()),
        }
    };
    list.split([',', ' '])
        .filter_map(keep)
        .collect::<Vec<_>>()
        .join(",")
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Parses a proxy's address; without a scheme it is an HTTP proxy, as in Go.
fn proxy_url(text: &str) -> anyhow::Result<Uri> {
    let text = text.trim();
    let full = if let Some(rest) = text.strip_prefix("socks5h://") {
        // kube's socks5 leaves name resolution to the proxy, which is what the h asks for.
        format!("socks5://{rest}")
    } else if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    // The address may hold a password, so it is not repeated in the error.
    full.parse()
        .context("the address of the proxy is not a URL")
}

fn display_user(name: &str, auth: &AuthInfo) -> String {
    match &auth.impersonate {
        Some(other) if name.is_empty() => format!("as {other}"),
        Some(other) => format!("{name} as {other}"),
        None => name.to_owned(),
    }
}

fn known(kubeconfig: &Kubeconfig) -> String {
    let names: Vec<_> = kubeconfig
        .contexts
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    names.join(", ")
}

fn set(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
