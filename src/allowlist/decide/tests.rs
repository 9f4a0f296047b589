//! Every rule of the decision as a line of a table, and its promises as properties.

mod properties;
mod world;

use super::*;
use crate::allowlist::{Condition, explain};
use world::*;

/// What a decision came to, short enough for a table.
fn outcome(result: Result<Permit, Refusal>) -> String {
    match result {
        Ok(permit) => {
            let by = permit.clamped_by.map_or_else(String::new, |limit| format!(" clamped by {}", limit.as_str()));
            let policy =
                permit.session_policy.map_or("", |policy| if policy == own_policy() { " own" } else { " fixed" });
            format!("{} via {} for {}{by}{policy}", number(&permit.grant_id), permit.via, permit.duration.seconds())
        }
        Err(Refusal::NotAllowed(reasons)) => {
            let reasons: Vec<String> = reasons
                .iter()
                .map(|failing| {
                    let of = failing.grant_id.as_ref().map_or_else(String::new, |id| format!(" {}", number(id)));
                    format!("{}{of}", serde_json::to_value(failing.condition).unwrap().as_str().unwrap())
                })
                .collect();
            format!("not allowed: {}", reasons.join(", "))
        }
        Err(Refusal::DurationTooLong { limit, seconds }) => format!("too long: {} {seconds}", limit.as_str()),
        Err(Refusal::ReasonRequired { grant_id }) => format!("reason for {}", number(&grant_id)),
        Err(Refusal::SessionPolicyFixed { grant_id }) => format!("policy of {}", number(&grant_id)),
    }
}

fn check(name: &str, world: &World, expected: &str) {
    assert_eq!(outcome(world.decide()), expected, "{name}");
    let told = explain(&world.candidates, &world.asker, &world.ask, world.chained, now());
    assert_eq!(told.allowed, world.decide().is_ok(), "{name}: explain says what decide does");
}

#[test]
fn a_grant_is_for_a_principal_and_a_role() {
    for (name, grants, expected) in [
        ("by user", vec![grant(1)], "1 via user:alice for 3600"),
        ("by group", vec![grant(1).to("group:dev")], "1 via group:dev for 3600"),
        ("by account", vec![grant(1).on_account(ACCOUNT)], "1 via user:alice for 3600"),
        ("none", vec![], "not allowed: "),
        ("another's", vec![grant(1).to("user:bob")], "not allowed: "),
        ("a group that is not theirs", vec![grant(1).to("group:ops")], "not allowed: "),
        ("a group of the user's name", vec![grant(1).to("group:alice")], "not allowed: "),
        ("another role", vec![grant(1).on("ReadOnlyX")], "not allowed: "),
        ("a part of the name", vec![grant(1).on("ReadOnl")], "not allowed: "),
        ("another case", vec![grant(1).on("readonly")], "not allowed: "),
        ("another account's", vec![grant(1).on_account("999900001111")], "not allowed: "),
    ] {
        check(name, &World::with(grants), expected);
    }
}

#[test]
fn an_unknown_role_and_a_forbidden_one_are_the_same_answer() {
    let asks = [
        Ask::default(),
        Ask { duration: Some(seconds(43_200)), ..Ask::default() },
        Ask { session_policy: Some(own_policy()), ..Ask::default() },
        Ask { grant_id: Some(id(7)), ..Ask::default() },
    ];
    for ask in asks {
        for blocks in [vec![], vec![block_on("user:alice")], vec![block_on_role()]] {
            let forbidden = World { ask: ask.clone(), ..World::with(vec![]).blocked(blocks.clone()) };
            let mut unknown = World { ask: ask.clone(), ..World::with(vec![grant(1)]).blocked(blocks) };
            unknown.candidates.role = None;
            assert_eq!(forbidden.decide(), Err(Refusal::NotAllowed(vec![])));
            assert_eq!(unknown.decide(), forbidden.decide());
            let told = |world: &World| explain(&world.candidates, &world.asker, &world.ask, false, now());
            assert_eq!(told(&unknown), told(&forbidden));
        }
    }
}

