//! The peers that are made of actix-web: what a server of this kind can do at most.
//!
//! `bazar-bare constant ADDR FILE` sends one recorded answer (FILE: head and body as they came) to whatever is asked,
//! byte for byte but for `Date` and `Content-Length`, which the server makes itself.
//! `bazar-bare proxy ADDR URL` asks URL for each answer, with awc, and sends it on: what a miss costs at least.
//!
//! Prints the same line as a role of the store when it is ready.

#![forbid(unsafe_code)]

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use std::env;
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

/// As many for each role as the store gives its frontends on the machine of the published figures.
const WORKERS: usize = 2;

/// Of the origin, which is on the same machine and does nothing.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// No connection of a measurement may be closed for having been idle.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// A page of a thousand books fits.
const LARGEST_BODY: usize = 1 << 20;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["constant", listen, file] => constant(listen, Recording::parse(&fs::read(file)?)?).await,
        ["proxy", listen, origin] => proxy(listen, origin.to_owned()).await,
        _ => Err("usage: bazar-bare constant ADDR FILE | proxy ADDR URL".into()),
    }
}

async fn constant(listen: &str, recording: Recording) -> Result<(), Box<dyn Error>> {
    let server = HttpServer::new(move || {
        let recording = recording.clone();
        App::new().default_service(web::to(move || {
            let response = recording.answer();
            async move { response }
        }))
    })
    .workers(WORKERS)
    .keep_alive(KEEP_ALIVE)
    .bind(listen)?;
    say_ready(&server.addrs());
    Ok(server.run().await?)
}

async fn proxy(listen: &str, origin: String) -> Result<(), Box<dyn Error>> {
    let server = HttpServer::new(move || {
        let client = awc::Client::builder().timeout(ANSWERED_WITHIN).finish();
        let origin = origin.clone();
        App::new().default_service(web::to(move |request: HttpRequest| {
            let asked = client.get(format!("{origin}{}", request.uri()));
            async move { pass_on(asked).await }
        }))
    })
    .workers(WORKERS)
    .keep_alive(KEEP_ALIVE)
    .bind(listen)?;
    say_ready(&server.addrs());
    Ok(server.run().await?)
}

async fn pass_on(asked: awc::ClientRequest) -> HttpResponse {
    let Ok(mut answer) = asked.send().await else {
        return HttpResponse::new(StatusCode::BAD_GATEWAY);
    };
    let Ok(body) = answer.body().limit(LARGEST_BODY).await else {
        return HttpResponse::new(StatusCode::BAD_GATEWAY);
    };
    let mut response = HttpResponse::with_body(answer.status(), body);
    for (name, value) in answer.headers() {
        if !of_the_server(name) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response.map_into_boxed_body()
}

fn say_ready(addresses: &[SocketAddr]) {
    for address in addresses {
        println!("bazar-bare is ready at http://{address}");
    }
}

fn of_the_server(name: &HeaderName) -> bool {
    [header::DATE, header::CONTENT_LENGTH, header::CONNECTION].contains(name)
}

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
            if !of_the_server(&name) {
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
