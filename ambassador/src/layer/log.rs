// SPDX-License-Identifier: Apache-2.0
//! Says what became of each request, once: its line in the access log, its metrics, its row of the summary.
//!
//! It stands outermost, so that what the program saw is what is said. A request ends with the last byte of its reply.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{Reply, Serve, Stage, plan::Plan, sample::grpc_status};
use crate::{
    proxy::{
        body::BodyErrorKind,
        error::{ProxyError, Side},
        message::{Request, RequestHead, Response},
    },
    telemetry::{
        Telemetry,
        event::{Destination, Rejected, RequestFinished},
        labels::{ErrorType, Protocol, RejectReason},
    },
};

/// Says what became of requests.
pub struct Log {
    inner: Stage,
    telemetry: Telemetry,
}

impl Log {
    /// Speaks of what `inner` serves.
    pub fn layer(inner: Stage, telemetry: Telemetry) -> Stage {
        Stage::new(Self { inner, telemetry })
    }
}

impl Serve for Log {
    fn serve(&self, mut request: Request) -> Reply {
        let entry = Entry::of(&mut request, self.telemetry.clone());
        let reply = self.inner.serve(request);
        Box::pin(async move {
            match reply.await {
                Ok(response) => Ok(entry.follow(response)),
                Err(error) => {
                    entry.finish(None, None, Some((&error).into()), 0, None);
                    Err(error)
                }
            }
        })
    }
}

/// What is known of a request from its head.
struct Entry {
    head: RequestHead,
    flow: Arc<crate::proxy::flow::Flow>,
    arrived: tokio::time::Instant,
    plan: Plan,
    telemetry: Telemetry,
    done: bool,
}