#[test]
fn a_grant_stands_by_its_expiry_and_its_addresses() {
    for (name, grant, address, expected) in [
        ("at its end", grant(1).expires_in(0), None, "not allowed: expired 1"),
        ("after its end", grant(1).expires_in(-1), None, "not allowed: expired 1"),
        ("before its end", grant(1).expires_in(7200), None, "1 via user:alice for 3600"),
        ("inside", grant(1).from("10.0.0.0/8"), Some("10.1.2.3"), "1 via user:alice for 3600"),
        ("mapped", grant(1).from("10.0.0.0/8"), Some("::ffff:10.1.2.3"), "1 via user:alice for 3600"),
        ("outside", grant(1).from("10.0.0.0/8"), Some("192.0.2.1"), "not allowed: source_ip 1"),
        ("unknown", grant(1).from("10.0.0.0/8"), None, "not allowed: source_ip 1"),
        ("unknown in every range", grant(1).from("0.0.0.0/0"), None, "not allowed: source_ip 1"),
        ("both", grant(1).from("10.0.0.0/8").expires_in(0), None, "not allowed: expired 1, source_ip 1"),
    ] {
        let mut world = World::with(vec![grant]);
        world.asker.address = address.map(|address| address.parse().unwrap());
        check(name, &world, expected);
    }
}

#[test]
fn a_block_beats_every_grant() {
    for (name, block, expected) in [
        ("the user", block_on("user:alice"), "not allowed: blocked"),
        ("a group", block_on("group:dev"), "not allowed: blocked"),
        ("the role", block_on_role(), "not allowed: blocked"),
        ("another user", block_on("user:bob"), "1 via user:alice for 3600"),
        ("until later", until(block_on("user:alice"), 1), "not allowed: blocked"),
        ("until now", until(block_on("user:alice"), 0), "1 via user:alice for 3600"),
        ("until before", until(block_on_role(), -1), "1 via user:alice for 3600"),
    ] {
        check(name, &World::with(vec![grant(1)]).blocked(vec![block]), expected);
    }
    let both = World::with(vec![grant(1).expires_in(0)]).blocked(vec![block_on("user:alice")]);
    check("a block and an expiry", &both, "not allowed: blocked, expired 1");
}

#[test]
fn of_several_grants_one_is_taken() {
    for (name, grants, expected) in [
        ("the lowest id", vec![grant(2), grant(1)], "1 via user:alice for 3600"),
        ("the longest", vec![grant(1).max(7200), grant(2).max(9000)], "2 via user:alice for 3600"),
        ("none is the longest", vec![grant(1).max(43_200), grant(2)], "2 via user:alice for 3600"),
        ("no policy first", vec![grant(1).policy(), grant(2).max(900)], "2 via user:alice for 900 clamped by grant"),
        (
            "one that stands",
            vec![grant(1).expires_in(0), grant(2).max(900)],
            "2 via user:alice for 900 clamped by grant",
        ),
        (
            "one that needs no reason",
            vec![grant(1).reason(), grant(2).max(1800)],
            "2 via user:alice for 1800 clamped by grant",
        ),
        (
            "one that lasts",
            vec![grant(1).expires_in(60), grant(2).max(1800)],
            "2 via user:alice for 1800 clamped by grant",
        ),
        ("user or group alike", vec![grant(1).to("group:dev"), grant(2)], "1 via group:dev for 3600"),
        ("nothing combined from two", vec![grant(1).reason().max(7200), grant(2).from("10.0.0.0/8")], "reason for 1"),
    ] {
        check(name, &World::with(grants), expected);
    }
}

