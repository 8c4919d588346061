// SPDX-License-Identifier: Apache-2.0
//! Who shares what, and when it is forgotten.

use super::*;
use crate::policy::route::Upstream;

fn dst(port: u16) -> SocketAddr {
    ([10, 0, 0, 1], port).into()
}

#[test]
fn each_original_destination_has_a_breaker_of_its_own() {
    let states = States::new(Telemetry::silent());
    let route = Arc::new(Route { breaker: Some(BreakerPolicy::default()), ..Route::default() });
    let (a, b) = (states.of(&route, dst(1)), states.of(&route, dst(2)));
    assert!(!Arc::ptr_eq(&a.breakers[0], &b.breakers[0]));
    assert!(Arc::ptr_eq(&a, &states.of(&route, dst(1))));
}

#[test]
fn routes_share_the_state_of_their_upstream() {
    let states = States::new(Telemetry::silent());
    let upstream = Arc::new(Upstream {
        name: "u".into(),
        breaker: Some(BreakerPolicy::default()),
        ..Upstream::default()
    });
    let route = |name: &str, breaker| {
        Arc::new(Route {
            name: name.into(),
            upstream: Some(Arc::clone(&upstream)),
            breaker,
            ..Route::default()
        })
    };
    let (a, b) = (route("a", None), route("b", Some(BreakerPolicy::default())));
    let (a, b) = (states.of(&a, dst(1)), states.of(&b, dst(2)));
    assert!(Arc::ptr_eq(&a.breakers[0], &b.breakers[0]) && Arc::ptr_eq(&a.budget, &b.budget));
    assert_eq!((a.breakers.len(), b.breakers.len()), (1, 2), "the second route has one of its own, too");
}

#[test]
fn destinations_that_nobody_uses_are_forgotten() {
    let states = States::new(Telemetry::silent());
    let route = Arc::new(Route::default());
    for port in 0..=u16::try_from(2 * MAX_STATES).expect("a port") {
        states.of(&route, dst(port));
    }
    let shared = states.shared.lock().expect("no panic");
    assert!(shared.routes.len() <= 2 * MAX_STATES && shared.upstreams.len() <= 2 * MAX_STATES);
}

#[test]
fn destinations_in_use_are_not_looked_through_again_and_again() {
    let states = States::new(Telemetry::silent());
    let route = Arc::new(Route::default());
    let used: Vec<_> = (0..MAX_STATES + 2)
        .map(|port| states.of(&route, dst(u16::try_from(port).expect("a port"))))
        .collect();
    let shared = states.shared.lock().expect("no panic");
    assert_eq!(shared.routes.len(), used.len());
    assert!(shared.sweep_at >= 2 * MAX_STATES, "the next look waits");
}
