//! Serving on the thread that asks for it.
//!
//! `HttpServer` accepts on one thread and answers on others. For a role whose work is done by tasks of its own
//! (the order of purchases, a writer, a follower) that is two more switches between threads for each request,
//! which cost more than the request. Here connections are tasks beside those.
//!
//! Invariant: as for the listeners with threads of their own: what was accepted is answered before this
//! returns, unless it takes longer than [`DRAIN`].

use super::drain::UnderWay;
use super::{DRAIN, MAX_CONNECTIONS, Site, service};
use crate::shutdown::Shutdown;
use actix_service::{Service, ServiceFactory};
use actix_web::web::ServiceConfig;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Before another attempt to accept, when that fails: mostly, no more files may be opened.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves `site` until `shutdown`, then finishes what is under way.
pub async fn serve_here<C: FnOnce(&mut ServiceConfig) + 'static>(
    listener: std::net::TcpListener,
    shutdown: Shutdown,
    site: Site<C>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    let under_way = UnderWay::default();
    site.requests.listens(MAX_CONNECTIONS, {
        let under_way = under_way.clone();
        move || under_way.count()
    });
    let service = service(site, under_way.entrance_of_this_thread(), addr);
    let service = service.new_service(()).await;
    let service = service.map_err(|()| io::Error::other("the routes cannot be served"))?;
    let service = Rc::new(service);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
        };
        match accepted {
            Ok((connection, _)) => {
                let service = Rc::clone(&service);
                connections.spawn_local(async move { service.call(connection).await });
            }
            Err(error) => {
                log::warn!("{addr}: a connection was not accepted: {error}");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    under_way.drain(DRAIN).await;
    // Idle connections are all that is left: nothing to be graceful about.
    connections.shutdown().await;
    Ok(())
}