#[test]
fn a_grant_may_be_named() {
    let grants = || vec![grant(1), grant(2).max(900), grant(3).expires_in(0), grant(4).to("user:bob")];
    for (named, expected) in [
        (1, "1 via user:alice for 3600"),
        (2, "2 via user:alice for 900 clamped by grant"),
        (3, "not allowed: expired 3"),
        (4, "not allowed: grant_id"),
        (9, "not allowed: grant_id"),
    ] {
        let mut world = World::with(grants());
        world.ask.grant_id = Some(id(named));
        check(&format!("named {named}"), &world, expected);
    }
    let mut world = World::with(vec![grant(1).reason(), grant(2)]);
    world.ask.grant_id = Some(id(1));
    check("another would have done", &world, "reason for 1");
}

#[test]
fn a_bound_token_is_good_for_its_roles_alone() {
    let bound = |roles: &[&str], world: World| {
        let bounds = roles.iter().map(|role| BoundRole::parse(&format!("{ACCOUNT}/{role}")).unwrap()).collect();
        World { asker: Asker { bound_to: Some(bounds), ..world.asker }, ..world }
    };
    let unknown = || {
        let mut world = World::with(vec![]);
        world.candidates.role = None;
        world
    };
    for (name, world, expected) in [
        ("bound to it", bound(&["ReadOnly"], World::with(vec![grant(1)])), "1 via user:alice for 3600"),
        ("and another", bound(&["Other", "ReadOnly"], World::with(vec![grant(1)])), "1 via user:alice for 3600"),
        ("to another", bound(&["Other"], World::with(vec![grant(1)])), "not allowed: token_roles"),
        ("in another case", bound(&["readonly"], World::with(vec![grant(1)])), "not allowed: token_roles"),
        ("to none", bound(&[], World::with(vec![grant(1)])), "not allowed: token_roles"),
        ("to it, and no grant", bound(&["ReadOnly"], World::with(vec![])), "not allowed: "),
        ("to another, and no grant", bound(&["Other"], World::with(vec![])), "not allowed: token_roles"),
        ("no such role", bound(&["Other"], unknown()), "not allowed: token_roles"),
        (
            "blocked too",
            bound(&["Other"], World::with(vec![grant(1)]).blocked(vec![block_on("user:alice")])),
            "not allowed: token_roles, blocked",
        ),
    ] {
        check(name, &world, expected);
        let offered = offers(&world.candidates, &world.asker, false, now());
        assert_eq!(offered.is_empty(), world.decide().is_err(), "{name}");
    }
}

#[test]
fn policies_are_never_combined() {
    let asked = || Ask { session_policy: Some(own_policy()), ..Ask::default() };
    for (name, grants, ask, expected) in [
        ("the grant's", vec![grant(1).policy()], Ask::default(), "1 via user:alice for 3600 fixed"),
        ("the caller's", vec![grant(1)], asked(), "1 via user:alice for 3600 own"),
        ("both", vec![grant(1).policy()], asked(), "policy of 1"),
        (
            "another grant",
            vec![grant(1).policy(), grant(2).max(900)],
            asked(),
            "2 via user:alice for 900 clamped by grant own",
        ),
    ] {
        check(name, &World { ask, ..World::with(grants) }, expected);
    }
}

