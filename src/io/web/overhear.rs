//! A page that answers any bytes, for those who look whether some do harm. Nobody stands behind it: whatever would ask
//! the loop is told that it has no time.

use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::pin;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

use super::api;
use super::feed::Feed;
use super::server::http;
use super::site::{Files, Site};
use super::via::Via;
use crate::config::WebConfig;

/// How often the server may go on: what waits for something by then waits for time to pass.
const STEPS: usize = 64;

/// Such a page.
#[derive(Debug)]
pub struct Overheard(Router);

impl Default for Overheard {
    fn default() -> Self {
        let password = PathBuf::from("/nonexistent/password");
        let configuration = Some(PathBuf::from("/nonexistent/sparelink.toml"));
        let config = WebConfig {
            listen: Vec::new(),
            names: vec!["gw.example".to_owned()],
            trusted_proxy: vec![IpAddr::from([192, 168, 1, 5])],
        };
        let files = Files { password, configuration };
        let site = Site::new(mpsc::channel(1).0, Feed::default(), files, watch::channel(config).1);
        Self(api::router(site))
    }
}

impl Overheard {
    /// What is answered at once to bytes from the LAN.
    pub async fn in_the_lan(&self, bytes: &[u8]) -> Vec<u8> {
        let (local, peer) = (IpAddr::from([192, 168, 1, 1]), IpAddr::from([192, 168, 1, 20]));
        self.answer(bytes, Via::Page { local, peer }).await
    }

    /// The same by the socket, whose users may change things.
    pub async fn at_the_socket(&self, bytes: &[u8]) -> Vec<u8> {
        self.answer(bytes, Via::Socket).await
    }

    async fn answer(&self, bytes: &[u8], via: Via) -> Vec<u8> {
        let (mut client, stream) = tokio::io::duplex(1 << 20);
        let routes = TowerToHyperService::new(self.0.clone());
        let service = service_fn(|request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(via);
            routes.call(request)
        });
        // There is room for all of it.
        drop(client.write_all(bytes).await);
        {
            let mut talk = pin!(http().serve_connection(TokioIo::new(stream), service));
            for _ in 0..STEPS {
                tokio::select! {
                    biased;
                    _ = talk.as_mut() => break,
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        let mut answer = Vec::new();
        drop(client.read_to_end(&mut answer).await);
        answer
    }
}
