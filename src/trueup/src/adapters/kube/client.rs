//! The HTTP clients: kube's layers over connections that send at once.
//!
//! kube's own connections leave Nagle's algorithm on, and the first request of each then waits for the server's delayed
//! acknowledgement of the TLS handshake, 40 ms on Linux (RFC 896, RFC 1122 4.2.3.2).

use ::kube::client::retry::RetryPolicy;
use ::kube::client::{Body, Client, ClientBuilder, ConfigExt};
use ::kube::{Config, Error};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Builder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

/// One that asks again when the server is too busy, for reads, and one that never does, for effects. They share connections and
/// credentials.
pub(super) fn clients(config: &Config) -> Result<(Client, Client), Error> {
    if config.proxy_url.is_some() {
        let mut once = config.clone();
        once.default_retry = false;
        return Ok((Client::try_from(config.clone())?, Client::try_from(once)?));
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let http = Builder::new(TokioExecutor::new()).build::<_, Body>(connector);
    let auth = config.auth_layer()?;
    let headers = config.extra_headers_layer()?;
    let client = |retry: bool| {
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .layer(
                DecompressionLayer::new()
                    .no_br()
                    .no_deflate()
                    .no_zstd()
                    .gzip(!config.disable_compression),
            )
            .option_layer(retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
            .option_layer(auth.as_ref())
            .layer(headers.clone())
            .map_err(BoxError::from)
            .service(http.clone());
        ClientBuilder::new(service, config.default_namespace.clone()).build()
    };
    Ok((client(true), client(false)))
}
