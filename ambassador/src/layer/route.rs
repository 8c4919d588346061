// SPDX-License-Identifier: Apache-2.0
//! Matches a request to its route, once; every stage behind it reads the plan that is made here.
//!
//! The Host header selects a policy. It never selects an address that the program did not dial: a name that does not
//! fit the dialled address is counted, and the request goes on to where it was going.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    message::{
        Request, RequestHead,
        plan::{Plan, Trail},
        stage::{Outcome, Serve, name_of},
    },
    policy::{
        clock::Now,
        deadline::Deadline,
        facts::{L4Facts, L7Facts},
        matcher::Protocol,
        route::RouteTable,
    },
    telemetry::{Telemetry, event::HostMismatch},
    upstream::{endpoints::Endpoints, state::States},
};

/// Matches requests.
pub struct RouteStage<S> {
    inner: S,
    table: Arc<RouteTable>,
    states: Arc<States>,
    endpoints: Arc<Endpoints>,
    telemetry: Telemetry,
    mismatch_said: AtomicBool,
}

impl<S: Serve> RouteStage<S> {
    /// Matches what goes on to `inner`.
    pub fn layer(
        inner: S,
        table: Arc<RouteTable>,
        states: Arc<States>,
        endpoints: Arc<Endpoints>,
        telemetry: Telemetry,
    ) -> Self {
        let mismatch_said = AtomicBool::new(false);
        Self { inner, table, states, endpoints, telemetry, mismatch_said }
    }

    /// The plan of a request.
    fn plan(&self, request: &Request, now: Now) -> Plan {
        let names = self.endpoints.names();
        let protocol = match request.head {
            RequestHead::Http1(_) => Protocol::Http1,
            RequestHead::Http2(_) => Protocol::Http2,
        };
        let l4 = L4Facts { destination: request.flow.original_dst, app: &request.flow.app.comm };
        let l7 = L7Facts {
            protocol,
            host: request.head.authority(),
            sni: None,
            method: Some(request.head.method()),
            path: Some(request.head.path()),
        };
        let selection = self.table.select(&l4, &l7, &names);
        if selection.host_mismatch {
            if !self.mismatch_said.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    route = &*selection.route.name,
                    dialled = %request.flow.original_dst,
                    "a request names a host of this route, but its program dialled none of that host's addresses: \
                     it goes where it was dialled, not to the route's upstream (said once; see \
                     ambassador_host_mismatch_total)"
                );
            }
            self.telemetry.emit(
                &HostMismatch {
                    route: Arc::clone(&selection.route.name),
                    host: Cow::Borrowed(request.head.host().unwrap_or_default()),
                    endpoint: request.flow.original_dst,
                }
                .into(),
            );
        }
        let deadline = if selection.route.mode.acts() && !request.head.is_endless() {
            Deadline::starting(now, &selection.route.timeouts)
        } else {
            Deadline::NONE
        };
        Plan {
            head: request.head.clone(),
            flow: Arc::clone(&request.flow),
            arrived: request.arrived,
            state: self.states.of(selection.route, request.flow.original_dst),
            deadline,
            trail: Trail::default(),
            denied: selection.denied,
            host_mismatch: selection.host_mismatch,
        }
    }
}

impl<S: Serve> Serve for RouteStage<S> {
    fn serve(&self, mut request: Box<Request>) -> impl Future<Output = Outcome> + Send {
        let plan = self.plan(&request, request.now);
        plan.state.budget.deposit(request.now);
        request.plan = Some(Arc::new(plan));
        self.inner.serve(request)
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
        self.inner.list(names);
    }
}
