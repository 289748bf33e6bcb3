//! What the condition says after which answers.

use super::*;

#[tokio::test]
async fn each_change_of_a_policy_in_an_agent_is_noticed_within_a_minute() {
    let fixture = one_policy();
    let ctx = &fixture.ctx;
    let ready = reasons(ctx).ready;
    let disabled = says(&[("deny", PolicyState::Disabled, None)]);
    let monitoring = says(&[("deny", PolicyState::Enabled, Some(Mode::Monitor))]);
    let partial = says(&[("deny", PolicyState::PartiallyEnabled, None)]);
    let failed = says(&[("deny", PolicyState::LoadError, None)]);
    for (result, expected) in [
        (enforcing(), "AllEnforcing"),
        (disabled, "PoliciesDisabled"),
        (enforcing(), "AllEnforcing"),
        (monitoring, "MonitorMode"),
        (enforcing(), "AllEnforcing"),
        (says(&[]), "PoliciesMissing"),
        (enforcing(), "AllEnforcing"),
        (partial, "PartiallyEnabled"),
        (failed, "AgentDisagrees"),
        (enforcing(), "AllEnforcing"),
    ] {
        let took = until(ctx, &result, expected).await;
        assert!(took <= 60, "{expected} after {took} seconds");
        assert_eq!(reasons(ctx).ready, ready, "Ready does not depend on it");
    }
}

#[tokio::test]
async fn agents_are_asked_at_once_after_a_policy_was_added_or_changed() {
    let fixture = one_policy();
    until(&fixture.ctx, &enforcing(), "AllEnforcing").await;
    // A policy is added. The agents load it later.
    let fixture =
        fixture.with_tracing_policies(&[tracing_policy("deny", 1), tracing_policy("more", 1)]);
    assert_eq!(reason_now(&fixture.ctx), "Loading");
    let enforce = Some(Mode::Enforce);
    let both =
        says(&[("deny", PolicyState::Enabled, enforce), ("more", PolicyState::Enabled, enforce)]);
    assert!(until(&fixture.ctx, &both, "AllEnforcing").await <= 30);
    // The policy is changed: earlier answers are about its old spec.
    let fixture =
        fixture.with_tracing_policies(&[tracing_policy("deny", 1), tracing_policy("more", 2)]);
    assert_eq!(reason_now(&fixture.ctx), "Asking");
    assert!(until(&fixture.ctx, &both, "AllEnforcing").await <= 30);
    // A policy is added that the agents never load.
    let fixture =
        fixture.with_tracing_policies(&[tracing_policy("deny", 1), tracing_policy("lost", 1)]);
    assert!(until(&fixture.ctx, &both, "PoliciesMissing").await <= 120);
    // The policy is removed.
    let fixture = fixture.with_tracing_policies(&[tracing_policy("deny", 1)]);
    assert!(until(&fixture.ctx, &both, "AllEnforcing").await <= 30);
}

#[tokio::test]
async fn a_starting_agent_without_policies_is_loading() {
    let fixture = one_policy();
    let ctx = &fixture.ctx;
    for _ in 0..3 {
        asked(ctx, &says(&[])).await;
        assert_eq!(reason_now(ctx), "Loading");
        pass(10);
    }
    assert!(until(ctx, &enforcing(), "AllEnforcing").await <= 60);
}

#[tokio::test]
async fn silent_agents_are_starting_for_a_minute() {
    let fixture = one_policy();
    assert_eq!(reason_now(&fixture.ctx), "Asking");
    asked(&fixture.ctx, &lost()).await;
    assert_eq!(reason_now(&fixture.ctx), "Starting");
    let took = until(&fixture.ctx, &lost(), "NoAnswer").await;
    assert!((60..=120).contains(&took), "{took}");
    until(&fixture.ctx, &enforcing(), "AllEnforcing").await;
    // The agents are restarted: their last answers count until they answer again, at first without
    // policies.
    let fixture = fixture.with::<DaemonSet>(daemon_set(2));
    assert_eq!(reason_now(&fixture.ctx), "Asking");
    for (result, expected) in [(lost(), "Asking"), (lost(), "Asking"), (says(&[]), "Loading")] {
        pass(20);
        asked(&fixture.ctx, &result).await;
        assert_eq!(reason_now(&fixture.ctx), expected);
    }
    assert!(until(&fixture.ctx, &enforcing(), "AllEnforcing").await <= 60);
}

#[tokio::test]
async fn after_a_reboot_the_agent_is_asked_again() {
    let fixture = one_policy();
    until(&fixture.ctx, &enforcing(), "AllEnforcing").await;
    let mut rebooted = at(1, "n1");
    rebooted["status"]["nodeInfo"]["bootID"] = json!("b00t2");
    let fixture = fixture.with::<Node>(rebooted);
    assert_eq!(reason_now(&fixture.ctx), "Asking");
    asked(&fixture.ctx, &enforcing()).await;
    assert!(asked(&fixture.ctx, &enforcing()).await.is_empty(), "not twice within ten seconds");
}

#[tokio::test]
async fn without_tls_files_no_agent_is_asked() {
    let tls = json!({"serverName": "agent.example.com"});
    let mut fixture =
        three_nodes(&[("a", json!({"securityfs": {"mount": "Never"}, "agents": {"tls": tls}}))]);
    assert!(asked(&fixture.ctx, &enforcing()).await.is_empty());
    assert_eq!(reason_now(&fixture.ctx), "TlsFiles");
    assert_eq!(queued(&mut fixture), ["a"], "the files were read for the first time");
    asked(&fixture.ctx, &enforcing()).await;
    assert!(queued(&mut fixture).is_empty());
}

#[tokio::test]
async fn load_errors_reach_the_restart_of_stale_agents() {
    let mut fixture = one_policy();
    let key = DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() };
    let failed = says(&[("deny", PolicyState::LoadError, None)]);
    let begun = now();
    for (result, pause) in [(enforcing(), 10), (failed.clone(), 50), (failed, 0)] {
        asked(&fixture.ctx, &result).await;
        pass(pause);
    }
    let errors = fixture.ctx.agents.load_errors(&key, "n2", "b00t").unwrap();
    let after = |seconds| begun.checked_add(std::time::Duration::from_secs(seconds)).unwrap();
    assert_eq!((errors.since, errors.as_of), (after(10), after(60)));
    assert_eq!(fixture.ctx.agents.load_errors(&key, "n2", "other boot"), None);
    assert_eq!(fixture.ctx.agents.load_errors(&DaemonSetKey::default(), "n2", "b00t"), None);
    let restarts =
        std::iter::from_fn(|| fixture.receivers.daemon_sets.next().now_or_never().flatten())
            .count();
    assert_eq!(restarts, 3, "once for each agent, when it begins");
}
