//! Tests of the strict reader.

use super::*;

fn refused(body: &str) -> Problem {
    parse_object(body.as_bytes()).expect_err(body)
}

#[test]
fn what_is_not_json_is_refused_where_it_breaks() {
    for (body, field) in [
        ("", "body"),
        ("{", "body"),
        ("[]", "body"),
        ("\"a\"", "body"),
        ("{} {}", "body"),
        ("{\"type\":}", "type"),
        ("{\"details\":[{\"label\":nul}]}", "details[0].label"),
        ("{\"details\":[{},{\"a\":1,}]}", "details[1]"),
        ("{\"a\":1e999}", "a"),
        ("{\"a\":\"\\ud800\"}", "a"),
    ] {
        let problem = refused(body);
        assert_eq!(problem.code, ErrorCode::InvalidRequest, "{body}");
        assert_eq!(problem.field.as_deref(), Some(field), "{body}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(10_000));
    assert_eq!(refused(&deep).code, ErrorCode::InvalidRequest);
}

#[test]
fn a_doubled_name_is_refused_at_every_depth_and_in_every_spelling() {
    for (body, field) in [
        (r#"{"a":1,"a":1}"#, "a"),
        (r#"{"a":1,"\u0061":2}"#, "a"),
        (r#"{"l":[{"b":{"c":1,"c":2}}]}"#, "l[0].b.c"),
    ] {
        let problem = refused(body);
        assert_eq!(problem.field.as_deref(), Some(field), "{body}");
        assert!(problem.detail.contains("twice"), "{body}: {}", problem.detail);
    }
}

#[test]
fn types_are_checked_by_name() {
    let members = parse_object(br#"{"n":1,"t":"x","o":{"i":null},"l":[{},1],"f":1.5,"m":-1}"#).expect("JSON");
    let fields = Fields::of(&members);
    assert_eq!(fields.text("t"), Ok(Some("x")));
    assert_eq!(fields.text("absent"), Ok(None));
    assert_eq!(fields.whole_number("n"), Ok(Some(1)));
    let field_and_code = |problem: Problem| (problem.field.map(String::from), problem.code);
    let wrong = |field: &str| (Some(field.to_owned()), ErrorCode::InvalidRequest);
    assert_eq!(field_and_code(fields.text("n").expect_err("a number")), wrong("n"));
    assert_eq!(field_and_code(fields.whole_number("f").expect_err("a fraction")), wrong("f"));
    assert_eq!(field_and_code(fields.objects("l").expect_err("a number")), wrong("l[1]"));
    let inner = fields.object("o").expect("an object").expect("there");
    assert_eq!(field_and_code(inner.text("i").expect_err("null")), wrong("o.i"));
    let negative = fields.whole_number("m").expect_err("negative");
    assert_eq!(negative.code, ErrorCode::InvalidField);
}

#[test]
fn an_unknown_field_is_named_unless_it_cannot_be() {
    let members = parse_object(br#"{"o":{"x":1}}"#).expect("JSON");
    let inner = Fields::of(&members).object("o").expect("an object").expect("there");
    let problem = inner.only(&["i"]).expect_err("unknown");
    assert_eq!((problem.code, problem.field.as_deref()), (ErrorCode::UnknownField, Some("o.x")));
    let members = parse_object(b"{\"a\\nb\":1}").expect("JSON");
    let problem = Fields::of(&members).only(&[]).expect_err("unknown");
    assert_eq!(problem.field.as_deref(), Some("body"));
}
