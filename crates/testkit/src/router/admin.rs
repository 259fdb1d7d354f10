//! One request to the router's admin port.
//!
//! Purpose: a page and its status over plain HTTP. Owns no state: each request has a connection of its own, because the
//! router behind the port may have been killed since the last one. It must never wait by itself: callers set timeouts.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The status and the body of `GET path`.
pub(super) async fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends when the sender is dropped; its error is the same that the request sees.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    Ok((code, String::from_utf8_lossy(&body).into_owned()))
}
