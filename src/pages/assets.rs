//! Files that are embedded in the binary. The name of each carries a hash of its content, so that a browser
//! may keep it for good and never has the old one with a new page.

use super::headers::protect;
use crate::server::resource;
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use std::sync::OnceLock;
use xxhash_rust::xxh3::xxh3_64;

/// One embedded file.
pub struct Asset {
    name: &'static str,
    extension: &'static str,
    content_type: &'static str,
    content: &'static str,
    path: OnceLock<String>,
}

impl Asset {
    pub const fn css(name: &'static str, content: &'static str) -> Self {
        Self::new(name, "css", "text/css; charset=utf-8", content)
    }

    pub const fn js(name: &'static str, content: &'static str) -> Self {
        Self::new(name, "js", "text/javascript; charset=utf-8", content)
    }

    pub const fn svg(name: &'static str, content: &'static str) -> Self {
        Self::new(name, "svg", "image/svg+xml", content)
    }

    const fn new(
        name: &'static str,
        extension: &'static str,
        content_type: &'static str,
        content: &'static str,
    ) -> Self {
        Self { name, extension, content_type, content, path: OnceLock::new() }
    }

    /// Where it is served.
    pub fn path(&self) -> &str {
        self.path.get_or_init(|| {
            let hash = xxh3_64(self.content.as_bytes());
            format!("/assets/{}.{hash:016x}.{}", self.name, self.extension)
        })
    }

    /// Serves it.
    pub fn configure(&'static self, config: &mut ServiceConfig) {
        config.service(resource(self.path(), "GET", web::get().to(move || async { self.answer() })));
    }

    fn answer(&self) -> HttpResponse {
        let mut answer = HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, self.content_type))
            .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(self.content);
        protect(answer.headers_mut());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_has_another_path() {
        let (one, same, other) = (Asset::css("a", "x"), Asset::css("a", "x"), Asset::css("a", "y"));
        assert!(one.path().starts_with("/assets/a.") && one.path().ends_with(".css"), "{}", one.path());
        assert_eq!(one.path(), same.path());
        assert_ne!(one.path(), other.path());
    }
}
