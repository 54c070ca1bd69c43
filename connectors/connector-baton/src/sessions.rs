//! What a Baton connector keeps for the length of one sync, and asks its parent to hold.
//!
//! In memory, within a bound, and gone with the child. Only it can connect: clients show the
//! certificate of this start.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use prost::bytes::Bytes;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use tonic::codegen::http;
use tonic::{Request, Response, Status};

use crate::wire::session::baton_session_service_server::{
    BatonSessionService, BatonSessionServiceServer,
};
use crate::wire::session::{
    ClearRequest, ClearResponse, DeleteManyRequest, DeleteManyResponse, DeleteRequest,
    DeleteResponse, GetAllRequest, GetAllResponse, GetManyRequest, GetManyResponse, GetRequest,
    GetResponse, Item, SetManyRequest, SetManyResponse, SetRequest, SetResponse,
};

/// Bytes of all that is kept.
const BYTES_MAX: usize = 64 << 20;
/// Bytes of values in one answer.
const ANSWER_BYTES_MAX: usize = 3 << 20;
/// Bytes that an entry takes beside its text.
const ENTRY_BYTES: usize = 100;

type Space = BTreeMap<String, Bytes>;

/// Entries by sync and prefix.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    spaces: HashMap<(String, String), Space>,
    bytes: usize,
}

impl Store {
    fn set(&mut self, space: (String, String), key: String, value: &Bytes) -> Result<(), Status> {
        let bytes = weight(&key, value);
        let space = self.spaces.entry(space).or_default();
        let before = space.get(&key).map_or(0, |before| weight(&key, before));
        let total = self.bytes - before + bytes;
        if total > BYTES_MAX {
            let mib = BYTES_MAX >> 20;
            return Err(Status::resource_exhausted(format!("sessions hold at most {mib} MiB")));
        }
        self.bytes = total;
        // A copy: the bytes of a whole request would stay as long as one value of it.
        space.insert(key, Bytes::copy_from_slice(value));
        Ok(())
    }

    fn delete(&mut self, space: &(String, String), key: &str) {
        if let Some((key, value)) = self.spaces.get_mut(space).and_then(|it| it.remove_entry(key)) {
            self.bytes -= weight(&key, &value);
        }
    }

    fn clear(&mut self, space: &(String, String)) {
        let gone = self.spaces.remove(space).unwrap_or_default();
        self.bytes -= gone.iter().map(|(key, value)| weight(key, value)).sum::<usize>();
    }
}

fn weight(key: &str, value: &Bytes) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl Sessions {
    /// Serves them on that socket until what it gives is dropped.
    pub(crate) fn serve(
        self,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
    ) -> std::io::Result<AbortOnDropHandle<()>> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let acceptor = TlsAcceptor::from(tls);
        Ok(AbortOnDropHandle::new(tokio::spawn(async move {
            // Connections end with the listener.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve_one(self.clone(), acceptor.clone(), stream));
                while connections.try_join_next().is_some() {}
            }
        })))
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve_one(sessions: Sessions, acceptor: TlsAcceptor, stream: tokio::net::TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = Rooted(BatonSessionServiceServer::new(sessions));
    let served = auto::Builder::new(TokioExecutor::new()).http2_only();
    let connection =
        served.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = connection.await {
        tracing::debug!(error, "a connection to sessions ended");
    }
}

/// The one service that there is; what it does not know it refuses by itself.
#[derive(Clone)]
struct Rooted(BatonSessionServiceServer<Sessions>);

