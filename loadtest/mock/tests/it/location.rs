//! The double of a server that knows places: what it answers, and what it keeps.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;
use tocsin_mock::{
    Authority, CityDatabase, Fault, LocationOptions, LocationRefusal, LocationServer, MockPlace,
};

use super::client::{Answer, Client};

const HOME: [u8; 4] = [192, 0, 2, 7];

async fn start() -> (Authority, LocationServer) {
    let authority = Authority::new().unwrap();
    let options = LocationOptions::new(authority.issue().unwrap()).with(HOME, MockPlace::utrecht());
    (authority, LocationServer::start(options).await.unwrap())
}

async fn ask(authority: &Authority, server: &LocationServer, path: &str) -> Answer {
    let mut client = Client::connect(authority, server.addr()).await;
    let request = Request::get(format!("https://localhost{path}")).header("authorization", "Bearer k");
    client.send(request.body(Bytes::new()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn it_knows_the_places_that_it_was_told() {
    let (authority, server) = start().await;
    let answer = ask(&authority, &server, "/any/192.0.2.7?x=1").await;
    let utrecht =
        json!({"success": true, "country_code": "NL", "region": "Provincie Utrecht", "city": "Utrecht"});
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, utrecht));
    assert_eq!(ask(&authority, &server, "/192.0.2.8").await.json(), json!({"success": false}));
    server.know([192, 0, 2, 8], MockPlace::new("CH", "Zürich", "Zürich"));
    assert_eq!(ask(&authority, &server, "/192.0.2.8").await.json()["city"], "Zürich");
    assert_eq!(ask(&authority, &server, "/home").await.status, StatusCode::BAD_REQUEST);
    let calls = server.calls();
    assert_eq!((calls.len(), &*calls[0].path), (4, "/any/192.0.2.7?x=1"));
    assert_eq!(calls[0].authorization.as_deref(), Some("Bearer k"));
}

#[tokio::test]
async fn it_answers_otherwise_as_it_was_told() {
    let (authority, server) = start().await;
    for refusal in [
        LocationRefusal::Status(StatusCode::SERVICE_UNAVAILABLE),
        LocationRefusal::Body("garbage".to_owned()),
        LocationRefusal::Redirect("/elsewhere".to_owned()),
    ] {
        server.faults().for_next(1, Fault::Refuse(refusal)).unwrap();
    }
    assert_eq!(ask(&authority, &server, "/192.0.2.7").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(&ask(&authority, &server, "/192.0.2.7").await.body[..], b"garbage");
    let redirect = ask(&authority, &server, "/192.0.2.7").await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (307, Some("/elsewhere")));
    assert_eq!(ask(&authority, &server, "/192.0.2.7").await.status, StatusCode::OK);
}

/// The form of the file is held by the readers of the engine's tests; here only that its parts are where they belong.
#[test]
fn a_file_of_places_has_a_tree_rows_and_metadata() {
    let empty = CityDatabase::new().to_bytes();
    let file = CityDatabase::new().with(HOME, 32, MockPlace::utrecht()).to_bytes();
    // One node more for each bit but the first, six bytes each, and the row.
    assert!(file.len() >= empty.len() + 127 * 6 + "Provincie Utrecht".len());
    let mark = b"\xab\xcd\xefMaxMind.com";
    assert!(file.windows(mark.len()).any(|window| window == mark));
    let text = String::from_utf8_lossy(&file).into_owned();
    assert!(text.contains("Provincie Utrecht") && text.contains("Tocsin-Test-City"));
}
