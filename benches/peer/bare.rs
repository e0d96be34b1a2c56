//! The other side of `benches/store`: an actix-web handler that does nothing but
//! send one recorded answer, byte for byte the head and the body of the store's.
//!
//! `bench-peer ADDR FILE`: FILE is an answer as `curl -si` prints it. The two
//! headers that the server makes itself, `Date` and `Content-Length`, are left to
//! it. Prints the same line as a role of the store when it is ready.

use std::{env, error::Error, fs};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::{
        StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    web::{self, Bytes},
};

/// One for each core of the machine that the published numbers come from.
const WORKERS: usize = 2;

#[derive(Clone)]
struct Recording {
    headers: HeaderMap,
    body: Bytes,
}

impl Recording {
    fn parse(answer: &[u8]) -> Result<Self, Box<dyn Error>> {
        let head_end =
            answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("no empty line ends the head")?;
        let head = str::from_utf8(&answer[..head_end])?;
        let mut headers = HeaderMap::new();
        for line in head.split("\r\n").skip(1) {
            let (name, value) = line.split_once(':').ok_or("a header has no colon")?;
            let name: HeaderName = name.parse()?;
            if name != "date" && name != "content-length" && name != "connection" {
                headers.append(name, HeaderValue::from_str(value.trim())?);
            }
        }
        let body = Bytes::copy_from_slice(&answer[head_end + 4..]);
        Ok(Self { headers, body })
    }

    fn answer(&self) -> HttpResponse {
        let mut response = HttpResponse::with_body(StatusCode::OK, self.body.clone());
        for (name, value) in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response.map_into_boxed_body()
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(listen), Some(file), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: bench-peer ADDR FILE".into());
    };
    let recording = Recording::parse(&fs::read(file)?)?;
    let server = HttpServer::new(move || {
        let recording = recording.clone();
        App::new().default_service(web::to(move || {
            let response = recording.answer();
            async move { response }
        }))
    })
    .workers(WORKERS)
    .bind(listen)?;
    for address in server.addrs() {
        println!("bazar bench-peer is ready at http://{address}");
    }
    Ok(server.run().await?)
}
