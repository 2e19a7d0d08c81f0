//! The bare door: actix-web that reads a JSON object and answers with it, 201. A process of its own, as ours is.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::Value;

/// A running echo; it is killed when dropped.
pub struct Echo {
    child: Child,
    address: SocketAddr,
}

impl Echo {
    /// Starts `binary`, the program of this package.
    pub fn start(binary: &str) -> Self {
        let mut child = Command::new(binary)
            .arg("echo")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was built with this bench");
        let told = child.stdout.take().expect("it is piped");
        let line = BufReader::new(told).lines().next().expect("it says where it is").expect("text");
        Self { child, address: line.parse().expect("an address") }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process_id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have gone by itself.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Serves on loopback until it is killed, with as many threads as our portal door has here.
pub fn serve_echo() -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let make = || App::new().route("/v1/transactions", web::post().to(echo));
        let server = HttpServer::new(make).workers(WORKERS).bind(("127.0.0.1", 0))?;
        println!("{}", server.addrs()[0]);
        server.run().await
    })
}

/// Threads of either.
pub const WORKERS: usize = 1;

async fn echo(body: web::Json<Value>) -> HttpResponse {
    HttpResponse::Created().json(body.into_inner())
}
