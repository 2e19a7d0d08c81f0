//! What a reload takes away while a call is on its way, after the door has looked at the configuration before.

use tocsin_model::{CallbackUrl, ErrorCode, StartRequest};

use crate::fixture::{Bank, Phone, enrolment_of, login, run};

/// A bank whose client may ask for whatever there is.
async fn bank(settings: &str) -> Bank {
    let all = |text: &str| text.replace("[\"retail\"]", "[\"*\"]").replace("[\"bank\"]", "[\"*\"]");
    Bank::open_with(|text| all(&format!("{text}\n{settings}"))).await
}

fn without_the_app(text: &str) -> String {
    text.replace("[apps.bank", "[apps.other")
}

#[test]
fn an_enrolment_whose_app_has_gone_is_not_confirmed_and_nothing_is_counted() {
    run(async {
        let bank = bank("").await;
        bank.reload_with(|text| text.replace("[apps.bank]", "[apps.bank]\nconfirm = \"number\"")).await;
        let opened = bank.handle.open_enrollment(enrolment_of("alice", "bank")).await.expect("opened");
        Phone::enrol(&bank, "bank", opened.activation_code.expose(), None).await.expect("enrolled");
        let confirm = async || {
            let client = "portal".parse().expect("valid");
            bank.handle.confirm_enrollment(&client, opened.enrollment.id, "wrong").await
        };
        bank.reload_with(without_the_app).await;
        assert_eq!(confirm().await.expect_err("no app").code, ErrorCode::MethodDisabled);
        bank.reload_with(str::to_owned).await;
        let problem = confirm().await.expect_err("wrong");
        assert_eq!((problem.code, problem.attempts_left), (ErrorCode::WrongNumber, Some(2)));
    });
}

#[test]
fn an_enrolment_for_an_app_that_has_gone_is_refused() {
    run(async {
        let bank = bank("").await;
        bank.reload_with(without_the_app).await;
        let problem = bank.handle.open_enrollment(enrolment_of("alice", "bank")).await.expect_err("no app");
        assert_eq!((problem.code, problem.field.as_deref()), (ErrorCode::InvalidField, Some("app")));
    });
}

#[test]
fn a_start_in_a_realm_that_has_gone_is_refused() {
    run(async {
        let bank = bank("[types.plain]").await;
        bank.enrol("alice").await;
        bank.reload_with(|text| text.replace("[realms.retail]", "[realms.other]")).await;
        let request = StartRequest { type_name: "plain".parse().expect("valid"), ..login("alice") };
        let problem = bank.handle.start(request).await.expect_err("no realm");
        assert_eq!((problem.code, problem.field.as_deref()), (ErrorCode::InvalidField, Some("user")));
    });
}

#[test]
fn a_start_of_a_client_that_has_gone_is_refused() {
    run(async {
        let bank = bank("").await;
        bank.enrol("alice").await;
        bank.reload_with(|text| text.replace("[clients.portal]", "[clients.other]")).await;
        let url = CallbackUrl::parse("https://portal.example/").expect("valid");
        let request = StartRequest { callback_url: Some(url), ..login("alice") };
        assert_eq!(bank.handle.start(request).await.expect_err("no client").code, ErrorCode::InvalidClient);
    });
}
