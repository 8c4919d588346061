// SPDX-License-Identifier: Apache-2.0
//! Chooses the endpoint of an attempt: the next one of the upstream's, another one after a failure.

use std::sync::Arc;

use crate::{
    message::{
        Request,
        stage::{Outcome, Serve, name_of},
    },
    upstream::{endpoints::Endpoints, pool},
};

/// Sets where an attempt goes.
pub struct Balance<S> {
    inner: S,
    endpoints: Arc<Endpoints>,
}

impl<S: Serve> Balance<S> {
    /// Chooses for `inner`.
    pub fn layer(inner: S, endpoints: Arc<Endpoints>) -> Self {
        Self { inner, endpoints }
    }
}

impl<S: Serve> Serve for Balance<S> {
    fn serve(&self, mut request: Box<Request>) -> impl Future<Output = Outcome> + Send {
        if let Some(plan) = &request.plan {
            request.connect_timeout = plan.route().connect_limit();
            request.keep_idle = plan.route().keep_idle.filter(|_| plan.route().mode.acts());
            let failed = request.endpoint.take();
            if let Some(upstream) = plan.route().upstream.as_ref().filter(|_| !plan.host_mismatch) {
                request.keep_idle =
                    upstream.keep_idle.filter(|_| plan.route().mode.acts()).or(request.keep_idle);
                let original_dst = request.flow.original_dst;
                // The flow's first attempt goes where the connection leads that was dialled for it.
                let dialled = pool::spare_destination(request.flow.id)
                    .filter(|_| failed.is_none())
                    .filter(|dialled| self.endpoints.may_go_to(&plan.state, original_dst, *dialled));
                // A user who is known by the connection stays on it; but what is meant for another upstream does not.
                let bound = pool::bound_to(request.flow.id).filter(|bound| {
                    pool::is_bound_by(request.flow.id, &upstream.name)
                        || self.endpoints.may_go_to(&plan.state, original_dst, *bound)
                });
                let endpoint = bound
                    .or(dialled)
                    .unwrap_or_else(|| self.endpoints.pick(&plan.state, original_dst, failed));
                plan.trail.goes_to(endpoint);
                request.endpoint = (endpoint != request.flow.original_dst).then_some(endpoint);
            }
        }
        self.inner.serve(request)
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}
