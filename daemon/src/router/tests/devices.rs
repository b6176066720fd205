//! The devices of this machine.

use super::*;

#[tokio::test]
async fn a_failed_probe_still_shows_what_the_system_tells() {
    let service = service().await;
    let answer = service.get("/slm/v1/devices").await;
    assert_eq!(answer.status, 200);
    let found = answer.json();
    assert!(found["fault"].is_string(), "{found}");
    let cpu = &found["devices"][0];
    assert_eq!((&cpu["id"], &cpu["usable"]), (&json!("CPU"), &json!(false)));
    assert_eq!(cpu["code"], "module_fault");
    assert_eq!(cpu["remedy"], "slm-runner probe cpu");
    assert!(found["processor"]["threads"].as_u64() > Some(0), "{found}");
    let memory = &found["memory"];
    assert!(memory["free"].as_u64() <= memory["total"].as_u64());
    assert!(found["disk"]["total"].as_u64() > Some(0), "{found}");
}

#[tokio::test]
async fn a_refresh_probes_anew() {
    let service = service().await;
    let first = service.get("/slm/v1/devices").await.json();
    let again = service.get("/slm/v1/devices").await.json();
    assert_eq!(first["probed_at"], again["probed_at"]);
    let anew = service.get("/slm/v1/devices?refresh=true").await.json();
    assert_ne!(first["probed_at"], anew["probed_at"]);
    service
        .get("/slm/v1/devices?refresh=maybe")
        .await
        .refuses(400, "invalid_request", "refresh");
}

#[tokio::test]
async fn the_doctor_says_what_keeps_models_from_running() {
    let service = service().await;
    let answer = service.get("/slm/v1/doctor").await;
    assert_eq!(answer.status, 200);
    let found = answer.json();
    let findings = found["findings"].as_array().unwrap();
    let problem = |text: &str| {
        findings.iter().any(|finding| {
            finding["level"] == "problem" && finding["text"].as_str().unwrap().contains(text)
        })
    };
    assert!(
        problem("the program of runners is missing: /absent"),
        "{found}"
    );
    assert!(problem("the devices cannot be probed"), "{found}");
}
