// SPDX-License-Identifier: Apache-2.0
//! The only place where an error becomes a reply.
//!
//! A route without any policy must change nothing that the program sees: its connection fails as the upstream's did,
//! so the error is passed on, and the protocol's arm closes or resets. Elsewhere the program is told in HTTP what
//! happened, with `x-ambassador-error`.

use super::{Reply, Serve, Stage, plan::Plan};
use crate::proxy::{
    error::{ProxyError, Side},
    local::LocalReply,
    message::{Request, Response},
};

/// Turns errors into replies.
pub struct Rescue {
    inner: Stage,
    transparent: fn(&Plan) -> bool,
}

impl Rescue {
    /// Rescues what `inner` fails.
    pub fn layer(inner: Stage) -> Stage {
        Stage::new(Self { inner, transparent: |plan| plan.route().transparent || !plan.route().mode.acts() })
    }
}

impl Serve for Rescue {
    fn serve(&self, request: Request) -> Reply {
        let transparent = request.plan.as_ref().is_some_and(self.transparent);
        let reply = self.inner.serve(request);
        Box::pin(async move {
            match reply.await {
                Err(error @ (ProxyError::ClientGone(_) | ProxyError::MalformedRequest(_))) => Err(error),
                Err(error) if transparent && error.side() != Side::Local => Err(error),
                Err(error) => Ok(Response::local(LocalReply::from(&error)).because(error)),
                reply => reply,
            }
        })
    }
}