#[test]
fn no_session_is_over_any_limit() {
    let plain = || World::with(vec![grant(1)]);
    let asking = |n, world: World| World { ask: Ask { duration: Some(seconds(n)), ..Ask::default() }, ..world };
    let chained = |world| World { chained: true, ..world };
    let token = |left, world: World| {
        let asker = Asker { session_ends: Some(later(left)), ..world.asker };
        World { asker, ..world }
    };
    let of = |grant: TestGrant| World::with(vec![grant]);
    for (name, world, expected) in [
        ("an hour where nothing is asked", plain(), "1 via user:alice for 3600"),
        ("the role's most", asking(14_400, plain()), "1 via user:alice for 14400"),
        ("over the role", asking(14_401, plain()), "too long: role 14400"),
        ("the role shortens", plain().role_max(1800), "1 via user:alice for 1800 clamped by role"),
        ("the grant's most", asking(1800, of(grant(1).max(1800))), "1 via user:alice for 1800"),
        ("over the grant", asking(1801, of(grant(1).max(1800))), "too long: grant 1800"),
        ("the grant shortens", of(grant(1).max(1800)), "1 via user:alice for 1800 clamped by grant"),
        ("a grant over the hour", of(grant(1).max(7200)), "1 via user:alice for 3600"),
        ("the end shortens", of(grant(1).expires_in(1200)), "1 via user:alice for 1200 clamped by grant_expiry"),
        ("over the end", asking(1201, of(grant(1).expires_in(1200))), "too long: grant_expiry 1200"),
        ("900 left", of(grant(1).expires_in(900)), "1 via user:alice for 900 clamped by grant_expiry"),
        ("899 left", of(grant(1).expires_in(899)), "too long: grant_expiry 899"),
        ("899 left, 900 asked", asking(900, of(grant(1).expires_in(899))), "too long: grant_expiry 899"),
        ("the token shortens", token(1000, plain()), "1 via user:alice for 1000 clamped by token"),
        ("a token all but over", token(10, plain()), "too long: token 10"),
        ("a token over", token(-5, plain()), "too long: token 0"),
        ("an hour when chained is not clamped", chained(plain()), "1 via user:alice for 3600"),
        ("over an hour when chained", chained(asking(3601, plain())), "too long: role_chaining 3600"),
        ("the smallest is named", asking(9000, token(8000, of(grant(1).max(7000)))), "too long: grant 7000"),
        ("of two of one size the first", asking(9000, token(7000, of(grant(1).max(7000)))), "too long: grant 7000"),
        (
            "a grant that can, though it is not first",
            asking(7200, World::with(vec![grant(1).expires_in(3600), grant(2).max(7200)])),
            "2 via user:alice for 7200",
        ),
    ] {
        check(name, &world, expected);
    }
}

#[test]
fn a_part_of_a_second_never_counts() {
    let mut world = World::with(vec![grant(1).expires_in(1000)]);
    world.candidates.grants[0].conditions.expires = Time::from_micros(now().as_micros() + 1_000_999_999);
    check("rounded down", &world, "1 via user:alice for 1000 clamped by grant_expiry");
}

#[test]
fn the_nearest_miss_is_named() {
    let ask = || Ask { duration: Some(seconds(10_000)), session_policy: Some(own_policy()), ..Ask::default() };
    for (name, grants, expected) in [
        ("reason before duration", vec![grant(1).max(3600), grant(2).reason()], "reason for 2"),
        ("duration before policy", vec![grant(1).policy(), grant(2).max(3600)], "too long: grant 3600"),
        ("the longest to be had", vec![grant(1).max(3600), grant(2).max(7200)], "too long: grant 7200"),
        ("however it is limited", vec![grant(1).expires_in(1000), grant(2).max(2000)], "too long: grant 2000"),
        ("the fewest", vec![grant(1).reason().max(3600), grant(2).policy()], "policy of 2"),
        ("one by one", vec![grant(1).reason().policy().max(3600)], "reason for 1"),
        ("a session at all", vec![grant(1).expires_in(60), grant(2).policy().reason()], "reason for 2"),
        ("no session at all", vec![grant(1).expires_in(60).reason()], "too long: grant_expiry 60"),
        ("the lowest id", vec![grant(2).reason(), grant(1).reason()], "reason for 1"),
        ("only of those that stand", vec![grant(1).reason().expires_in(0), grant(2).policy()], "policy of 2"),
    ] {
        check(name, &World { ask: ask(), ..World::with(grants) }, expected);
    }
}

