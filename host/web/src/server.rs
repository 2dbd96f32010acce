//! The server: a thread with a small tokio runtime, connections counted and bounded. Not what is answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use crate::access::Token;
use crate::router::{Shared, router};
use crate::{Api, CONNECTIONS_MAX, HEADERS_BYTES_MAX, HEADERS_MS_MAX, STOP_MS_MAX};

/// Threads that serve: they only pass on, the work is done on threads that may block.
const SERVER_THREADS: usize = 2;

/// How long to wait after a connection could not be taken: the system has no more of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may reach the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// Programs on this machine.
    #[default]
    Loopback,
    /// Whoever reaches the address. There is no TLS yet, so everybody on the way reads the token.
    Anywhere,
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The token for calls that change something.
    pub token: Token,
    /// Who may reach the host.
    pub exposure: Exposure,
    /// Names by which the host may be called, besides its address and `localhost`.
    pub names: Vec<String>,
}

impl Config {
    /// For programs on this machine.
    pub fn new(listen: SocketAddr, token: Token) -> Self {
        Self { listen, token, exposure: Exposure::Loopback, names: Vec::new() }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can be reached from elsewhere.
    #[error(
        "{0} can be reached from other machines, and there is no TLS yet: everybody on the way could read the token. \
         Listen on 127.0.0.1, or allow it in so many words (--listen-anyway)"
    )]
    Exposed(SocketAddr),
    /// The address cannot be had.
    #[error("listen on {address}: {why}{hint}", hint = if why.kind() == std::io::ErrorKind::AddrInUse {
        " (does another host run? --listen takes another port)"
    } else { "" })]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not; the message says it.
        why: std::io::Error,
    },
    /// The system gives no threads.
    #[error("start the server: {0}")]
    Runtime(std::io::Error),
}

/// An address that is taken; nobody answers there yet, and who calls waits.
#[derive(Debug)]
pub struct Listening {
    runtime: Runtime,
    listener: TcpListener,
    config: Config,
}

impl Listening {
    /// Takes the address, before anything else of a host is started.
    ///
    /// # Errors
    /// When the address may not or cannot be had.
    pub fn on(mut config: Config) -> Result<Self, Error> {
        if !config.listen.ip().to_canonical().is_loopback() && config.exposure == Exposure::Loopback {
            return Err(Error::Exposed(config.listen));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SERVER_THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let address = config.listen;
        let bind = |why| Error::Bind { address, why };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(bind)?;
        config.listen = listener.local_addr().map_err(bind)?;
        Ok(Self { runtime, listener, config })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.config.listen
    }

    /// Answers from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn serve(self, api: Arc<dyn Api>) -> Result<Server, Error> {
        let Self { runtime, listener, config } = self;
        let address = config.listen;
        let (stop, stopping) = watch::channel(false);
        let shared = Shared::new(api, config, stopping.clone());
        let serving = std::thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(serve(listener, shared, stopping));
            // Calls that are still under way are left to themselves.
            runtime.shutdown_timeout(Duration::from_millis(STOP_MS_MAX));
        });
        Ok(Server { address, stop, thread: Some(serving.map_err(Error::Runtime)?) })
    }
}

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to listen; requests are answered when this returns.
    ///
    /// # Errors
    /// When the address may not or cannot be had.
    pub fn start(api: Arc<dyn Api>, config: Config) -> Result<Self, Error> {
        Listening::on(config)?.serve(api)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How programs on this machine reach it.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback: std::net::IpAddr = if address.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            };
            address.set_ip(loopback);
        }
        format!("http://{address}")
    }

    /// Takes no more requests, ends those under way, and stops.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Nobody listens any more: it has ended already.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by its thread.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let service = TowerToHyperService::new(router(shared));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let service = knowing(service.clone(), peer);
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(HEADERS_MS_MAX))
            .max_buf_size(HEADERS_BYTES_MAX);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A connection that breaks is its caller's affair.
            let _ = connection.await;
            drop(permit);
        });
    }
    let longest = Duration::from_millis(STOP_MS_MAX);
    if tokio::time::timeout(longest, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way when the HTTP server stopped");
    }
}

/// The router for one connection, which knows who is at the other end.
fn knowing(
    service: TowerToHyperService<axum::Router>,
    peer: SocketAddr,
) -> impl Service<Request<Incoming>, Response = axum::response::Response, Error = Infallible, Future: Send> {
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        service.call(request)
    })
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small answers leave at once.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(why) => {
            tracing::warn!(error = %why, "a connection could not be taken, trying again");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
