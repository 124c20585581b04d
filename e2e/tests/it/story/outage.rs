//! Outages of Scanner and Authority: section 4.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::lab::{Lab, NAMESPACE, eventually};
use crate::support::say;

/// An outage that lasts longer than any step below. The step ends it.
const UNTIL_ENDED_SECONDS: u64 = 900;

pub(super) fn scanner(lab: &Lab) {
    lab.step("Scanner away and back");
    let before = lab.scanner("/sandbox/status").expect("answers");
    // The cache keys a verdict by image, namespace and labels. These reviews put it into the cache of each
    // replica, so that Pods may start while Scanner is away.
    let create = |name: &str| format!("run {name} --image={} --labels=app=known", lab.signed.pinned());
    for _ in 0..12 {
        lab.kubectl(&format!("{} --dry-run=server", create("warm")));
    }
    for number in 0..2 {
        lab.kubectl(&create(&format!("warm-{number}")));
    }
    lab.kubectl("wait pod/warm-0 pod/warm-1 --for=condition=Ready --timeout=60s");
    lab.tell_scanner("/sandbox/scanner/offline?seconds=15");
    eventually("the outage", 10, || match lab.scanner("/sandbox/status") {
        Ok(_) => Err("Scanner still answers".to_owned()),
        Err(_) => Ok(()),
    });
    let names: Vec<String> = (0..4).map(|number| format!("during-{number}")).collect();
    let started: Vec<&String> = names.iter().filter(|name| lab.try_kubectl(&create(name)).is_ok()).collect();
    say(&format!("   {} of {} Pods were let in from the cache", started.len(), names.len()));
    lab.kubectl("delete pod warm-0 warm-1 --grace-period=1");
    assert!(!started.is_empty(), "no Pod was let in from the cache: nothing is buffered");

    for name in &started {
        let starts = eventually("its start", 60, || {
            let found = lab.events("ContainerStart", name)?;
            if found.is_empty() { Err(format!("{name} was not told")) } else { Ok(found) }
        });
        assert_eq!(starts.len(), 1, "{name} is held once");
    }
    for name in ["warm-0", "warm-1"] {
        eventually("its stop", 60, || {
            lab.events("ContainerStop", name)?.pop().ok_or_else(|| name.to_owned())
        });
    }
    let after = lab.scanner("/sandbox/status").expect("answers");
    let count = |status: &serde_json::Value, name: &str| status["counts"][name].as_u64().unwrap_or(0);
    say(&format!(
        "   accepted {} more, duplicates {} more",
        count(&after, "eventsAccepted") - count(&before, "eventsAccepted"),
        count(&after, "eventsDuplicate") - count(&before, "eventsDuplicate"),
    ));
    for pod in lab.pods("observer") {
        let drops = lab.metric(&pod, "zastava_buffer_drops_total", "").unwrap_or(0.0);
        assert_eq!(drops.to_bits(), 0.0_f64.to_bits(), "{pod} lost nothing");
    }
    for name in started {
        lab.kubectl(&format!("delete pod {name} --grace-period=1"));
    }
}

pub(super) fn authority(lab: &Lab) {
    lab.step("section 4.1: Authority away, the static token serves");
    let webhook = lab.pods("webhook").remove(0);
    let expiry = |pod: &str| lab.metric(pod, "zastava_authority_token_expiry_timestamp_seconds", "scanner");
    assert!(expiry(&webhook).expect("is there") > now(), "a token is valid");
    lab.tell_scanner(&format!("/sandbox/authority/offline?seconds={UNTIL_ENDED_SECONDS}"));
    // ZastavaAuthorityTokenStale reads this. The tokens must end first: the next pod of a node would find a
    // valid one on disk, and a program that Authority has answered before uses no static token.
    for pod in lab.pods("observer").into_iter().chain(lab.pods("webhook")) {
        eventually("the token's end", 60, || {
            let left = expiry(&pod)? - now();
            if left < 0.0 { Ok(()) } else { Err(format!("{left} s left")) }
        });
    }

    lab.kubectl(&format!(
        "-n {NAMESPACE} create secret generic zastava-authority-static-token --from-literal=token=boot.strap"
    ));
    let upgraded = lab.shell(&format!(
        "helm upgrade zastava-runtime deploy/helm/zastava -f values/zastava-runtime.yaml -n {NAMESPACE} \
           --set zastava.runtime.authority.allowStaticTokenFallback=true \
           --set secrets.authorityStaticToken=zastava-authority-static-token
         kubectl -n {NAMESPACE} rollout status ds/zastava-observer --timeout=180s
         kubectl -n {NAMESPACE} rollout status deploy/zastava-webhook --timeout=180s"
    ));
    assert!(upgraded.status.success(), "{}", crate::lab::both(&upgraded));
    eventually("a Pod that the static token got a verdict for", 60, || {
        lab.try_kubectl(&format!("run by-static-token --image={}", lab.signed.pinned()))
    });
    eventually("its start, sent with the static token", 60, || {
        lab.events("ContainerStart", "by-static-token")?.pop().ok_or_else(|| "not yet".to_owned())
    });
    let mut served = 0.0;
    for pod in lab.pods("observer").into_iter().chain(lab.pods("webhook")) {
        let uses = lab.metric(&pod, "zastava_authority_token_fallback_total", "").unwrap_or(0.0);
        served += uses;
        let log = lab.kubectl(&format!("-n {NAMESPACE} logs {pod}"));
        let audited =
            log.contains(r#""scope":"authority.token.fallback""#) && log.contains("static token serves");
        assert!(uses == 0.0 || audited, "{pod} used it {uses} times and did not say so");
    }
    say(&format!("   the static token served {served} requests"));
    assert!(served > 0.0);

    lab.tell_scanner("/sandbox/authority/offline?seconds=1");
    lab.runbook("4.1");
    for pod in lab.pods("observer").into_iter().chain(lab.pods("webhook")) {
        eventually("a bound token again", 60, || super::install::issued(lab, &pod).map(|_| ()));
    }
    lab.kubectl("delete pod by-static-token --grace-period=1");
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("is after 1970").as_secs_f64()
}
