//! What holds in every world, and not only in those somebody thought of.

use super::world::*;
use super::*;
use proptest::{collection::vec, option, prelude::*};

fn any_grant() -> impl Strategy<Value = TestGrant> {
    let who = prop_oneof![Just("user:alice"), Just("group:dev"), Just("group:all"), Just("user:bob")];
    let conditions = (
        option::of(900_u64..43_200),
        any::<bool>(),
        option::of(-100_i64..20_000),
        option::of(prop_oneof![Just("10.0.0.0/8"), Just("192.0.2.0/24")]),
        any::<bool>(),
    );
    (0_u32..500, who, 0..3, conditions).prop_map(|(n, who, target, (max, reason, expires, from, policy))| {
        let mut made = grant(n).to(who);
        made = match target {
            0 => made,
            1 => made.on_account(ACCOUNT),
            _ => made.on("Other"),
        };
        made = if reason { made.reason() } else { made };
        made = if policy { made.policy() } else { made };
        made = max.into_iter().fold(made, TestGrant::max);
        made = expires.into_iter().fold(made, TestGrant::expires_in);
        from.into_iter().fold(made, TestGrant::from)
    })
}

fn any_world() -> impl Strategy<Value = World> {
    let ask = (option::of(900_u64..43_200), any::<bool>(), any::<bool>(), option::of(0_u32..20));
    let asker = (option::of(prop_oneof![Just("10.1.1.1"), Just("192.0.2.9")]), option::of(-100_i64..20_000));
    (vec(any_grant(), 0..8), ask, asker, any::<bool>(), 900_u64..43_200).prop_map(
        |(mut grants, (duration, reason, policy, named), (address, ends), chained, role_max)| {
            // Ids are unique in the store.
            let mut ids = std::collections::BTreeSet::new();
            grants.retain(|grant| ids.insert(grant.clone().done().id));
            let named = named.and_then(|n| Some(grants.get(n as usize)?.clone().done().id));
            let mut world = World::with(grants).role_max(role_max);
            world.ask = Ask {
                duration: duration.map(seconds),
                reason: reason.then(|| Reason::parse("INC-42").unwrap()),
                session_policy: policy.then(own_policy),
                grant_id: named,
                ..Ask::default()
            };
            world.asker.address = address.map(|address| address.parse().unwrap());
            world.asker.session_ends = ends.map(later);
            world.chained = chained;
            world
        },
    )
}

proptest! {
    #[test]
    fn a_permit_is_within_every_limit_of_its_one_grant(world in any_world()) {
        let Ok(permit) = world.decide() else { return Ok(()) };
        let by_id = |grant: &&Grant| grant.id == permit.grant_id;
        let grant = world.candidates.grants.iter().find(by_id).expect("one of the candidates");
        let lasts = permit.duration.seconds();
        let ends = later(lasts.into());
        let conditions = &grant.conditions;
        prop_assert!((900..=43_200).contains(&lasts));
        prop_assert!(world.ask.duration.is_none_or(|asked| asked == permit.duration));
        prop_assert!(world.ask.duration.is_some() || lasts <= 3600);
        prop_assert!(world.ask.grant_id.as_ref().is_none_or(|named| *named == grant.id));
        prop_assert!(lasts <= world.candidates.role.as_ref().unwrap().1.max_duration.seconds());
        prop_assert!(conditions.max_duration.is_none_or(|most| permit.duration <= most));
        prop_assert!(conditions.expires.is_none_or(|expires| ends <= expires));
        prop_assert!(world.asker.session_ends.is_none_or(|token| ends <= token));
        prop_assert!(!world.chained || lasts <= 3600);
        prop_assert!(!conditions.require_reason || world.ask.reason.is_some());
        prop_assert!(conditions.source_ips.iter().all(|range| range.contains(world.asker.address.unwrap())));
        prop_assert!(world.asker.principals().any(|own| *own == grant.principal));
        prop_assert_eq!(&permit.via, &grant.principal);
        let policy = conditions.session_policy.as_ref().or(world.ask.session_policy.as_ref());
        prop_assert_eq!(permit.session_policy.as_ref(), policy);
        prop_assert!(permit.clamped_by != Some(Limit::RoleChaining));
        prop_assert_eq!(permit.clamped_by.is_some(), world.ask.duration.is_none() && lasts < 3600);
    }

    #[test]
    fn one_more_grant_never_turns_a_permit_into_a_refusal(world in any_world(), more in any_grant()) {
        prop_assume!(world.candidates.grants.iter().all(|grant| grant.id != more.clone().done().id));
        let before = world.decide();
        let mut after = world;
        after.candidates.grants.push(more.done());
        prop_assert!(before.is_err() || after.decide().is_ok());
    }

    #[test]
    fn ending_one_grant_never_ends_anothers_permit(world in any_world(), ended in 0_usize..8) {
        let Ok(permit) = world.decide() else { return Ok(()) };
        let mut after = world;
        prop_assume!(after.candidates.grants.get(ended).is_some_and(|grant| grant.id != permit.grant_id));
        after.candidates.grants.remove(ended);
        prop_assert_eq!(after.decide(), Ok(permit));
    }

    #[test]
    fn a_block_always_refuses(world in any_world(), on in 0..4) {
        let block = match on {
            0 => block_on_role(),
            1 => block_on("user:alice"),
            2 => block_on("group:dev"),
            _ => until(block_on("group:all"), 1),
        };
        let refused = matches!(world.blocked(vec![block]).decide(), Err(Refusal::NotAllowed(_)));
        prop_assert!(refused);
    }

    #[test]
    fn the_order_of_rows_decides_nothing(world in any_world()) {
        let answer = world.decide();
        let mut turned = world;
        turned.candidates.grants.reverse();
        prop_assert_eq!(turned.decide(), answer);
    }

    #[test]
    fn whoever_heeds_each_refusal_gets_in_by_three_steps(world in any_world()) {
        let mut world = world;
        for _ in 0..4 {
            match world.decide() {
                Ok(_) | Err(Refusal::NotAllowed(_)) => return Ok(()),
                Err(Refusal::DurationTooLong { seconds: most, .. }) => {
                    let Ok(most) = SessionDuration::from_seconds(most.unsigned_abs()) else { return Ok(()) };
                    prop_assert!(world.ask.duration.is_some_and(|asked| most < asked));
                    world.ask.duration = Some(most);
                }
                Err(Refusal::ReasonRequired { .. }) => {
                    prop_assert!(world.ask.reason.is_none());
                    world.ask.reason = Some(Reason::parse("INC-42").unwrap());
                }
                Err(Refusal::SessionPolicyFixed { .. }) => {
                    prop_assert!(world.ask.session_policy.is_some());
                    world.ask.session_policy = None;
                }
            }
        }
        prop_assert!(world.decide().is_ok(), "three steps were not enough");
    }

    #[test]
    fn explain_agrees_with_the_decision(world in any_world()) {
        let told = explain(&world.candidates, &world.asker, &world.ask, world.chained, now());
        let decided = world.decide();
        prop_assert_eq!(told.allowed, decided.is_ok());
        // A grant of theirs that no condition names would do, and only such a one does.
        let failing = |grant: &Grant| told.reasons.iter().any(|reason| reason.grant_id.as_ref() == Some(&grant.id));
        let own = |grant: &&Grant| {
            world.asker.principals().any(|own| *own == grant.principal)
                && !matches!(&grant.target, GrantTarget::Role(_, name) if name.as_str() != "ReadOnly")
        };
        prop_assert_eq!(told.allowed, world.candidates.grants.iter().filter(own).any(|grant| !failing(grant)));
    }
}