impl<B> tower::Service<http::Request<B>> for Rooted
where
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<tonic::codegen::StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.0.call(request)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl BatonSessionService for Sessions {
    async fn get(&self, request: Request<GetRequest>) -> Answer<GetResponse> {
        let GetRequest { sync_id, key, prefix } = request.into_inner();
        let store = self.store();
        let value = store.spaces.get(&(sync_id, prefix)).and_then(|space| space.get(&key)).cloned();
        let found = value.is_some();
        Ok(Response::new(GetResponse { value: value.unwrap_or_default(), found }))
    }

    async fn get_many(&self, request: Request<GetManyRequest>) -> Answer<GetManyResponse> {
        let GetManyRequest { sync_id, keys, prefix } = request.into_inner();
        let store = self.store();
        let mut answer = GetManyResponse::default();
        let mut bytes = 0;
        let Some(space) = store.spaces.get(&(sync_id, prefix)) else {
            return Ok(Response::new(answer));
        };
        for key in keys {
            let Some(value) = space.get(&key) else { continue };
            bytes += weight(&key, value);
            if bytes > ANSWER_BYTES_MAX && !answer.items.is_empty() {
                answer.unprocessed_keys.push(key);
            } else {
                answer.items.push(Item { key, value: value.clone() });
            }
        }
        Ok(Response::new(answer))
    }

    async fn get_all(&self, request: Request<GetAllRequest>) -> Answer<GetAllResponse> {
        let GetAllRequest { sync_id, page_token, prefix } = request.into_inner();
        let store = self.store();
        let mut answer = GetAllResponse::default();
        let mut bytes = 0;
        let Some(space) = store.spaces.get(&(sync_id, prefix)) else {
            return Ok(Response::new(answer));
        };
        for (key, value) in space.range(page_token..) {
            bytes += weight(key, value);
            if bytes > ANSWER_BYTES_MAX && !answer.items.is_empty() {
                answer.page_token.clone_from(key);
                break;
            }
            answer.items.push(Item { key: key.clone(), value: value.clone() });
        }
        Ok(Response::new(answer))
    }

    async fn set(&self, request: Request<SetRequest>) -> Answer<SetResponse> {
        let SetRequest { sync_id, key, value, prefix } = request.into_inner();
        self.store().set((sync_id, prefix), key, &value)?;
        Ok(Response::new(SetResponse {}))
    }

    async fn set_many(&self, request: Request<SetManyRequest>) -> Answer<SetManyResponse> {
        let SetManyRequest { sync_id, values, prefix } = request.into_inner();
        let mut store = self.store();
        for (key, value) in values {
            store.set((sync_id.clone(), prefix.clone()), key, &value)?;
        }
        Ok(Response::new(SetManyResponse {}))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Answer<DeleteResponse> {
        let DeleteRequest { sync_id, key, prefix } = request.into_inner();
        self.store().delete(&(sync_id, prefix), &key);
        Ok(Response::new(DeleteResponse {}))
    }

    async fn delete_many(&self, request: Request<DeleteManyRequest>) -> Answer<DeleteManyResponse> {
        let DeleteManyRequest { sync_id, keys, prefix } = request.into_inner();
        let space = (sync_id, prefix);
        let mut store = self.store();
        keys.iter().for_each(|key| store.delete(&space, key));
        Ok(Response::new(DeleteManyResponse {}))
    }

    async fn clear(&self, request: Request<ClearRequest>) -> Answer<ClearResponse> {
        let ClearRequest { sync_id, prefix } = request.into_inner();
        self.store().clear(&(sync_id, prefix));
        Ok(Response::new(ClearResponse {}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn set(sessions: &Sessions, key: &str, bytes: usize) -> Result<(), Status> {
        let (sync_id, prefix) = ("s".into(), "p".into());
        let value = vec![b'x'; bytes].into();
        let request = SetRequest { sync_id, key: key.into(), value, prefix };
        sessions.set(Request::new(request)).await.map(drop)
    }

    #[tokio::test]
    async fn what_was_set_is_there_for_its_sync_and_prefix_alone() {
        let sessions = Sessions::default();
        set(&sessions, "k", 3).await.unwrap();
        for (sync_id, prefix, found) in [("s", "p", true), ("s", "q", false), ("t", "p", false)] {
            let (sync_id, prefix) = (sync_id.into(), prefix.into());
            let request = GetRequest { sync_id, key: "k".into(), prefix };
            let answer = sessions.get(Request::new(request)).await.unwrap().into_inner();
            assert_eq!((answer.found, answer.value.len()), (found, if found { 3 } else { 0 }));
        }
        let request = DeleteRequest { sync_id: "s".into(), key: "k".into(), prefix: "p".into() };
        sessions.delete(Request::new(request)).await.unwrap();
        assert_eq!(sessions.store().bytes, 0);
    }

    #[tokio::test]
    async fn sessions_end_at_their_bound_and_make_room_again() {
        let sessions = Sessions::default();
        for key in 0..15 {
            set(&sessions, &key.to_string(), 4 << 20).await.unwrap();
        }
        let full = set(&sessions, "15", 4 << 20).await.unwrap_err();
        assert_eq!(full.code(), tonic::Code::ResourceExhausted);
        // What takes another's place is no more.
        set(&sessions, "14", 4 << 20).await.unwrap();
        let clear = ClearRequest { sync_id: "s".into(), prefix: "p".into() };
        sessions.clear(Request::new(clear)).await.unwrap();
        assert_eq!(sessions.store().bytes, 0);
        set(&sessions, "15", 4 << 20).await.unwrap();
    }

    #[tokio::test]
    async fn large_spaces_are_read_in_pages_and_no_key_is_lost() {
        let sessions = Sessions::default();
        for key in 0..10 {
            set(&sessions, &key.to_string(), 1 << 20).await.unwrap();
        }
        let (mut token, mut keys, mut pages) = (String::new(), Vec::new(), 0);
        loop {
            let (sync_id, prefix) = ("s".into(), "p".into());
            let request = GetAllRequest { sync_id, page_token: token, prefix };
            let answer = sessions.get_all(Request::new(request)).await.unwrap().into_inner();
            keys.extend(answer.items.into_iter().map(|item| item.key));
            pages += 1;
            token = answer.page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((keys.len(), pages > 1), (10, true));
        let asked: Vec<String> = (0..10).map(|key| key.to_string()).collect();
        let (sync_id, prefix) = ("s".into(), "p".into());
        let request = GetManyRequest { sync_id, keys: asked, prefix };
        let answer = sessions.get_many(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(answer.items.len() + answer.unprocessed_keys.len(), 10);
        assert!(!answer.unprocessed_keys.is_empty());
    }
}
