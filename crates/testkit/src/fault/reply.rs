//! Answers that the proxy gives itself.
//!
//! Purpose: errors as a Kubernetes API server words them, so that clients parse them as real ones. Owns no state. It
//! must never look like success.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

/// An error answer with a Kubernetes `Status` as its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status, 400 to 599.
    pub code: u16,
    /// The `reason` of the `Status`.
    pub reason: String,
    /// The `message` of the `Status`.
    pub message: String,
    /// Sent as the `Retry-After` header and in the details, in whole seconds.
    pub retry_after: Option<Duration>,
}

impl Reply {
    /// Any error.
    pub fn new(code: u16, reason: &str, message: &str) -> Self {
        Self { code, reason: reason.into(), message: message.into(), retry_after: None }
    }

    /// 429 as priority and fairness words it.
    pub fn too_many_requests() -> Self {
        Self::new(429, "TooManyRequests", "the server has received too many requests, please try again later")
    }

    /// 500 of a webhook that can't be reached.
    pub fn internal() -> Self {
        Self::new(500, "InternalError", "Internal error occurred: failed calling webhook: connection refused")
    }

    /// 503.
    pub fn unavailable() -> Self {
        Self::new(503, "ServiceUnavailable", "the server is currently unable to handle the request")
    }

    /// 401, as for an expired token.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// The same with `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let seconds = self.retry_after.map(|wait| wait.as_secs());
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(seconds) = seconds {
            body["details"] = json!({"retryAfterSeconds": seconds});
        }
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
