//! The HTTP client below the wire: TCP, proxy, TLS and the headers of the kubeconfig.

use std::time::Duration;

use base64::Engine;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, Service, ServiceBuilder};

/// Builds the HTTP client, through the proxy when there is one.
pub(super) fn connect(config: &Config) -> Result<Client, BoxError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // Without it a websocket's second small frame waits for the first one's acknowledgement, up to 40 ms.
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    tcp.set_connect_timeout(config.connect_timeout);
    let Some(proxy) = config.proxy_url.clone() else {
        return over(config, tcp);
    };
    match proxy.scheme_str() {
        Some("socks5") => over(config, SocksV5::new(proxy, tcp)),
        Some("http") => over(config, tunnel(proxy, tcp)?),
        Some("https") => over(
            config,
            tunnel(proxy, config.rustls_https_connector_with_connector(tcp)?)?,
        ),
        other => Err(format!(
            "proxies of type {} are not supported",
            other.unwrap_or("(none)")
        )
        .into()),
    }
}

fn tunnel<C>(proxy: Uri, connector: C) -> Result<Tunnel<C>, BoxError> {
    let login = proxy
        .authority()
        .and_then(|authority| Some(authority.as_str().rsplit_once('@')?.0.to_owned()));
    let tunnel = Tunnel::new(proxy, connector);
    let Some(login) = login else {
        return Ok(tunnel);
    };
    let encoded = base64::engine::general_purpose::STANDARD.encode(percent_decode(&login));
    Ok(tunnel.with_auth(HeaderValue::try_from(format!("Basic {encoded}"))?))
}

/// Undoes percent escapes; what is not one stays as it is.
pub(super) fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

fn over<C>(config: &Config, connector: C) -> Result<Client, BoxError>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: Http<_, Body> = Http::builder(TokioExecutor::new())
        // The API server closes idle connections after 90 s.
        .pool_idle_timeout(Duration::from_secs(60))
        .pool_timer(TokioTimer::new())
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