#[test]
fn explain_tells_every_condition_of_every_grant_of_theirs() {
    let mut world = World::with(vec![
        grant(1).expires_in(0).from("10.0.0.0/8").reason(),
        grant(2).max(1800).policy(),
        grant(3),
        grant(4).to("user:bob"),
    ])
    .blocked(vec![until(block_on("group:dev"), 60)]);
    world.asker.address = Some("192.0.2.1".parse().unwrap());
    world.ask = Ask {
        duration: Some(seconds(3600)),
        session_policy: Some(own_policy()),
        grant_id: Some(id(2)),
        ..Ask::default()
    };
    let told = explain(&world.candidates, &world.asker, &world.ask, false, now());
    insta::assert_json_snapshot!(told, @r#"
    {
      "allowed": false,
      "grant_id": null,
      "via": null,
      "duration_seconds": null,
      "clamped_by": null,
      "allowlist_revision": 17,
      "reasons": [
        {
          "grant_id": null,
          "condition": "blocked",
          "detail": "group:dev is blocked until 2026-07-01T12:01:00Z"
        },
        {
          "grant_id": "00000000-0000-7000-8000-000000000001",
          "condition": "grant_id",
          "detail": "another grant was asked for"
        },
        {
          "grant_id": "00000000-0000-7000-8000-000000000001",
          "condition": "expired",
          "detail": "the grant expired at 2026-07-01T12:00:00Z"
        },
        {
          "grant_id": "00000000-0000-7000-8000-000000000001",
          "condition": "source_ip",
          "detail": "the address 192.0.2.1 lies in none of the grant's ranges"
        },
        {
          "grant_id": "00000000-0000-7000-8000-000000000001",
          "condition": "reason_required",
          "detail": "the grant requires a reason, and none was given"
        },
        {
          "grant_id": "00000000-0000-7000-8000-000000000002",
          "condition": "duration_too_long",
          "detail": "the grant allows at most 1800 seconds"
        },
        {
          "grant_id": "00000000-0000-7000-8000-000000000002",
          "condition": "session_policy_fixed",
          "detail": "the grant has a session policy of its own: ask without one"
        },
        {
          "grant_id": "00000000-0000-7000-8000-000000000003",
          "condition": "grant_id",
          "detail": "another grant was asked for"
        }
      ]
    }
    "#);
}

#[test]
fn explain_of_a_permit_names_the_grant_and_what_fails_elsewhere() {
    let world = World::with(vec![grant(1).max(1800), grant(2).reason()]);
    let told = explain(&world.candidates, &world.asker, &world.ask, false, now());
    insta::assert_json_snapshot!(told, @r#"
    {
      "allowed": true,
      "grant_id": "00000000-0000-7000-8000-000000000001",
      "via": "user:alice",
      "duration_seconds": 1800,
      "clamped_by": "grant",
      "allowlist_revision": 17,
      "reasons": [
        {
          "grant_id": "00000000-0000-7000-8000-000000000002",
          "condition": "reason_required",
          "detail": "the grant requires a reason, and none was given"
        }
      ]
    }
    "#);
}

#[test]
fn a_refusal_lists_no_end_of_reasons() {
    let many = (1..200).map(|n| grant(n).expires_in(0)).collect();
    let Err(Refusal::NotAllowed(reasons)) = World::with(many).decide() else { panic!("expired grants gave a permit") };
    assert_eq!(reasons.len(), Refusal::MAX_REASONS);
    assert!(reasons.iter().all(|failing| failing.condition == Condition::Expired));
}

#[test]
fn offers_are_what_stands_in_the_order_it_is_taken() {
    let offered = |world: &World| -> Vec<(u32, u32, &str)> {
        offers(&world.candidates, &world.asker, world.chained, now())
            .iter()
            .map(|offer| (number(&offer.grant.id), offer.longest.seconds(), offer.limit.as_str()))
            .collect()
    };
    let grants = || {
        vec![
            grant(1).policy().reason(),
            grant(2).max(1800),
            grant(3).expires_in(0),
            grant(4).expires_in(60),
            grant(5).to("user:bob"),
            grant(6).on_account(ACCOUNT),
        ]
    };
    assert_eq!(offered(&World::with(grants())), [(6, 14_400, "role"), (2, 1800, "grant"), (1, 14_400, "role")]);
    assert_eq!(offered(&World::with(grants()).blocked(vec![block_on_role()])), []);
    let chained = World { chained: true, ..World::with(vec![grant(1)]) };
    assert_eq!(offered(&chained), [(1, 3600, "role_chaining")]);
}
