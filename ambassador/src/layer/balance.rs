// SPDX-License-Identifier: Apache-2.0
//! Chooses the endpoint of an attempt: the next one of the upstream's, another one after a failure.

use std::sync::Arc;

use super::{Reply, Serve, Stage};
use crate::{message::Request, upstream::endpoints::Endpoints};

/// Sets where an attempt goes.
pub struct Balance {
    inner: Stage,
    endpoints: Arc<Endpoints>,
}

impl Balance {
    /// Chooses for `inner`.
    pub fn layer(inner: Stage, endpoints: Arc<Endpoints>) -> Stage {
        Stage::new(Self { inner, endpoints })
    }
}

impl Serve for Balance {
    fn serve(&self, mut request: Request) -> Reply {
        if let Some(plan) = &request.plan {
            request.connect_timeout = plan.route().timeouts.connect;
            let failed = request.endpoint.take();
            if let Some(upstream) = plan.route().upstream.as_ref().filter(|_| !plan.host_mismatch) {
                request.idle_timeout = upstream.idle_timeout;
                let endpoint = self.endpoints.pick(&plan.state, request.flow.original_dst, failed);
                request.endpoint = (endpoint != request.flow.original_dst).then_some(endpoint);
            }
        }
        self.inner.serve(request)
    }
}
