// SPDX-License-Identifier: Apache-2.0
//! The only place where an error becomes a reply.
//!
//! A route without any policy must change nothing that the program sees: its connection fails as the upstream's did,
//! so the error is passed on, and the protocol's arm closes or resets. Elsewhere the program is told in HTTP what
//! happened, with `x-ambassador-error`.

use crate::message::{
    Loss, Request, RequestHead, Response,
    error::{ProxyError, Side},
    stage::{Outcome, Serve, name_of},
};

/// Turns errors into replies.
pub struct Rescue<S> {
    inner: S,
}

impl<S: Serve> Rescue<S> {
    /// Rescues what `inner` fails.
    pub fn layer(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Serve> Serve for Rescue<S> {
    async fn serve(&self, request: Box<Request>) -> Outcome {
        let transparent = request.plan.as_ref().is_none_or(|plan| plan.passes_failures());
        let is_http1 = matches!(request.head, RequestHead::Http1(_));
        match self.inner.serve(request).await {
            Err(error @ (ProxyError::ClientGone(_) | ProxyError::MalformedRequest(_))) => Err(error),
            // The program's own connection was closed between its requests, as it would have been without a proxy:
            // client libraries know that, and send again on a new one what they know to be safe.
            Err(error @ ProxyError::Disconnected { reused: true, replied: false, .. }) if is_http1 => {
                Err(error)
            }
            Err(error) if transparent && error.side() != Side::Local => Err(error),
            Err(error) => Ok(Response::local(error)),
            Ok(mut response) => {
                if transparent {
                    response.loss = Loss::Connection;
                }
                Ok(response)
            }
        }
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}
