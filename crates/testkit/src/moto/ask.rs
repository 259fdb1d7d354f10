//! One plain HTTP question with a JSON body.
//!
//! Owns no state. It must never be used by what ships: real clients of AWS have timeouts, retries and signatures.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Thousands of runs are made in one call.
const ANSWER: Duration = Duration::from_mins(1);

/// The JSON of a 2xx; anything else is an error that quotes it.
pub(super) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    body: &Value,
) -> Result<Value, String> {
    let body = body.to_string();
    let signed = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n{signed}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(ANSWER, asking).await.map_err(|_| format!("{path}: no answer"))?;
    let answer = answer.map_err(|error| format!("{path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{path}: {answer}"))?;
    let is_well = head.split(' ').nth(1).is_some_and(|code| code.starts_with('2'));
    if !is_well {
        return Err(format!("{path}: {answer}"));
    }
    serde_json::from_str(body).map_err(|error| format!("{path}: {error}: {body}"))
}
